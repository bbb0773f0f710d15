/** Durations and sizes as the Compose Specification writes them. Milliseconds and bytes here. */

const durationUnits: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** "1m30s", "500ms", "0"; undefined when it is no duration. */
export const parseDuration = (text: string): number | undefined => {
  if (/^[-+]?0$/.test(text)) return 0
  if (!/^\+?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)/g))
    total += Number(amount) * durationUnits[unit!]!
  return total
}

/** As Go prints a duration: "1h0m0s", "1m30s", "1.5s", "500ms", "0s". */
export const formatDuration = (ms: number): string => {
  if (ms === 0) return '0s'
  if (ms < 1000) return ms < 1 ? (ms < 1e-3 ? `${Math.round(ms * 1e6)}ns` : `${ms * 1e3}µs`) : `${ms}ms`
  const hours = Math.floor(ms / 3_600_000)
  const minutes = Math.floor(ms / 60_000) % 60
  const seconds = Number(((ms % 60_000) / 1000).toFixed(9))
  return `${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`
}

const sizeUnits = 'bkmgtpe'

/** "64m", "1.5gb", "2GiB", "1024"; powers of 1024 whatever the spelling, as docker's go-units reads memory sizes. */
export const parseBytes = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgtpe])i?b?|b)?$/i.exec(text.trim())
  if (!match) return undefined
  const power = match[2] ? sizeUnits.indexOf(match[2].toLowerCase()) : 0
  return Math.floor(Number(match[1]) * 1024 ** power)
}

/** true, false, and what YAML 1.1 and Go take for them; undefined otherwise. */
export const parseBoolean = (text: string): boolean | undefined => {
  const word = text.toLowerCase()
  if (['true', '1', 'yes', 'y', 'on', 't'].includes(word)) return true
  if (['false', '0', 'no', 'n', 'off', 'f'].includes(word)) return false
  return undefined
}
