/** `run` and `create`: all flags together as the body of POST /containers/create. */
import { isQualifiedDevice } from '../../../spec/cdi/index.ts'
import { readFileSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import type { Shell } from '../framework/command.ts'
import type { Flags } from '../framework/flags.ts'
import { fields } from './container-flags.ts'
import { environment, keyValueLines } from './key-values.ts'
import { isMac, networking } from './network-option.ts'
import { ports } from './ports.ts'
import { pairsOf } from './value.ts'

export interface ContainerBody {
  Image: string
  Tty: boolean
  OpenStdin: boolean
  AttachStdin: boolean
  AttachStdout: boolean
  AttachStderr: boolean
  StdinOnce: boolean
  HostConfig: Record<string, unknown> & { Binds: string[] }
  NetworkingConfig: { EndpointsConfig: Record<string, object> }
  [key: string]: unknown
}
export type SpecShell = Pick<Shell, 'env' | 'cwd'>

const several = (flags: Flags, name: string): string[] => (flags[name] as string[] | undefined) ?? []
const text = (flags: Flags, name: string): string => (flags[name] as string | undefined) ?? ''

/** Throws what is wrong, in docker's words. */
export const containerBody = (
  flags: Flags,
  [Image = '', ...Cmd]: readonly string[],
  shell: SpecShell,
): ContainerBody => {
  refuse(flags)
  const { exposed, bindings } = ports(several(flags, 'publish'), several(flags, 'expose'))
  const { binds, volumes } = volumesOf(several(flags, 'volume'), shell.cwd)
  const { mode, endpoints } = networking(flags)
  const attach = several(flags, 'attach')
  const stdin = flags.interactive === true
  const all = attach.length === 0
  const AttachStdin = stdin || attach.includes('stdin')
  const body: ContainerBody = {
    Image,
    Cmd: Cmd.length > 0 ? Cmd : null,
    ...(flags.entrypoint !== undefined && { Entrypoint: [text(flags, 'entrypoint')] }),
    Tty: false,
    OpenStdin: false,
    AttachStdin,
    AttachStdout: all || attach.includes('stdout'),
    AttachStderr: all || attach.includes('stderr'),
    StdinOnce: stdin && AttachStdin,
    Env: environment(flags, shell),
    Labels: pairsOf([...keyValueLines(several(flags, 'label-file'), shell), ...several(flags, 'label')]),
    ExposedPorts: exposed,
    Volumes: Object.fromEntries(volumes.map((path) => [path, {}])),
    ...healthcheck(flags),
    HostConfig: {
      Binds: binds,
      ContainerIDFile: text(flags, 'cidfile'),
      NetworkMode: mode,
      PortBindings: bindings,
      RestartPolicy: restartPolicy(text(flags, 'restart')),
      LogConfig: { Type: text(flags, 'log-driver'), Config: pairsOf(flags['log-opt']) },
      Devices: several(flags, 'device')
        .filter((each) => !isQualifiedDevice(each))
        .map(device),
      Tmpfs: Object.fromEntries(several(flags, 'tmpfs').map(cut)),
      Sysctls: pairsOf(flags.sysctl),
      Annotations: pairsOf(flags.annotation),
      ...securityOptions(several(flags, 'security-opt'), shell),
      MemorySwappiness: -1,
    },
    NetworkingConfig: { EndpointsConfig: endpoints },
  }
  assign(body, flags)
  // Of a list of NAME=VALUE, the API wants a map.
  if (flags['storage-opt'] !== undefined) body.HostConfig.StorageOpt = storageOptions(several(flags, 'storage-opt'))
  const named = several(flags, 'device').filter(isQualifiedDevice)
  if (named.length > 0) {
    const asked = (body.HostConfig.DeviceRequests as object[] | undefined) ?? []
    const request = { Driver: 'cdi', Count: 0, DeviceIDs: named, Capabilities: null, Options: null }
    body.HostConfig.DeviceRequests = [...asked, request]
  }
  return body
}

/** The flags that are fields as they are. */
export const assign = (body: Record<string, unknown>, flags: Flags): void => {
  for (const { name, path } of fields) {
    if (flags[name] === undefined) continue
    const [last, ...above] = [...path].reverse()
    const at = above.reduceRight((object, key) => object[key] as Record<string, unknown>, body)
    at[last!] = flags[name]
  }
}

const namespace = (flags: Flags, flag: string, what: string, known: readonly string[], container: boolean): void => {
  const given = text(flags, flag)
  if (known.includes(given) || (container && /^container:./.test(given))) return
  throw new Error(`--${flag}: invalid ${what} mode`)
}

const refuse = (flags: Flags): void => {
  const mac = text(flags, 'mac-address')
  if (mac !== '' && !isMac(mac)) throw new Error(`${mac} is not a valid mac address`)
  const swappiness = (flags['memory-swappiness'] as number | undefined) ?? -1
  if (swappiness < -1 || swappiness > 100)
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`)
  namespace(flags, 'pid', 'PID', ['', 'host'], true)
  namespace(flags, 'uts', 'UTS', ['', 'host'], false)
  namespace(flags, 'userns', 'USER', ['', 'host'], false)
  namespace(flags, 'cgroupns', 'CGROUP', ['', 'host', 'private'], false)
  if (text(flags, 'log-driver') === 'none' && several(flags, 'log-opt').length > 0)
    throw new Error('invalid logging opts for driver none')
  if (flags.rm === true && !['', 'no'].includes(text(flags, 'restart')))
    throw new Error('conflicting options: cannot specify both --restart and --rm')
}

/** "NAME:REST" → [NAME, REST]. */
const cut = (each: string): [string, string] => {
  const at = each.indexOf(':')
  return at < 0 ? [each, ''] : [each.slice(0, at), each.slice(at + 1)]
}

/** A path alone is an anonymous volume; what begins with a dot is a directory below this one. */
const volumesOf = (given: readonly string[], cwd: string): { binds: string[]; volumes: string[] } => ({
  binds: given
    .filter((each) => each.includes(':'))
    .map((each) => {
      const [source, rest] = cut(each)
      return `${source.startsWith('.') ? resolve(cwd, source) : source}:${rest}`
    }),
  volumes: given.filter((each) => !each.includes(':')),
})

export const restartPolicy = (given: string): { Name: string; MaximumRetryCount: number } => {
  const [Name, count] = cut(given)
  if (!given.includes(':')) return { Name: Name || 'no', MaximumRetryCount: 0 }
  if (Name === '') throw new Error('invalid restart policy format: no policy provided before colon')
  if (!/^[+-]?\d+$/.test(count))
    throw new Error('invalid restart policy format: maximum retry count must be an integer')
  return { Name, MaximumRetryCount: Number(count) }
}

const healthcheck = (flags: Flags): { Healthcheck?: object } => {
  const command = text(flags, 'health-cmd')
  const times = ['interval', 'timeout', 'start-period', 'start-interval', 'retries'] as const
  const [Interval, Timeout, StartPeriod, StartInterval, Retries] = times.map(
    (name) => (flags[`health-${name}`] as number | undefined) ?? 0,
  )
  const given = command !== '' || [Interval, Timeout, StartPeriod, StartInterval, Retries].some((n) => n !== 0)
  if (flags['no-healthcheck'] === true) {
    if (given) throw new Error('--no-healthcheck conflicts with --health-* options')
    return { Healthcheck: { Test: ['NONE'] } }
  }
  if (!given) return {}
  for (const name of times)
    if (Number(flags[`health-${name}`]) < 0) throw new Error(`--health-${name} cannot be negative`)
  const Test = command === '' ? null : ['CMD-SHELL', command]
  return { Healthcheck: { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } }
}

/** Profiles are files of the client; systempaths=unconfined empties the lists of masked and read-only paths. */
const securityOptions = (given: readonly string[], { cwd }: SpecShell): Record<string, unknown> => {
  const SecurityOpt = given
    .filter((each) => each !== 'systempaths=unconfined')
    .map((each) => {
      const at = each.search(/[=:]/)
      if (at < 0 && each !== 'no-new-privileges') throw new Error(`Invalid --security-opt: ${JSON.stringify(each)}`)
      const [name, value] = [each.slice(0, at), each.slice(at + 1)]
      if (name !== 'seccomp' || ['unconfined', 'builtin'].includes(value)) return each
      return `seccomp=${profile(value, cwd)}`
    })
  return SecurityOpt.length === given.length ? { SecurityOpt } : { SecurityOpt, MaskedPaths: [], ReadonlyPaths: [] }
}

const profile = (file: string, cwd: string): string => {
  let content: string
  try {
    content = readFileSync(resolve(cwd, file), 'utf8')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? `open ${file}: no such file or directory` : (error as Error).message
    throw new Error(`opening seccomp profile (${file}) failed: ${why}`)
  }
  try {
    return JSON.stringify(JSON.parse(content))
  } catch (error) {
    throw new Error(`compacting json for seccomp profile (${file}) failed: ${(error as Error).message}`)
  }
}

const storageOptions = (given: readonly string[]): Record<string, string> => {
  if (given.some((each) => !each.includes('='))) throw new Error('invalid storage option')
  return pairsOf(given)
}

const isMode = (mode: string): boolean => /^[rwm]+$/.test(mode) && new Set(mode).size === mode.length

interface Device {
  PathOnHost: string
  PathInContainer: string
  CgroupPermissions: string
}

/** DEVICE[:PATH][:MODE] or DEVICE[:MODE]. */
const device = (given: string): Device => {
  const parts = given.split(':')
  if (parts.length > 3 || parts[0] === '') throw new Error(`bad format for path: ${given}`)
  const [source, second, third] = parts as [string, string?, string?]
  if (third !== undefined && !isMode(third)) throw new Error(`bad mode specified: ${third}`)
  const CgroupPermissions = third ?? (second !== undefined && isMode(second) ? second : 'rwm')
  const target = second === undefined || (third === undefined && isMode(second)) ? '' : posix.normalize(second)
  const inside = target === '' ? source : target
  if (!inside.startsWith('/')) throw new Error(`${inside} is not an absolute path`)
  return { PathOnHost: source, PathInContainer: inside, CgroupPermissions }
}
