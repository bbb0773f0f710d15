/** What the texts of docker's flags mean: each reads one, or throws what docker says is wrong with it. */
import { isIP } from 'node:net'

const syntax = (kind: string, text: string, why: string): Error =>
  new Error(`strconv.Parse${kind}: parsing ${JSON.stringify(text)}: ${why}`)

const whole =
  (kind: string, pattern: RegExp, least: bigint, most: bigint) =>
  (text: string): number => {
    if (!pattern.test(text)) throw syntax(kind, text, 'invalid syntax')
    const sign = text.startsWith('-') ? -1n : 1n
    const value = sign * BigInt(text.replace(/^[+-]/, ''))
    if (value < least || value > most) throw syntax(kind, text, 'value out of range')
    return Number(value)
  }
const number = '(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|\\d+)'
export const int = whole('Int', new RegExp(`^[+-]?${number}$`), -(2n ** 63n), 2n ** 63n - 1n)
export const uint16 = whole('Uint', new RegExp(`^${number}$`), 0n, 65535n)

/** "512m" → bytes, powers of 1024 (docker/go-units RAMInBytes). */
export const bytes = (text: string): number => {
  const match = /^(\d+(?:\.\d*)?|\.\d+) ?(.*)$/s.exec(text)
  if (!match) throw new Error(`invalid size: '${text}'`)
  const [, amount, suffix = ''] = match
  if (!/^(?:[kmgtp]?(?:i?b)?)?$/i.test(suffix)) throw new Error(`invalid suffix: '${suffix}'`)
  const power = 'kmgtp'.indexOf(suffix[0]?.toLowerCase() || '-') + 1
  return Math.trunc(Number(amount) * 1024 ** power)
}
/** -1 has a meaning of its own. */
export const swapBytes = (text: string): number => (text === '-1' ? -1 : bytes(text))

const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** "1m30s" → nanoseconds (Go's time.ParseDuration). */
export const duration = (text: string): number => {
  const rest = text.replace(/^[+-]/, '')
  if (rest === '0') return 0
  const wrong = new Error(`time: invalid duration ${JSON.stringify(text)}`)
  if (!/^[\d.]/.test(rest)) throw wrong
  let total = 0
  let used = 0
  for (const match of rest.matchAll(/(\d+(?:\.\d*)?|\.\d+)([^\d.]*)/g)) {
    if (match[2] === '') throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`)
    const unit = units[match[2]!]
    if (unit === undefined)
      throw new Error(`time: unknown unit ${JSON.stringify(match[2])} in duration ${JSON.stringify(text)}`)
    total += Number(match[1]) * unit
    used += match[0].length
  }
  if (used !== rest.length) throw wrong
  return Math.round(total) * (text.startsWith('-') ? -1 : 1)
}

/** A time as the API takes it: what is so long ago in whole seconds since 1970. */
export const moment = (given: unknown): string | undefined => {
  if (typeof given !== 'string') return undefined
  if (!/[a-zµ]$/.test(given)) return given
  try {
    return String(Math.floor(Date.now() / 1000 - duration(given) / 1e9))
  } catch {
    return given // a time
  }
}

/** "1.5" CPUs → billionths. */
export const nanoCpus = (text: string): number => {
  const match = /^[+-]?(\d+)?(?:\.(\d*))?(?:\/(\d+))?$/.exec(text)
  if (!match || text === '' || text === '.') throw new Error(`failed to parse ${text} as a rational number`)
  const [, , digits = '', divisor = '1'] = match
  if (digits.length > 9) throw new Error('value is too precise')
  return Math.round((Number(text.replace(/\/.*$/, '')) / Number(divisor)) * 1e9)
}

/** KEY=VALUE; a key alone has the value ''. */
export const pair = (text: string): [string, string] => {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
export const pairsOf = (given: unknown): Record<string, string> =>
  Object.fromEntries(((given as string[] | undefined) ?? []).map(pair))

const sysctls = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]

export const sysctl = (text: string): string => {
  const [name] = pair(text)
  if (!text.includes('=')) throw new Error(`sysctl '${text}' is not allowed`)
  if (sysctls.includes(name) || /^(?:net|fs\.mqueue)\./.test(name)) return text
  throw new Error(`sysctl '${text}' is not allowed`)
}

export const env = (text: string): string => {
  if (pair(text)[0] !== '') return text
  throw new Error(`invalid environment variable: ${text}`)
}
export const label = (text: string): string => {
  if (pair(text)[0].trim() !== '') return text
  throw new Error(`invalid label '${text}': empty name`)
}
/** NAME:ADDRESS or NAME=ADDRESS, as the API wants it: NAME:ADDRESS. */
export const extraHost = (text: string): string => {
  const at = text.search(/=/) >= 0 ? text.indexOf('=') : text.indexOf(':')
  const bad = new Error(`bad format for add-host: ${JSON.stringify(text)}`)
  if (at <= 0) throw bad
  const [name, given] = [text.slice(0, at), text.slice(at + 1)]
  const address = /^\[.*\]$/.test(given) ? given.slice(1, -1) : given
  if (given !== 'host-gateway' && isIP(address) === 0)
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`)
  return `${name}:${address}`
}
export const address = (text: string): string => {
  if (isIP(text.trim()) !== 0) return text.trim()
  throw new Error(`IP address is not correctly formatted: ${text}`)
}
export const searchDomain = (text: string): string => {
  const name = text.trim()
  if (name === '.') return name
  if (
    /^(?:[a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_-]*[a-zA-Z0-9_])(?:\.(?:[a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_-]*[a-zA-Z0-9_]))*\.?$/.test(
      name,
    ) &&
    name.length < 255
  )
    return name
  throw new Error(`${text} is not a valid domain`)
}
export const link = (text: string): string => {
  if (text === '') throw new Error('empty string specified for links')
  if (text.split(':').length > 2) throw new Error(`bad format for links: ${text}`)
  return text
}
export const stream = (text: string): string => {
  const name = text.toLowerCase()
  if (['stdin', 'stdout', 'stderr'].includes(name)) return name
  throw new Error('valid streams are STDIN, STDOUT and STDERR')
}
export const deviceRule = (text: string): string => {
  if (/^[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(text)) return text
  throw new Error(`invalid device cgroup format '${text}'`)
}

/** "net_admin" → "CAP_NET_ADMIN". */
export const capability = (text: string): string => {
  const name = text.trim().toUpperCase()
  return name === 'ALL' || name.startsWith('CAP_') ? name : `CAP_${name}`
}

const devicePath = (text: string): [string, string] => {
  const [path, amount, ...more] = text.split(':')
  if (amount === undefined || path === '' || more.length > 0) throw new Error(`bad format: ${text}`)
  if (!path!.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`)
  return [path!, amount]
}
export const deviceWeight = (text: string): { Path: string; Weight: number } => {
  const [Path, amount] = devicePath(text)
  const Weight = Number(amount)
  if (!/^\d+$/.test(amount) || (Weight > 0 && (Weight < 10 || Weight > 1000)))
    throw new Error(`invalid weight for device: ${text}`)
  return { Path, Weight }
}
interface DeviceRate {
  Path: string
  Rate: number
}
export const deviceBps = (text: string): DeviceRate => {
  const [Path, amount] = devicePath(text)
  try {
    return { Path, Rate: bytes(amount) }
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    )
  }
}
export const deviceIops = (text: string): DeviceRate => {
  const [Path, amount] = devicePath(text)
  if (/^\d+$/.test(amount)) return { Path, Rate: Number(amount) }
  throw new Error(
    `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
  )
}

const limits = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
]

export const ulimit = (text: string): { Name: string; Soft: number; Hard: number } => {
  const at = text.indexOf('=')
  if (at < 0) throw new Error(`invalid ulimit argument: ${text}`)
  const [Name, values] = [text.slice(0, at), text.slice(at + 1)]
  if (!limits.includes(Name)) throw new Error(`invalid ulimit type: ${Name}`)
  const [soft, hard, ...more] = values.split(':')
  if (more.length > 0)
    throw new Error(`too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\``)
  const Soft = int(soft!)
  const Hard = hard === undefined ? Soft : int(hard)
  if (Hard !== -1 && (Soft === -1 || Soft > Hard))
    throw new Error(
      Soft === -1
        ? `ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: ${Hard}`
        : `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`,
    )
  return { Name, Soft, Hard }
}

/** `--filter NAME=VALUE`. */
export const filter = (text: string): [string, string] => {
  if (text === '') return ['', '']
  const at = text.indexOf('=')
  if (at < 0) throw new Error('bad format of filter (expected name=value)')
  return [text.slice(0, at).trim().toLowerCase(), text.slice(at + 1).trim()]
}
