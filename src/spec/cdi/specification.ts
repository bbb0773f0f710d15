/** A CDI specification (SPEC.md of the Container Device Interface, up to 1.1.0), as its files spell it. */
import { checkDeviceName, checkKind } from './names.ts'

export interface CdiDeviceNode {
  /** In the container. */
  path: string
  /** On the host; default: the same. */
  hostPath?: string
  type?: 'b' | 'c' | 'u' | 'p'
  major?: number
  minor?: number
  fileMode?: number
  /** Of the device cgroup: letters of rwm, or 'none'. Default: all. */
  permissions?: string
  uid?: number
  gid?: number
}
export interface CdiMount {
  hostPath: string
  containerPath: string
  options?: string[]
  type?: string
}
export interface CdiHook {
  hookName: 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop'
  path: string
  args?: string[]
  env?: string[]
  timeout?: number
}
export interface CdiIntelRdt {
  closID?: string
  l3CacheSchema?: string
  memBwSchema?: string
  enableCMT?: boolean
  enableMBM?: boolean
}
export interface CdiEdits {
  /** 'NAME=value' */
  env?: string[]
  deviceNodes?: CdiDeviceNode[]
  netDevices?: { hostInterfaceName: string; name: string }[]
  hooks?: CdiHook[]
  mounts?: CdiMount[]
  intelRdt?: CdiIntelRdt
  additionalGids?: number[]
}
export interface CdiSpecification {
  cdiVersion: string
  kind: string
  annotations?: Record<string, string>
  devices: { name: string; annotations?: Record<string, string>; containerEdits: CdiEdits }[]
  containerEdits?: CdiEdits
}

/** Reads one value; throws an Error that says what it should have been. */
type Reader = (value: unknown, where: string) => unknown

const wrong = (value: unknown, where: string, what: string): Error =>
  new Error(`cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into field ${where} of type ${what}`)

/** Scalars of YAML are texts where a text is meant. */
const text: Reader = (value, where) => {
  if (['string', 'number', 'boolean'].includes(typeof value)) return String(value)
  throw wrong(value, where, 'string')
}
const whole: Reader = (value, where) => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  throw wrong(value, where, 'int64')
}
const truth: Reader = (value, where) => {
  if (typeof value === 'boolean') return value
  throw wrong(value, where, 'bool')
}
const listOf =
  (read: Reader): Reader =>
  (value, where) => {
    if (Array.isArray(value)) return value.map((each, i) => read(each, `${where}[${i}]`))
    throw wrong(value, where, 'list')
  }
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const texts: Reader = (value, where) => {
  if (!isObject(value)) throw wrong(value, where, 'map of strings')
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, text(each, `${where}.${key}`)]))
}
/** Fields that are null are not there; others than these are an error. */
const object =
  (fields: Record<string, Reader>): Reader =>
  (value, where) => {
    if (!isObject(value)) throw wrong(value, where === '' ? 'Spec' : where, 'object')
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, each]) => {
        const read = fields[key]
        if (!read) throw new Error(`unknown field "${where === '' ? key : `${where}.${key}`}"`)
        return each === null ? [] : [[key, read(each, where === '' ? key : `${where}.${key}`)]]
      }),
    )
  }

const edits = object({
  env: listOf(text),
  deviceNodes: listOf(
    object({
      path: text,
      hostPath: text,
      type: text,
      major: whole,
      minor: whole,
      fileMode: whole,
      permissions: text,
      uid: whole,
      gid: whole,
    }),
  ),
  netDevices: listOf(object({ hostInterfaceName: text, name: text })),
  hooks: listOf(object({ hookName: text, path: text, args: listOf(text), env: listOf(text), timeout: whole })),
  mounts: listOf(object({ hostPath: text, containerPath: text, options: listOf(text), type: text })),
  intelRdt: object({
    closID: text,
    l3CacheSchema: text,
    memBwSchema: text,
    schemata: listOf(text),
    enableMonitoring: truth,
    enableCMT: truth,
    enableMBM: truth,
  }),
  additionalGids: listOf(whole),
})
const specification = object({
  cdiVersion: text,
  kind: text,
  annotations: texts,
  devices: listOf(object({ name: text, annotations: texts, containerEdits: edits })),
  containerEdits: edits,
})

const versions = ['0.1.0', '0.2.0', '0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0']
const hookNames = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

const checkEnv = (env: readonly string[] = []): void => {
  const bad = env.find((each) => each.indexOf('=') <= 0)
  if (bad !== undefined) throw new Error(`invalid environment variable "${bad}"`)
}

const checkNode = (node: CdiDeviceNode): void => {
  if (!node.path) throw new Error('invalid (empty) device path')
  const { path, type = '', major = 0, minor = 0, permissions = '' } = node
  if (!['', 'b', 'c', 'u', 'p'].includes(type)) throw new Error(`device "${path}": invalid type "${type}"`)
  if (major < 0 || minor < 0) throw new Error(`device "${path}": invalid (negative) device number ${major}:${minor}`)
  if (permissions !== 'none' && !/^[rwm]*$/.test(permissions))
    throw new Error(`device "${path}": invalid permissions "${permissions}"`)
}

const checkHook = ({ hookName, path, env }: CdiHook): void => {
  if (!hookNames.includes(hookName)) throw new Error(`invalid hook name "${hookName ?? ''}"`)
  if (!path) throw new Error(`invalid hook "${hookName}" with empty path`)
  checkEnv(env)
}

const checkMount = ({ hostPath, containerPath }: CdiMount): void => {
  if (!hostPath) throw new Error('invalid mount, empty host path')
  if (!containerPath) throw new Error('invalid mount, empty container path')
}

const checkEdits = (given: CdiEdits = {}): void => {
  checkEnv(given.env)
  given.deviceNodes?.forEach(checkNode)
  given.hooks?.forEach(checkHook)
  given.mounts?.forEach(checkMount)
}

const isEmpty = (given: CdiEdits = {}): boolean =>
  Object.values(given).every((each) => (Array.isArray(each) ? each.length === 0 : each === undefined))

/** What a file holds, checked. Throws an Error that says what is wrong with it. */
export const readSpecification = (document: unknown): CdiSpecification => {
  const spec = specification(document, '') as Partial<CdiSpecification>
  const { cdiVersion = '', kind = '', devices = [] } = spec
  const invalid = (why: string): Error => new Error(`invalid CDI Spec: ${why}`)
  if (!versions.includes(cdiVersion.replace(/^v/, ''))) throw invalid(`invalid version "${cdiVersion}"`)
  try {
    checkKind(kind)
    checkEdits(spec.containerEdits)
  } catch (error) {
    throw invalid((error as Error).message)
  }
  const seen = new Set<string>()
  for (const { name = '', containerEdits } of devices) {
    try {
      checkDeviceName(name)
      if (isEmpty(containerEdits)) throw new Error(`invalid device, empty device edits`)
      checkEdits(containerEdits)
    } catch (error) {
      throw invalid(`failed add device "${name}": ${(error as Error).message}`)
    }
    if (seen.has(name)) throw invalid(`invalid spec, multiple device "${name}"`)
    seen.add(name)
  }
  if (devices.length === 0) throw invalid('invalid spec, no devices')
  return spec as CdiSpecification
}

/** All of them, in their order; the last one's intelRdt counts. */
export const joinEdits = (all: readonly CdiEdits[]): CdiEdits =>
  all.reduce<CdiEdits>(
    (sum, each) => ({
      env: [...(sum.env ?? []), ...(each.env ?? [])],
      deviceNodes: [...(sum.deviceNodes ?? []), ...(each.deviceNodes ?? [])],
      netDevices: [...(sum.netDevices ?? []), ...(each.netDevices ?? [])],
      hooks: [...(sum.hooks ?? []), ...(each.hooks ?? [])],
      mounts: [...(sum.mounts ?? []), ...(each.mounts ?? [])],
      ...((each.intelRdt ?? sum.intelRdt) ? { intelRdt: each.intelRdt ?? sum.intelRdt } : {}),
      additionalGids: [...(sum.additionalGids ?? []), ...(each.additionalGids ?? [])],
    }),
    {},
  )
