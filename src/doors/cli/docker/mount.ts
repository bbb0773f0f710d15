/** --mount and --gpus: comma-separated KEY=VALUE as the API's objects. */
import { resolve } from 'node:path'
import { parseBool } from '../framework/flags.ts'
import { csv } from '../../../lib/csv.ts'
import { bytes, pair } from './value.ts'

interface Mount {
  Type: string
  Source?: string
  Target?: string
  ReadOnly?: boolean
  Consistency?: string
  BindOptions?: Record<string, unknown>
  VolumeOptions?: {
    Labels: Record<string, string>
    DriverConfig: { Name?: string; Options?: Record<string, string> }
  } & Record<string, unknown>
  TmpfsOptions?: Record<string, unknown>
  ImageOptions?: Record<string, unknown>
}

const volume = (mount: Mount) => (mount.VolumeOptions ??= { Labels: {}, DriverConfig: {} })
const bind = (mount: Mount) => (mount.BindOptions ??= {})
const tmpfs = (mount: Mount) => (mount.TmpfsOptions ??= {})
const image = (mount: Mount) => (mount.ImageOptions ??= {})

/** Reads with `parse`; what fails is the key's. */
const checked = <T>(key: string, text: string, parse: (text: string) => T): T => {
  try {
    return parse(text)
  } catch {
    throw new Error(`invalid value for ${key}: ${text}`)
  }
}
const octal = (text: string): number => {
  if (!/^[0-7]+$/.test(text)) throw new Error()
  return Number.parseInt(text, 8)
}
const put = (map: Record<string, string>, text: string): void => {
  const [key, value] = pair(text)
  if (key !== '') map[key] = value
}

type Key = (mount: Mount, text: string, key: string) => void

const source: Key = (mount, text) => {
  mount.Source = text === '.' || text.startsWith('./') ? resolve(text) : text
}
const target: Key = (mount, text) => {
  mount.Target = text
}
const readonly: Key = (mount, text, key) => {
  mount.ReadOnly = checked(key, text, parseBool)
}

const recursions = ['enabled', 'disabled', 'writable', 'readonly']
const bindRecursive: Key = (mount, text, key) => {
  if (!recursions.includes(text))
    throw new Error(`invalid value for ${key}: ${text} (must be "enabled", "disabled", "writable", or "readonly")`)
  if (text === 'disabled') bind(mount).NonRecursive = true
  if (text === 'writable') bind(mount).ReadOnlyNonRecursive = true
  if (text === 'readonly') bind(mount).ReadOnlyForceRecursive = true
}

const keys: Record<string, Key> = {
  type: (mount, text) => {
    mount.Type = text.toLowerCase()
  },
  source,
  src: source,
  target,
  dst: target,
  destination: target,
  readonly,
  ro: readonly,
  consistency: (mount, text) => {
    mount.Consistency = text.toLowerCase()
  },
  'bind-propagation': (mount, text) => {
    bind(mount).Propagation = text.toLowerCase()
  },
  'bind-nonrecursive': (mount, text, key) => {
    bind(mount).NonRecursive = checked(key, text, parseBool)
  },
  'bind-recursive': bindRecursive,
  'bind-create-src': (mount, text, key) => {
    bind(mount).CreateMountpoint = checked(key, text, parseBool)
  },
  'volume-nocopy': (mount, text, key) => {
    volume(mount).NoCopy = checked(key, text, parseBool)
  },
  'volume-subpath': (mount, text) => {
    volume(mount).Subpath = text
  },
  'volume-label': (mount, text) => put(volume(mount).Labels, text),
  'volume-driver': (mount, text) => {
    volume(mount).DriverConfig.Name = text
  },
  'volume-opt': (mount, text) => put((volume(mount).DriverConfig.Options ??= {}), text),
  'image-subpath': (mount, text) => {
    image(mount).Subpath = text
  },
  'tmpfs-size': (mount, text, key) => {
    tmpfs(mount).SizeBytes = checked(key, text, bytes)
  },
  'tmpfs-mode': (mount, text, key) => {
    tmpfs(mount).Mode = checked(key, text, octal)
  },
}
/** Keys that mean true by themselves. */
const alone = ['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive', 'bind-create-src']

export const mount = (text: string): Mount => {
  if (text === '') throw new Error('EOF')
  const made: Mount = { Type: 'volume' }
  for (const field of csv(text)) {
    const [key, value] = pair(field)
    const bare = !field.includes('=')
    if (bare && !alone.includes(key)) throw new Error(`invalid field '${field}' must be a key=value pair`)
    const set = Object.hasOwn(keys, key) ? keys[key] : undefined
    if (!set) throw new Error(`unexpected key '${key}' in '${field}'`)
    set(made, bare ? 'true' : value, key)
  }
  if (made.Type === '') throw new Error('type is required')
  if (made.Target === undefined || made.Target === '') throw new Error('target is required')
  for (const [name, options] of [
    ['volume', made.VolumeOptions],
    ['bind', made.BindOptions],
    ['tmpfs', made.TmpfsOptions],
    ['image', made.ImageOptions],
  ] as const)
    if (options && made.Type !== name) throw new Error(`cannot mix '${name}-*' options with mount type '${made.Type}'`)
  refuseRecursions(made)
  return made
}

/** A read-only mount all the way down must be read-only, and stay what it is. */
const refuseRecursions = ({ BindOptions, ReadOnly }: Mount): void => {
  if (BindOptions?.ReadOnlyNonRecursive === true && ReadOnly !== true)
    throw new Error("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
  if (BindOptions?.ReadOnlyForceRecursive !== true) return
  if (ReadOnly !== true)
    throw new Error("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
  if (BindOptions.Propagation !== 'rprivate')
    throw new Error(
      "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
    )
}

interface GpuRequest {
  Driver: string
  Count: number
  DeviceIDs: string[] | null
  Capabilities: string[][]
  Options: Record<string, string>
}

const count = (text: string): number => {
  if (text === 'all') return -1
  if (/^[+-]?\d+$/.test(text)) return Number(text)
  throw new Error(`invalid count (${text}): value must be either "all" or an integer: invalid syntax`)
}

export const gpuRequest = (text: string): GpuRequest => {
  if (text === '') throw new Error('EOF')
  const made: GpuRequest = { Driver: '', Count: 0, DeviceIDs: null, Capabilities: [], Options: {} }
  const seen = new Set<string>()
  for (const field of csv(text)) {
    const [key, value] = field.includes('=') ? pair(field) : ['count', field]
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`)
    seen.add(key)
    if (key === 'driver') made.Driver = value
    else if (key === 'count') made.Count = count(value)
    else if (key === 'device') made.DeviceIDs = value.split(',')
    else if (key === 'capabilities') made.Capabilities = [[...value.split(','), 'gpu']]
    else if (key === 'options') made.Options = Object.fromEntries(csv(value).map(pair))
    else throw new Error(`unexpected key '${key}' in '${field}'`)
  }
  if (!seen.has('count') && made.DeviceIDs === null) made.Count = 1
  if (made.Capabilities.length === 0) made.Capabilities = [['gpu']]
  return made
}
