/** Binds, mounts, tmpfs and --volumes-from of a create request. */
import type { Container, MountSpec, VolumeSpec } from '../../engine/types.ts'
import type { SlipwayError } from '../../errors.ts'
import { bad, defined, positive } from './container-fields.ts'
import type { ContainerConfig, HostConfig, MountConfig } from './wire.ts'

interface Lookup {
  container(reference: string): Container
}

export const mountsOf = (
  config: ContainerConfig,
  host: HostConfig,
  find: Lookup,
  volumes: VolumeSpec[],
): MountSpec[] => {
  const mounts: MountSpec[] = (host.VolumesFrom ?? []).flatMap((from) => fromContainer(from, find))
  const add = (mount: MountSpec): void => {
    const at = mounts.findIndex((m) => m.target === mount.target)
    if (at >= 0) mounts.splice(at, 1)
    mounts.push(mount)
  }
  for (const bind of host.Binds ?? []) add(bindMount(bind, host.VolumeDriver ?? '', volumes))
  const taken = new Set<string>(mounts.map((m) => m.target))
  for (const mount of host.Mounts ?? []) {
    if (taken.has(mount.Target ?? '') && !(host.VolumesFrom ?? []).length)
      throw bad(`Duplicate mount point: ${mount.Target}`)
    add(typedMount(mount, volumes))
  }
  for (const [target, options] of Object.entries(host.Tmpfs ?? {}))
    add({ type: 'tmpfs', target, options: options === '' ? [] : options.split(',') })
  for (const target of Object.keys(config.Volumes ?? {}))
    if (!mounts.some((m) => m.target === target))
      add({ type: 'volume', volume: '', target, readOnly: false, copyUp: true })
  return mounts
}

const fromContainer = (from: string, find: Lookup): MountSpec[] => {
  const [reference, mode] = from.split(':')
  return find
    .container(reference!)
    .mounts.filter((m) => m.type === 'volume' || m.type === 'bind')
    .map((m) => {
      const { name, hostPath: _, ...spec } = m
      const shared = spec.type === 'volume' && name ? { ...spec, volume: name, copyUp: false } : spec
      return mode === 'ro' ? ({ ...shared, readOnly: true } as MountSpec) : (shared as MountSpec)
    })
}

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave']
const absolute = (target: string, spec: string): string => {
  if (!target.startsWith('/'))
    throw bad(
      `invalid volume specification: '${spec}': invalid mount config for type "bind": invalid mount path: '${target}' mount path must be absolute`,
    )
  if (target === '/')
    throw bad(`invalid volume specification: '${spec}': invalid specification: destination can't be '/'`)
  return target
}

const bindMount = (text: string, driver: string, volumes: VolumeSpec[]): MountSpec => {
  const parts = text.split(':')
  if (parts.length > 3 || parts.some((p) => p === '')) throw bad(`invalid volume specification: '${text}'`)
  if (parts.length === 1)
    return { type: 'volume', volume: '', target: absolute(parts[0]!, text), readOnly: false, copyUp: true }
  const [source, target, mode = ''] = parts as [string, string, string?]
  const options = mode === '' ? [] : mode.split(',')
  for (const o of options)
    if (!['ro', 'rw', 'z', 'Z', 'nocopy', 'cached', 'delegated', 'consistent', ...propagations].includes(o))
      throw bad(`invalid mode: ${mode}`)
  const readOnly = options.includes('ro')
  const propagation = options.find((o) => propagations.includes(o))
  if (source.startsWith('/'))
    return {
      type: 'bind',
      source,
      target: absolute(target, text),
      readOnly,
      createSource: true,
      recursive: true,
      ...defined({ propagation }),
    }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(source))
    throw bad(
      `create ${source}: "${source}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    )
  volumes.push({ name: source, driver: driver || 'local', options: {}, labels: {} })
  return {
    type: 'volume',
    volume: source,
    target: absolute(target, text),
    readOnly,
    copyUp: !options.includes('nocopy'),
  }
}

const typedMount = (m: MountConfig, volumes: VolumeSpec[]): MountSpec => {
  const invalid = (why: string): SlipwayError => bad(`invalid mount config for type "${m.Type}": ${why}`)
  const target = m.Target ?? ''
  if (target === '') throw invalid('field Target must not be empty')
  if (!target.startsWith('/')) throw invalid(`invalid mount path: '${target}' mount path must be absolute`)
  const readOnly = m.ReadOnly ?? false
  switch (m.Type) {
    case 'bind':
      if (!m.Source) throw invalid('field Source must not be empty')
      return {
        type: 'bind',
        source: m.Source,
        target,
        readOnly,
        createSource: m.BindOptions?.CreateMountpoint ?? false,
        recursive: !m.BindOptions?.NonRecursive,
        ...defined({ propagation: m.BindOptions?.Propagation || undefined }),
      }
    case 'volume': {
      const driver = m.VolumeOptions?.DriverConfig
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
      throw bad(`invalid mount type: "${m.Type}"`)
  }
}
