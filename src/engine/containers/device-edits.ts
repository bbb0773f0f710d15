/** What a specification of devices changes of a container's configuration (CDI, containerEdits). */
import { lstatSync, type Stats, statSync } from 'node:fs'
import { posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { CdiDeviceNode, CdiEdits, CdiMount } from '../../spec/cdi/index.ts'
import type { OciDevice, OciDeviceRule, OciHooks, OciMount } from '../../spec/oci/index.ts'
import type { ConfigInput } from '../runtime/config.ts'
import { majorOf, minorOf } from '../runtime/devices.ts'
import { mergeEnv } from './process.ts'

const failed = (why: string): SlipwayError =>
  new SlipwayError('bad-request', `CDI device injection failed: failed to inject devices: ${why}`)

const typeOf = (stat: Stats): 'b' | 'c' | 'p' | undefined =>
  stat.isBlockDevice() ? 'b' : stat.isCharacterDevice() ? 'c' : stat.isFIFO() ? 'p' : undefined

/** Type and number come from the host's node where they are not said. Made for the container's user where no owner is named. */
const deviceOf = (node: CdiDeviceNode, user: { uid: number; gid: number }): OciDevice => {
  const { path, hostPath = path, major = 0, minor = 0, fileMode } = node
  let made = { type: node.type, major, minor }
  if (node.type === undefined || (major === 0 && node.type !== 'p')) {
    const stat = lstatSync(hostPath, { throwIfNoEntry: false })
    const type = stat && typeOf(stat)
    if (!stat || !type)
      throw failed(
        `failed to stat CDI host device "${hostPath}": ${stat ? 'not a device node' : 'no such file or directory'}`,
      )
    if (node.type !== undefined && node.type !== type)
      throw failed(`CDI device ("${path}", "${hostPath}"), host type mismatch (${node.type}, ${type})`)
    made =
      major === 0 && type !== 'p' ? { type, major: majorOf(stat.rdev), minor: minorOf(stat.rdev) } : { ...made, type }
  }
  const { uid = user.uid, gid = user.gid } = node
  return { path, ...made, type: made.type!, fileMode: fileMode ?? 0o666, uid, gid }
}

const ruleOf = ({ type, major, minor }: OciDevice, permissions = 'rwm'): OciDeviceRule[] =>
  type === 'b' || type === 'c'
    ? [{ allow: true, type, major, minor, access: permissions === 'none' ? '' : permissions || 'rwm' }]
    : []

/** Without a type it is what a path of the host can only be: bound. */
const mountOf = ({ hostPath, containerPath, options = [], type }: CdiMount): OciMount => {
  const bound = options.includes('bind') || options.includes('rbind')
  const bind = bound || !type || type === 'bind'
  if (bind && !statSync(hostPath, { throwIfNoEntry: false }))
    throw failed(`failed to stat CDI host path "${hostPath}": no such file or directory`)
  return {
    destination: containerPath,
    type: bind ? 'bind' : type,
    source: hostPath,
    options: bind && !bound ? ['rbind', ...options] : options,
  }
}

/** The mounts, and what has the place of one of `others` no more. `place` brings a bound source to where the runtime sees it. */
export const editedMounts = (
  { mounts = [] }: CdiEdits,
  others: readonly OciMount[],
  place: (mount: OciMount) => OciMount,
): OciMount[] => {
  const wanted = new Map(mounts.map((mount) => [posix.resolve('/', mount.containerPath), place(mountOf(mount))]))
  return [...others.filter(({ destination }) => !wanted.has(posix.resolve('/', destination))), ...wanted.values()]
}

const hooksOf = ({ hooks = [] }: CdiEdits): OciHooks => {
  const made: OciHooks = {}
  for (const { hookName, path, args, env, timeout } of hooks)
    (made[hookName] ??= []).push({
      path,
      ...(args ? { args } : {}),
      ...(env ? { env } : {}),
      ...(timeout === undefined ? {} : { timeout }),
    })
  return made
}

/** Everything but the mounts. */
export const withEdits = (input: ConfigInput, edits: CdiEdits): ConfigInput => {
  const { env = [], deviceNodes = [], additionalGids = [], intelRdt } = edits
  const { user } = input.process
  const nodes = deviceNodes.map((node) => ({ node, device: deviceOf(node, user) }))
  const devices = new Map(input.devices.map((device) => [device.path, device]))
  for (const { device } of nodes) devices.set(device.path, device)
  const groups = [...user.additionalGids, ...additionalGids.filter((gid) => gid !== 0)]
  return {
    ...input,
    process: {
      ...input.process,
      env: mergeEnv(input.process.env, env),
      user: { ...user, additionalGids: [...new Set(groups)] },
    },
    devices: [...devices.values()],
    deviceRules: [...input.deviceRules, ...nodes.flatMap(({ node, device }) => ruleOf(device, node.permissions))],
    hooks: hooksOf(edits),
    ...(intelRdt ? { intelRdt: { ...intelRdt } } : {}),
  }
}
