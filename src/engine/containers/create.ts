import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { isError, SlipwayError } from '../../errors.ts'
import { containerCapabilities } from '../runtime/capabilities.ts'
import { parseDeviceRule, requestedDevices } from '../runtime/devices.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { rlimits } from '../runtime/rlimits.ts'
import { profileContext, seccompFor } from '../runtime/seccomp.ts'
import { signalNumber } from '../runtime/signals.ts'
import type { Container, ContainerSpec, Image, MountSpec, SandboxSpec } from '../types.ts'
import { type Context, emit, ownerLabel } from './context.ts'
import { findInit } from './init.ts'
import { preparedLayer } from './mount-points.ts'
import { commandLine, environment } from './process.ts'
import type { ContainerRecord } from './records.ts'
import { makeWorkingDir } from './working-dir.ts'

const validName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

const nameTaken = (name: string, id: string): SlipwayError =>
  new SlipwayError(
    'conflict',
    `Conflict. The container name "/${name}" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  )
export const checkName = (ctx: Context, name: string): void => {
  if (!validName.test(name))
    throw new SlipwayError(
      'bad-request',
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    )
  const holder = ctx.records.byName(name)
  if (holder) throw nameTaken(name, holder.id)
}

/** Files that virtual file systems stand in for; anything else would undo what is hidden and read-only there (runc, checkProcMount). */
const mountableInProc = new Set(
  ['cpuinfo', 'diskstats', 'meminfo', 'stat', 'swaps', 'uptime', 'loadavg', 'slabinfo', 'net/dev']
    .concat('sys/kernel/ns_last_pid', 'sys/crypto/fips_enabled')
    .map((name) => `/proc/${name}`),
)

const PROC_SUPER_MAGIC = 0x9fa0
const isProc = (path: string): boolean => existsSync(path) && statfsSync(path).type === PROC_SUPER_MAGIC

/** What would make every start fail is refused now, in the words of who asked. */
const validate = (ctx: Context, spec: ContainerSpec): void => {
  const { own, apparmor } = ctx.machine
  const profile = spec.security.apparmor || 'unconfined'
  if (profile !== 'unconfined' && !apparmor)
    throw new SlipwayError('bad-request', `apparmor profile "${profile}" cannot be applied: AppArmor is not enabled`, {
      hint: 'The kernel of this machine does not enforce AppArmor; leave the option out.',
    })
  const capabilities = containerCapabilities(spec.security, own.capabilities)
  seccompFor(spec.security.seccomp, profileContext(capabilities))
  rlimits(spec.ulimits, own)
  requestedDevices(spec.devices)
  spec.deviceCgroupRules.map(parseDeviceRule)
  if (spec.usernsMode !== undefined && spec.usernsMode !== '' && spec.usernsMode !== 'host')
    throw new SlipwayError('unsupported', `user namespace mode "${spec.usernsMode}" is not supported`)
  if (spec.workingDir !== undefined && spec.workingDir !== '' && !posix.isAbsolute(spec.workingDir))
    throw new SlipwayError(
      'bad-request',
      `the working directory '${spec.workingDir}' is invalid, it needs to be an absolute path`,
    )
  if (spec.runtime !== undefined && !['', 'crun', 'runc', 'io.containerd.runc.v2'].includes(spec.runtime))
    throw new SlipwayError('bad-request', `unknown or invalid runtime name: ${spec.runtime}`)
  if (spec.init) findInit()
  if (spec.stopSignal) signalNumber(spec.stopSignal)
  const seen = new Set<string>()
  for (const mount of spec.mounts) {
    const { target } = mount
    if (!posix.isAbsolute(target))
      throw new SlipwayError('bad-request', `invalid mount path: '${target}' mount path must be absolute`)
    const normal = posix.normalize(target).replace(/(.)\/$/, '$1')
    if (normal === '/') throw new SlipwayError('bad-request', `invalid specification: destination can't be '/'`)
    if (normal === '/proc' && !(mount.type === 'bind' && isProc(mount.source)))
      throw new SlipwayError('bad-request', `"/proc" cannot be mounted because it is not of type proc`)
    if (normal.startsWith('/proc/') && !mountableInProc.has(normal))
      throw new SlipwayError('bad-request', `"${normal}" cannot be mounted because it is inside /proc`)
    if (seen.has(normal)) throw new SlipwayError('bad-request', `Duplicate mount point: ${target}`)
    seen.add(normal)
  }
}

/** The caller's mounts, and an anonymous volume wherever the image declares one that nothing else covers. */
const allMounts = (spec: ContainerSpec, image: Image): MountSpec[] => {
  const covered = new Set(spec.mounts.map(({ target }) => posix.normalize(target).replace(/(.)\/$/, '$1')))
  const declared = spec.noImageVolumes ? [] : Object.keys(image.config.config?.Volumes ?? {})
  return [
    ...spec.mounts,
    ...declared
      .filter((target) => posix.isAbsolute(target) && !covered.has(posix.normalize(target).replace(/(.)\/$/, '$1')))
      .map((target): MountSpec => ({ type: 'volume', volume: '', target, readOnly: false, copyUp: true })),
  ]
}

/** Anonymous volumes get their names; the others are as they are. Nothing is made yet. */
const nameVolumes = (ctx: Context, mounts: MountSpec[]): Container['mounts'] =>
  mounts.map((mount) => {
    if (mount.type === 'bind') return { ...mount, hostPath: mount.source }
    if (mount.type !== 'volume') return mount
    const name = mount.volume || randomBytes(32).toString('hex')
    return { ...mount, name, hostPath: ctx.volumes.pathOf(name) }
  })

/** On record before they exist: what a kill leaves half-made is found by the record. */
const makeVolumes = (ctx: Context, mounts: Container['mounts']): void => {
  for (const mount of mounts) if (mount.type === 'volume') ctx.volumes.ensure(mount.name!, mount.volume === '')
}

/** The anonymous volumes that were made for this container, or for one whose volumes it shares. */
const anonymousVolumes = ({ mounts }: Pick<Container, 'mounts'>): string[] =>
  mounts.flatMap((mount) => (mount.type === 'volume' && (mount.volume === '' || mount.anonymous) ? [mount.name!] : []))

const record = (ctx: Context, id: string, spec: ContainerSpec, image: Image): ContainerRecord => {
  const config = image.config.config ?? {}
  const kept = join(ctx.instance.stateDir, 'containers', id)
  const bundle = join(ctx.instance.runDir, 'containers', id)
  return ctx.records.add({
    id,
    spec: { ...spec, id },
    imageId: image.id,
    createdAt: ctx.clock.now(),
    sandboxId: 'shared' in spec.sandbox ? spec.sandbox.shared : id,
    process: {
      args: commandLine(spec, config),
      env: environment(spec, config),
      cwd: spec.workingDir || config.WorkingDir || '/',
      user: spec.user ?? config.User ?? '',
      uid: 0,
      gid: 0,
    },
    mounts: nameVolumes(ctx, allMounts(spec, image)),
    paths: { log: join(kept, 'container.log'), rootfs: join(bundle, 'rootfs'), bundle },
    cgroup: posix.join('/', spec.cgroupParent || ctx.instance.cgroupParent, id),
  })
}

/** Everything but the public record goes; for what a failed or killed creation has left, and for removal. */
export const dropParts = async (ctx: Context, target: ContainerRecord): Promise<void> => {
  const { id, paths } = target
  removeTree(ctx.sys.mounts, paths.bundle)
  if ('own' in target.spec.sandbox && ctx.sandboxes.get(id)) await ctx.sandboxes.remove(id)
  await ctx.snapshots.remove(snapshotKey(id))
  rmSync(join(ctx.instance.stateDir, 'containers', id), { recursive: true, force: true })
}

/** The record goes, and with it the anonymous volumes if so wanted. */
export const forget = async (
  ctx: Context,
  target: ContainerRecord,
  { volumes }: { volumes: boolean },
): Promise<void> => {
  ctx.volumes.release(target.id)
  ctx.records.delete(target.id)
  ctx.forgetLive(target.id)
  if (!volumes) return
  for (const name of anonymousVolumes(target))
    await ctx.volumes.remove(name, { force: true }).catch((error: unknown) => {
      // Somebody else has it: the last one takes it along.
      if (!isError(error, 'conflict')) throw error
    })
}

export const snapshotKey = (id: string): string => `container-${id}`

/** The sandbox of a container that has one of its own. */
export const ownSandbox = (ctx: Context, own: Omit<SandboxSpec, 'id'>, id: string): SandboxSpec => ({
  ...own,
  id,
  hostname:
    own.hostname ||
    (own.network.mode === 'sandbox' ? (ctx.sandboxes.get(own.network.id)?.spec.hostname ?? '') : id.slice(0, 12)),
  labels: { ...own.labels, [ownerLabel]: 'container' },
})

export const create = async (ctx: Context, spec: ContainerSpec): Promise<Container> => {
  checkName(ctx, spec.name)
  const { image: name, platform } = spec
  const image = platform ? await ctx.images.forPlatform(name, platform) : await ctx.images.must(name)
  validate(ctx, spec)
  if ('shared' in spec.sandbox && !ctx.sandboxes.get(spec.sandbox.shared))
    throw new SlipwayError('not-found', `No such sandbox: ${spec.sandbox.shared}`)
  const id = spec.id ?? randomBytes(32).toString('hex')
  if (ctx.records.byId(id)) throw new SlipwayError('already-exists', `container ${id} exists`)
  // Another creation may have taken the name while the image was looked up.
  checkName(ctx, spec.name)
  const made = record(ctx, id, spec, image)
  try {
    mkdirSync(join(ctx.instance.stateDir, 'containers', id), { recursive: true, mode: 0o700 })
    const top = image.snapshots.at(-1)
    await ctx.snapshots.prepare(snapshotKey(id), 'own' in spec.sandbox ? await preparedLayer(ctx, top) : top)
    if ('own' in spec.sandbox) await makeWorkingDir(ctx, made, image)
    makeVolumes(ctx, made.mounts)
    if ('own' in spec.sandbox) await ctx.sandboxes.create(ownSandbox(ctx, spec.sandbox.own, id))
    const complete = ctx.records.change(id, { complete: true })
    emit(ctx, complete, 'create')
    return complete
  } catch (error) {
    await dropParts(ctx, made)
    await forget(ctx, made, { volumes: true })
    throw error
  }
}
