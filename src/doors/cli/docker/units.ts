/** How docker writes sizes, times and ids. */
import { humanDuration } from '../../../lib/human-duration.ts'

const scaled = (value: number, base: number, units: readonly string[], digits: number): string => {
  let unit = 0
  let rest = value
  for (; rest >= base && unit < units.length - 1; unit++) rest /= base
  return `${Number(rest.toPrecision(digits))}${units[unit]}`
}
/** Powers of 1000. */
export const humanSize = (bytes: number, digits = 4): string =>
  scaled(bytes, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'], digits)
/** Powers of 1024. */
export const binarySize = (bytes: number): string => scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 4)

export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)
export const ellipsis = (text: string, most: number): string => {
  const letters = [...text]
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join('')}…`
}
/** `seconds` since 1970. */
export const ago = (seconds: number): string => `${humanDuration(Date.now() - seconds * 1000)} ago`

const two = (n: number): string => String(n).padStart(2, '0')
const dayOf = (d: Date): string => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`
const clockOf = (d: Date): string => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
const offsetOf = (d: Date, colon: string): string => {
  const minutes = -d.getTimezoneOffset()
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `${minutes < 0 ? '-' : '+'}${two(hours)}${colon}${two(rest)}`
}
const zoneOf = (d: Date): string => {
  const name = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' })
    .formatToParts(d)
    .find(({ type }) => type === 'timeZoneName')?.value
  return name === undefined || /[+-]\d/.test(name) ? offsetOf(d, '') : name
}

/** As Go prints a time: "2006-01-02 15:04:05.123 -0700 MST", in the zone of this machine. `fraction`: "123000000". */
export const localTime = (ms: number, fraction = ''): string => {
  const d = new Date(ms)
  const digits = fraction.replace(/0+$/, '')
  return `${dayOf(d)} ${clockOf(d)}${digits === '' ? '' : `.${digits}`} ${offsetOf(d, '')} ${zoneOf(d)}`
}
/** RFC 3339 in the zone of this machine; with nine digits where nanoseconds are given. */
export const stamp = (seconds: number, nanos?: number): string => {
  const d = new Date(seconds * 1000)
  const zone = d.getTimezoneOffset() === 0 ? 'Z' : offsetOf(d, ':')
  return `${dayOf(d)}T${clockOf(d)}${nanos === undefined ? '' : `.${String(nanos).padStart(9, '0')}`}${zone}`
}
