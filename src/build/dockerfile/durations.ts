import { SyntaxFault } from './source.ts'

const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** Go's time.ParseDuration: '1m30s', '500ms', '0'. Nanoseconds. */
export const duration = (text: string): number => {
  const bad = new SyntaxFault(`time: invalid duration "${text}"`, {
    near: text,
    hint: 'Write a number with a unit: 500ms, 30s, 1m30s.',
  })
  const match = /^([+-]?)(.*)$/.exec(text)!
  const body = match[2]!
  if (body === '0') return 0
  const parts = [...body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)]
  if (body === '' || parts.map(([part]) => part).join('') !== body) throw bad
  const total = parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit!]!, 0)
  return Math.round(match[1] === '-' ? -total : total)
}

/** Go's Duration.String: '1m30s', '500ms', '0s'. */
export const formatDuration = (nanoseconds: number): string => {
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 1e3) return `${nanoseconds}ns`
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`
  const hours = Math.floor(nanoseconds / 3600e9)
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9)
  const seconds = `${(nanoseconds % 60e9) / 1e9}s`
  return hours > 0 ? `${hours}h${minutes}m${seconds}` : minutes > 0 ? `${minutes}m${seconds}` : seconds
}
