/** `filters` of list requests: {"label":["a=b"]} and the older {"label":{"a=b":true}}. */
import { SlipwayError } from '../../errors.ts'

/** Less than Go's strconv.ParseBool takes, as in dockerd. */
const flags = new Map([
  ['1', true],
  ['true', true],
  ['0', false],
  ['false', false],
])

export class Filters {
  #values: Map<string, string[]>

  constructor(values: Map<string, string[]>) {
    this.#values = values
  }

  /** Unknown names are refused as dockerd does. */
  static parse(text: string | null, allowed: readonly string[]): Filters {
    const values = new Map<string, string[]>()
    if (text) {
      let parsed: unknown
      try {
        parsed = JSON.parse(text)
      } catch (cause) {
        throw new SlipwayError('bad-request', 'invalid filters: not JSON', { cause })
      }
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
        throw new SlipwayError('bad-request', 'invalid filters: not an object')
      for (const [name, value] of Object.entries(parsed)) {
        if (!allowed.includes(name)) throw new SlipwayError('bad-request', `invalid filter '${name}'`)
        values.set(
          name,
          Array.isArray(value)
            ? value.map(String)
            : Object.entries(value as Record<string, boolean>)
                .filter(([, on]) => on)
                .map(([k]) => k),
        )
      }
    }
    return new Filters(values)
  }

  get(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }
  has(name: string): boolean {
    return this.get(name).length > 0
  }
  /** No such filter, or one of its values fits. */
  any(name: string, fits: (value: string) => boolean): boolean {
    return !this.has(name) || this.get(name).some(fits)
  }
  /** Of several values all have to mean the same. */
  flag(name: string): boolean | undefined {
    const meant = new Set(this.get(name).map((value) => flags.get(value)))
    const [known] = meant
    if (meant.size > 1 || (known === undefined && meant.size > 0))
      throw new SlipwayError('bad-request', `invalid filter '${name}=[${this.get(name).join(' ')}]'`)
    return known
  }
  /** Every label filter must fit: "key" or "key=value". */
  labels(labels: Record<string, string>, name = 'label'): boolean {
    return this.get(name).every((wanted) => {
      const at = wanted.indexOf('=')
      return at < 0 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1)
    })
  }
  /** Seconds, RFC 3339 or a duration back from now, as ms since the epoch. */
  time(name: string, now: number): number | undefined {
    const [value, ...more] = this.get(name)
    if (more.length > 0) throw new SlipwayError('bad-request', `more than one ${name} filter specified`)
    return value === undefined ? undefined : instant(value, now)
  }
}

/** "1136073600", "1136073600.5", "2006-01-02T15:04:05Z" or "10m" ago → ms since the epoch. */
export const instant = (value: string, now: number): number | undefined => {
  if (value === '' || value === '0') return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Math.floor(Number(value) * 1000)
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (parts.length > 0 && parts.map((p) => p[0]).join('') === value) {
    const unit: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
    return now - parts.reduce((sum, p) => sum + Number(p[1]) * unit[p[2]!]!, 0)
  }
  const date = Date.parse(value)
  if (Number.isNaN(date)) throw new SlipwayError('bad-request', `failed to parse value as time or duration: "${value}"`)
  return date
}

export const isTrue = (value: string | null): boolean =>
  value !== null && !['', '0', 'false', 'no', 'none'].includes(value.toLowerCase())
