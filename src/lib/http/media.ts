/** A media type with its parameters, as in Accept and Content-Type (RFC 9110, 8.3.1 and 12.5.1). */
interface MediaRange {
  /** Lower case, e.g. `application/json`. */
  type: string
  parameters: Record<string, string>
  /** 0…1; 1 when not given. */
  q: number
}

export const parseMedia = (text: string): MediaRange => {
  const [type = '', ...rest] = text.split(';')
  const parameters: Record<string, string> = {}
  let q = 1
  for (const part of rest) {
    const at = part.indexOf('=')
    if (at < 0) continue
    const key = part.slice(0, at).trim().toLowerCase()
    const value = part
      .slice(at + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1')
    if (key === 'q') q = Number(value)
    else parameters[key] = value
  }
  return { type: type.trim().toLowerCase(), parameters, q: Number.isFinite(q) ? q : 1 }
}

/** The ranges of an Accept header, best first; the order of the header among equals. An absent header accepts anything. */
export const parseAccept = (header: string | undefined): MediaRange[] =>
  (header?.trim() ? header : '*/*')
    .split(',')
    .map(parseMedia)
    .filter((range) => range.q > 0)
    .sort((a, b) => b.q - a.q)

/** True when `range` (`*\/*`, `application/*` or exact) takes `type`. */
export const accepts = (range: MediaRange, type: string): boolean =>
  range.type === '*/*' || range.type === type || (range.type.endsWith('/*') && type.startsWith(range.type.slice(0, -1)))
