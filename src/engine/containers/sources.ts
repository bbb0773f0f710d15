import { closeSync, existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { OciMount } from '../../spec/oci/index.ts'
import type { Container, Sandbox } from '../types.ts'
import type { Context } from './context.ts'
import { copyUp } from './copy-up.ts'
import type { ContainerRecord } from './records.ts'

const tmpfsOptions = (mount: Extract<Container['mounts'][number], { type: 'tmpfs' }>): string[] => {
  const opposite: Record<string, string> = { exec: 'noexec', suid: 'nosuid', dev: 'nodev' }
  const dropped = new Set((mount.options ?? []).map((option) => opposite[option]))
  return [
    ...['noexec', 'nosuid', 'nodev'].filter((option) => !dropped.has(option)),
    ...(mount.options ?? []),
    ...(mount.size === undefined ? [] : [`size=${mount.size}`]),
    ...(mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8)}`]),
  ]
}

/** Mounts made on the host for one container, below its bundle: they go when the bundle goes. */
export class Staging {
  readonly #ctx: Context
  readonly #dir: string
  #count = 0

  constructor(ctx: Context, bundle: string) {
    this.#ctx = ctx
    this.#dir = join(bundle, 'mounts')
  }

  place(directory: boolean): string {
    const at = join(this.#dir, String(this.#count++))
    mkdirSync(directory ? at : this.#dir, { recursive: true, mode: 0o700 })
    if (!directory) writeFileSync(at, '', { mode: 0o600 })
    return at
  }

  bind(source: string, directory: boolean, options: string[] = ['rbind']): string {
    const at = this.place(directory)
    this.#ctx.sys.mounts.mount({ type: 'bind', source, target: at, options })
    return at
  }

  /** Binds what `path` is inside `root`, whatever links are there: it is held open from the look to the mount. */
  bindInside(root: string, path: string): string {
    const fd = this.#ctx.sys.files.openInRoot(root, path, 0x200000)
    try {
      const source = `/proc/self/fd/${fd}`
      return this.bind(source, statSync(source).isDirectory())
    } finally {
      closeSync(fd)
    }
  }
}

/** The subpath without links. Docker follows them as the host does, and takes none that leaves the volume. */
export const within = (volume: string, subpath: string): string => {
  const base = realpathSync(volume)
  const full = join(base, subpath)
  let real: string
  try {
    real = realpathSync(full)
  } catch (cause) {
    throw new SlipwayError(
      'bad-request',
      `cannot access path ${full}: ${messageOf(cause).replace(/^\w+: |, lstat .*$/g, '')}`,
      { cause },
    )
  }
  if (real !== base && !real.startsWith(`${base}/`))
    throw new SlipwayError(
      'bad-request',
      `path concatenation escapes the base directory, base: ${base}, subpath: ${subpath}`,
    )
  return real.slice(base.length) || '/'
}

const bindSource = (mount: Extract<Container['mounts'][number], { type: 'bind' }>): boolean => {
  const stat = statSync(mount.source, { throwIfNoEntry: false })
  if (stat) return stat.isDirectory()
  if (!mount.createSource)
    throw new SlipwayError(
      'bad-request',
      `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
    )
  mkdirSync(mount.source, { recursive: true, mode: 0o755 })
  return true
}

/**
 * Is one of the two inside the other? Bound below the run directory, such a tree would hold all that was bound there
 * before, and the next one this and all of that: twice as many mounts with every container.
 */
const holds = (source: string, runDir: string): boolean => {
  const [path, own] = [`${realpathSync(source)}/`.replace('//', '/'), `${runDir}/`]
  return own.startsWith(path) || path.startsWith(own)
}

interface BindFlags {
  readOnly: boolean
  recursive?: boolean | undefined
  readOnlyBelow?: boolean | undefined
  propagation?: string | undefined
}
const bindOptions = (mount: BindFlags, directory: boolean): string[] => {
  const propagation = mount.propagation || 'rprivate'
  const access = mount.readOnly ? ['ro'] : ['rw']
  // crun 1.8 takes the 'r' of a propagation for one of the bind.
  if (mount.recursive === false) return ['bind', propagation.replace(/^r/, ''), ...access]
  // Nothing can be mounted below a file, and crun opens the target of 'rro' as a directory.
  const below = mount.readOnly && directory && mount.readOnlyBelow !== false
  return ['rbind', propagation, ...access, ...(below ? ['rro'] : [])]
}

/** One mount of a container as the runtime takes it; what has to exist for it is made. */
export const ociMount = async (
  ctx: Context,
  record: ContainerRecord,
  mount: Container['mounts'][number],
  staging: Staging,
  staged: boolean,
): Promise<OciMount> => {
  const destination = mount.target
  switch (mount.type) {
    case 'tmpfs':
      return { destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(mount) }
    case 'bind': {
      const directory = bindSource(mount)
      if (mount.copyUp && directory) await copyUp(ctx, record.paths.rootfs, destination, mount.source)
      // The runtime's own mount namespace may not know mounts that are newer than it; what we mount reaches it.
      const direct =
        !staged ||
        (mount.propagation ?? 'rprivate').includes('shared') ||
        mount.propagation?.includes('slave') ||
        holds(mount.source, ctx.instance.runDir)
      return {
        destination,
        type: 'bind',
        source: direct ? mount.source : staging.bind(mount.source, directory),
        options: bindOptions(mount, directory),
      }
    }
    case 'volume': {
      const id = mount.name ?? mount.volume
      const path = await ctx.volumes.acquire(id, record.id)
      const place = { destination, 'read/write': String(!mount.readOnly), propagation: '' }
      ctx.events.emit({
        type: 'volume',
        action: 'mount',
        id,
        attributes: { driver: 'local', container: record.id, ...place },
      })
      if (mount.copyUp && mount.subpath === undefined) await copyUp(ctx, record.paths.rootfs, destination, path)
      const inside =
        mount.subpath === undefined
          ? staged
            ? staging.bind(path, true)
            : path
          : staging.bindInside(path, within(path, mount.subpath))
      if (mount.copyUp && mount.subpath !== undefined && statSync(inside).isDirectory())
        await copyUp(ctx, record.paths.rootfs, destination, inside)
      return { destination, type: 'bind', source: inside, options: bindOptions(mount, statSync(inside).isDirectory()) }
    }
    case 'image': {
      const image = await ctx.images.must(mount.image)
      const at = staging.place(true)
      const last = image.snapshots.at(-1)
      if (last !== undefined) ctx.sys.mounts.mount({ ...(await ctx.snapshots.mounts(last)), target: at })
      const source = mount.subpath === undefined ? at : staging.bindInside(at, mount.subpath)
      return { destination, type: 'bind', source, options: ['rbind', 'rprivate', 'ro'] }
    }
  }
}

/** /etc/hosts, /etc/resolv.conf and /etc/hostname of the sandbox, where the container does not bring its own; as read-only as the rest. */
export const sandboxFiles = ({ files }: Sandbox, { mounts, spec }: ContainerRecord): OciMount[] => {
  const access = spec.security.readOnlyRootfs ? 'ro' : 'rw'
  const taken = new Set(mounts.map(({ target }) => target))
  const wanted: [string, string][] = [
    ['/etc/hosts', files.hosts],
    ['/etc/resolv.conf', files.resolvConf],
    ['/etc/hostname', files.hostname],
  ]
  return wanted
    .filter(([target, source]) => !taken.has(target) && source !== '' && existsSync(source))
    .map(([destination, source]) => ({ destination, type: 'bind', source, options: ['rbind', 'rprivate', access] }))
}
