/** Binds, mounts, tmpfs and --volumes-from of a create request. */
import { posix } from 'node:path'
import type { Container, MountSpec, VolumeSpec } from '../../engine/types.ts'
import type { SlipwayError } from '../../errors.ts'
import { bad, defined, positive } from './container-fields.ts'
import type { ContainerConfig, HostConfig, MountConfig } from './wire.ts'

interface Lookup {
  container(reference: string): Container
  version: readonly [number, number]
  root: string
}

export const mountsOf = (
  config: ContainerConfig,
  host: HostConfig,
  find: Lookup,
  volumes: VolumeSpec[],
): MountSpec[] => {
  const mounts: MountSpec[] = []
  const add = (mount: MountSpec): void => {
    const at = mounts.findIndex((m) => m.target === mount.target)
    if (at >= 0) mounts.splice(at, 1)
    mounts.push(mount)
  }
  for (const from of host.VolumesFrom ?? []) for (const mount of fromContainer(from, find)) add(mount)
  const tmpfs = Object.entries(host.Tmpfs ?? {}).map(([target, options]) => ({ target: tmpfsTarget(target), options }))
  // What was asked for here wins over what comes with another container or the image, but not over itself.
  const taken = new Set(tmpfs.map(({ target }) => target))
  const asked = (mount: MountSpec): void => {
    if (taken.has(mount.target)) throw bad(`Duplicate mount point: ${mount.target}`)
    taken.add(mount.target)
    add(mount.type === 'bind' ? ruled(mount, find) : mount)
  }
  for (const bind of host.Binds ?? []) asked(bindMount(bind, host.VolumeDriver ?? '', volumes))
  for (const mount of host.Mounts ?? []) asked(typedMount(mount, volumes))
  for (const { target, options } of tmpfs)
    add({ type: 'tmpfs', target, options: options === '' ? [] : options.split(',') })
  for (const declared of Object.keys(config.Volumes ?? {})) {
    const target = clean(declared)
    if (!mounts.some((m) => m.target === target))
      add({ type: 'volume', volume: '', target, readOnly: false, copyUp: true })
  }
  return mounts
}

/**
 * Whoever holds the daemon's own mounts in private keeps the daemon from taking them down: binds around or inside its data
 * follow them. Before 1.44 read-only did not reach the mounts below.
 */
const ruled = (mount: Extract<MountSpec, { type: 'bind' }>, { version, root }: Lookup): MountSpec => {
  const { source, propagation } = mount
  const around = `${root}/`.startsWith(source === '/' ? '/' : `${source}/`) || `${source}/`.startsWith(`${root}/`)
  if (around && propagation !== undefined && propagation !== 'rslave' && propagation !== 'rshared')
    throw bad(
      `invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: "${root}", bind mount source: "${source}", propagation: "${propagation}"`,
    )
  return {
    ...mount,
    ...(around ? { propagation: propagation ?? 'rslave' } : {}),
    ...(version[1] < 44 ? { readOnlyBelow: false } : {}),
  }
}

/** "/a//b/" → "/a/b". */
const clean = (target: string): string => posix.normalize(target).replace(/(.)\/$/, '$1')

const tmpfsTarget = (given: string): string => {
  const target = clean(given)
  if (target === '/') throw bad(`invalid specification: destination can't be '/'`)
  if (!target.startsWith('/')) throw bad(`invalid mount path: '${given}' mount path must be absolute`)
  return target
}

const fromContainer = (from: string, find: Lookup): MountSpec[] => {
  const [reference = '', ...rest] = from.split(':')
  if (reference === '') throw bad('volumes-from specification cannot be an empty string')
  const options = modeOptions(rest.join(':'))
  // How a mount is made was settled with the other container.
  if (!options || options.some((option) => option === 'nocopy' || propagations.includes(option)))
    throw bad(`invalid mode: ${rest.join(':')}`)
  return find
    .container(reference)
    .mounts.filter((m) => m.type === 'volume' || m.type === 'bind')
    .map((m) => {
      const { name, hostPath: _, ...spec } = m
      const shared =
        spec.type === 'volume' && name
          ? { ...spec, volume: name, copyUp: false, anonymous: spec.volume === '' || spec.anonymous }
          : spec
      return options.includes('ro') ? ({ ...shared, readOnly: true } as MountSpec) : (shared as MountSpec)
    })
}

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave']
/** Of each kind at most one. */
const optionKinds = [['ro', 'rw'], ['z', 'Z'], ['nocopy'], ['cached', 'delegated', 'consistent'], propagations]

/** The words after the last colon of `-v`; undefined if they are none. */
const modeOptions = (mode: string): string[] | undefined => {
  const options = mode === '' ? [] : mode.split(',')
  const fits =
    options.every((option) => optionKinds.some((kind) => kind.includes(option))) &&
    optionKinds.every((kind) => options.filter((option) => kind.includes(option)).length <= 1)
  return fits ? options : undefined
}

const bindMount = (text: string, driver: string, volumes: VolumeSpec[]): MountSpec => {
  const invalid = (why = ''): SlipwayError => bad(`invalid volume specification: '${text}'${why && `: ${why}`}`)
  const parts = text.split(':')
  // A mode has no place behind a path inside: "/foo:rw" is no bind.
  if (parts.length > 3 || parts.includes('') || (parts.length === 2 && modeOptions(parts[1]!))) throw invalid()
  const [source, given, mode] = parts.length === 1 ? ['', parts[0]!, ''] : [parts[0]!, parts[1]!, parts[2] ?? '']
  const options = modeOptions(mode)
  if (!options) throw bad(`invalid mode: ${mode}`)
  const type = source.startsWith('/') ? 'bind' : 'volume'
  const config = (why: string): SlipwayError => invalid(`invalid mount config for type "${type}": ${why}`)
  const target = clean(given)
  if (target === '/') throw invalid(`invalid specification: destination can't be '/'`)
  if (!target.startsWith('/')) throw config(`invalid mount path: '${given}' mount path must be absolute`)
  const readOnly = options.includes('ro')
  const propagation = options.find((o) => propagations.includes(o))
  if (type === 'bind') {
    if (options.includes('nocopy')) throw config('field VolumeOptions must not be specified')
    return {
      type,
      source: clean(source),
      target,
      readOnly,
      createSource: true,
      recursive: true,
      ...defined({ propagation }),
    }
  }
  if (propagation !== undefined) throw config('field BindOptions must not be specified')
  if (source === '') return { type, volume: '', target, readOnly, copyUp: true }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(source))
    throw bad(
      `create ${source}: "${source}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    )
  volumes.push({ name: source, driver: driver || 'local', options: {}, labels: {} })
  return { type, volume: source, target, readOnly, copyUp: !options.includes('nocopy') }
}

/** Stays inside by its text; where its links lead shows at the start. */
const isLocal = (path: string): boolean => {
  const normal = posix.normalize(path)
  return !posix.isAbsolute(path) && normal !== '..' && !normal.startsWith('../')
}

const typedMount = (m: MountConfig, volumes: VolumeSpec[]): MountSpec => {
  const invalid = (why: string): SlipwayError => bad(`invalid mount config for type "${m.Type}": ${why}`)
  if (!m.Target) throw invalid('field Target must not be empty')
  const target = clean(m.Target)
  if (target === '/') throw invalid(`invalid specification: destination can't be '/'`)
  if (!target.startsWith('/')) throw invalid(`invalid mount path: '${m.Target}' mount path must be absolute`)
  const extra = { bind: 'BindOptions', volume: 'VolumeOptions', tmpfs: 'TmpfsOptions' } as const
  for (const [type, field] of Object.entries(extra))
    if (type !== m.Type && type !== 'tmpfs' && m[field]) throw invalid(`field ${field} must not be specified`)
  const readOnly = m.ReadOnly ?? false
  switch (m.Type) {
    case 'bind':
      if (!m.Source) throw invalid('field Source must not be empty')
      if (!m.Source.startsWith('/')) throw invalid(`invalid mount path: '${m.Source}' mount path must be absolute`)
      if (m.BindOptions?.Propagation && !propagations.includes(m.BindOptions.Propagation))
        throw invalid(`invalid propagation mode: ${m.BindOptions.Propagation}`)
      if (m.BindOptions?.ReadOnlyForceRecursive) {
        if (!readOnly) throw bad('mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive')
        if (m.BindOptions.ReadOnlyNonRecursive)
          throw bad('mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive')
      }
      return {
        type: 'bind',
        source: clean(m.Source),
        target,
        readOnly,
        createSource: m.BindOptions?.CreateMountpoint ?? false,
        recursive: !m.BindOptions?.NonRecursive,
        ...(m.BindOptions?.ReadOnlyNonRecursive ? { readOnlyBelow: false } : {}),
        ...defined({ propagation: m.BindOptions?.Propagation || undefined }),
      }
    case 'volume': {
      const driver = m.VolumeOptions?.DriverConfig
      if (!m.Source && m.VolumeOptions?.Subpath) throw invalid('must not set Subpath when using anonymous volumes')
      if (m.VolumeOptions?.Subpath && !isLocal(m.VolumeOptions.Subpath))
        throw invalid('subpath must be a relative path within the volume')
      if (!m.Source && readOnly) throw invalid('must not set ReadOnly mode when using anonymous volumes')
      if (m.Source)
        volumes.push({
          name: m.Source,
          driver: driver?.Name || 'local',
          options: driver?.Options ?? {},
          labels: m.VolumeOptions?.Labels ?? {},
        })
      return {
        type: 'volume',
        volume: m.Source ?? '',
        target,
        readOnly,
        copyUp: !m.VolumeOptions?.NoCopy,
        ...defined({ subpath: m.VolumeOptions?.Subpath || undefined }),
      }
    }
    case 'tmpfs':
      if (m.Source) throw invalid('field Source must not be specified')
      return {
        type: 'tmpfs',
        target,
        ...defined({ size: positive(m.TmpfsOptions?.SizeBytes), mode: positive(m.TmpfsOptions?.Mode) }),
        options: [...(readOnly ? ['ro'] : []), ...(m.TmpfsOptions?.Options ?? []).map((o) => o.join('='))],
      }
    case 'image':
      if (!m.Source) throw invalid('field Source must not be empty')
      return { type: 'image', image: m.Source, target, ...defined({ subpath: m.ImageOptions?.Subpath || undefined }) }
    default:
      throw invalid('mount type unknown')
  }
}
