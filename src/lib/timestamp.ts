/** RFC 3339 to the second, as Kubernetes' Time: "2026-01-02T03:04:05Z". */
export const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** Milliseconds since the epoch; NaN when absent or unreadable. */
export const parseTimestamp = (text: string | undefined): number => (text === undefined ? Number.NaN : Date.parse(text))
