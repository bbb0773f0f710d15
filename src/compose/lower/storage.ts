/** Volumes: claims that services share by the volume's name, directories of this machine, memory, and what is gone with the pod. */
import { posix } from 'node:path'
import { formatBytes } from '../../lib/quantity.ts'
import type { Mount, Service } from '../../spec/compose/project.ts'
import { parseBytes } from '../../spec/compose/units.ts'
import type { EmptyDirVolumeSource, Volume, VolumeMount } from '../../spec/kube/generated/types.ts'
import { ConfigMap, type KubeObject } from '../../spec/kube/kinds.ts'
import type { ContainerRuntime } from '../../spec/kube/runtime-annotation.ts'
import { claimName, claimObjects } from './claims.ts'
import type { Lowering } from './context.ts'
import { dnsLabel } from './names.ts'
import { combine, type Piece } from './piece.ts'

/** Volumes of the service and of those it takes volumes_from. */
const mountsOf = (service: Service, lowering: Lowering): { mount: Mount; path: string }[] => {
  const own = (service.volumes ?? []).map((mount, i) => ({ mount, path: `volumes.${i}` }))
  const taken = new Set(own.map(({ mount }) => mount.target))
  const from = (service.volumes_from ?? []).flatMap((spec, i) => {
    const [name = '', mode] = spec.split(':')
    const path = `volumes_from.${i}`
    if (name === 'container' || !lowering.project.services[name]) {
      lowering.refuse(
        service.name,
        path,
        `"${spec}": volumes come from services of the project only`,
        'Name a service of this file.',
      )
      return []
    }
    return (lowering.project.services[name].volumes ?? []).flatMap((mount) => {
      if (taken.has(mount.target)) return []
      if (mount.type === 'tmpfs' || (mount.type === 'volume' && !mount.source)) {
        lowering.refuse(
          service.name,
          path,
          `${mount.target} of "${name}" lives with its pod and cannot be shared`,
          'Give the volume a name.',
        )
        return []
      }
      return [{ mount: { ...mount, ...(mode === 'ro' && { read_only: true }) }, path }]
    })
  })
  return [...own, ...from]
}

export const storage = (service: Service, lowering: Lowering): Piece =>
  combine([
    ...undeclared(service, lowering),
    ...mountsOf(service, lowering).map(({ mount, path }, i) => lowerMount(service, mount, path, i, lowering)),
    ...(service.tmpfs ?? []).map((spec, i) => {
      const [target = '', options] = spec.split(':')
      return memory(service, `tmpfs-${i}`, target, options?.split(',').filter(Boolean) ?? [], lowering, `tmpfs.${i}`)
    }),
    service.shm_size === undefined
      ? {}
      : memory(service, 'shm', '/dev/shm', [`size=${service.shm_size}`], lowering, 'shm_size'),
  ])

/** A volume that only the image declares: docker keeps it for the container's next life, a pod has no next life. */
const undeclared = (service: Service, lowering: Lowering): Piece[] => {
  const mounted = new Set([
    ...mountsOf(service, lowering).map(({ mount }) => mount.target),
    ...(service.tmpfs ?? []).map((t) => t.split(':')[0]),
  ])
  for (const path of Object.keys(lowering.image(service).config?.Volumes ?? {}))
    if (!mounted.has(path))
      lowering.warn(
        service.name,
        'volumes',
        `the image declares a volume at ${path}: its content is gone when the pod is replaced`,
        `Mount a named volume there: "data:${path}".`,
      )
  return []
}

const lowerMount = (service: Service, mount: Mount, path: string, index: number, lowering: Lowering): Piece => {
  const unique = `${lowering.nameOf(service.name)}-${index}`
  if (mount.volume?.labels && Object.keys(mount.volume.labels).length)
    lowering.warn(
      service.name,
      `${path}.volume.labels`,
      'there is no object that would carry them',
      'Give the volume a name and put the labels there.',
    )
  switch (mount.type) {
    case 'volume':
      return mount.source === undefined
        ? anonymous(service, mount, path, unique, lowering)
        : named(service, mount, path, lowering)
    case 'bind':
      return bind(service, mount, path, unique, lowering)
    case 'tmpfs': {
      const options = [
        ...(mount.tmpfs?.size !== undefined ? [`size=${mount.tmpfs.size}`] : []),
        ...(mount.tmpfs?.mode !== undefined ? [`mode=${mount.tmpfs.mode.toString(8)}`] : []),
      ]
      return memory(service, String(index), mount.target, options, lowering, path)
    }
    case 'image':
      if (lowering.local)
        lowering.refuse(
          service.name,
          path,
          'image mounts are not supported here yet',
          'Copy the files in the Dockerfile: COPY --from=IMAGE.',
        )
      return place(
        { name: dnsLabel(`image-${unique}`), image: { reference: mount.source, pullPolicy: 'IfNotPresent' } },
        mount,
        mount.image?.subpath,
      )
    default:
      lowering.refuse(service.name, path, `mounts of type "${mount.type}" are not supported`, 'Use a volume.')
      return {}
  }
}

const place = (
  volume: Volume,
  mount: Mount,
  subPath?: string,
  more: { runtime?: ContainerRuntime; objects?: KubeObject[]; propagation?: string } = {},
): Piece => ({
  volumes: [volume],
  mounts: [
    {
      name: volume.name,
      mountPath: mount.target,
      ...(mount.read_only && { readOnly: true }),
      ...(subPath !== undefined && { subPath }),
      ...(more.propagation !== undefined && { mountPropagation: more.propagation }),
    } satisfies VolumeMount,
  ],
  ...(more.runtime && { runtime: more.runtime }),
  ...(more.objects && { objects: more.objects }),
})

const named = (service: Service, mount: Mount, path: string, lowering: Lowering): Piece => {
  const key = mount.source!
  const volume = lowering.project.volumes[key] ?? { name: key }
  const options = volume.driver_opts ?? {}
  const device = String(options.device ?? '')
  if (/(^|,)r?bind(,|$)/.test(String(options.o ?? '')) && device)
    return bind(service, { ...mount, type: 'bind', source: device }, path, `volume-${key}`, lowering)
  if (options.type === 'tmpfs')
    return memory(
      service,
      `volume-${key}`,
      mount.target,
      String(options.o ?? '')
        .split(',')
        .filter(Boolean),
      lowering,
      path,
    )
  const claim = claimName(key, volume)
  const name = dnsLabel(`data-${claim}`)
  const copyUp = !mount.volume?.nocopy && !mount.read_only && mount.volume?.subpath === undefined
  if (copyUp)
    lowering.onlyHere(
      service.name,
      path,
      "an empty volume is not filled with the image's content",
      'Let the entrypoint fill it, as most images with a data directory do.',
    )
  return place(
    { name, persistentVolumeClaim: { claimName: claim, ...(mount.read_only && { readOnly: true }) } },
    mount,
    mount.volume?.subpath,
    {
      objects: volume.external ? [] : claimObjects(key, volume, lowering),
      ...(copyUp && lowering.local && { runtime: { copyUp: [mount.target] } }),
    },
  )
}

const anonymous = (service: Service, mount: Mount, path: string, unique: string, lowering: Lowering): Piece => {
  lowering.warn(
    service.name,
    path,
    `${mount.target} is a volume without a name: its content is gone when the pod is replaced`,
    'Give it a name under the top-level `volumes:`.',
  )
  const copyUp = lowering.local && !mount.volume?.nocopy
  return place(
    { name: dnsLabel(`anonymous-${unique}`), emptyDir: {} },
    mount,
    undefined,
    copyUp ? { runtime: { copyUp: [mount.target] } } : {},
  )
}

const propagations: Record<string, string> = {
  rslave: 'HostToContainer',
  slave: 'HostToContainer',
  rshared: 'Bidirectional',
  shared: 'Bidirectional',
}

const bind = (service: Service, mount: Mount, path: string, unique: string, lowering: Lowering): Piece => {
  if (mount.bind?.recursive !== undefined && mount.bind.recursive !== 'enabled')
    lowering.warn(
      service.name,
      path,
      `recursive: ${mount.bind.recursive} is not kept: what is mounted below comes along`,
      'Bind a directory with nothing mounted below it.',
    )
  const name = dnsLabel(`host-${unique}`)
  const found = mount.found
  if (mount.bind?.selinux !== undefined)
    lowering.warn(
      service.name,
      path,
      'SELinux relabelling (z, Z) is not done',
      'Label the directory yourself with chcon.',
    )
  if (lowering.local) {
    const type =
      found?.kind === 'file'
        ? 'File'
        : found?.kind === 'socket'
          ? 'Socket'
          : found?.kind === 'device'
            ? ''
            : mount.bind?.create_host_path === false
              ? 'Directory'
              : 'DirectoryOrCreate'
    const propagation = mount.bind?.propagation
    return place({ name, hostPath: { path: mount.source!, type } }, mount, undefined, {
      ...(propagation !== undefined &&
        propagations[propagation] && {
          propagation: propagations[propagation],
          runtime: { mountPropagation: { [mount.target]: propagation } },
        }),
    })
  }
  if (found?.kind === 'file' && found.data && mount.read_only) return fileAsConfig(service, mount, found.data, lowering)
  const socket = /\/docker\.sock$/.test(mount.source ?? '')
  lowering.refuse(
    service.name,
    path,
    `${mount.source} is a ${found?.kind ?? 'path'} of this machine, which pods on a cluster do not see`,
    socket
      ? 'Give the service a Kubernetes role instead of the docker socket.'
      : found?.kind === 'file'
        ? 'Mount it read-only (:ro) to have it carried over as a ConfigMap, or use `configs:`.'
        : 'Put the files into the image, or use a named volume.',
  )
  return {}
}

/** A read-only file goes along in a ConfigMap. */
const fileAsConfig = (service: Service, mount: Mount, data: Uint8Array, lowering: Lowering): Piece => {
  const key = posix.basename(mount.target).replace(/[^-._a-zA-Z0-9]/g, '-')
  const map = lowering.hashed(
    ConfigMap,
    `${lowering.nameOf(service.name)}-${key}`,
    textOrBinary(key, data),
    service.name,
  )
  return {
    volumes: [{ name: dnsLabel(map.metadata.name!), configMap: { name: map.metadata.name } }],
    mounts: [{ name: dnsLabel(map.metadata.name!), mountPath: mount.target, subPath: key, readOnly: true }],
    objects: [map],
  }
}

/** `data` where it is text, `binaryData` otherwise. */
export const textOrBinary = (key: string, data: Uint8Array): Record<string, unknown> => {
  const text = Buffer.from(data).toString('utf8')
  return Buffer.from(text).equals(data)
    ? { data: { [key]: text } }
    : { binaryData: { [key]: Buffer.from(data).toString('base64') } }
}

/** Options that an in-memory emptyDir already says, or that only repeat Docker's defaults. */
const sayable = (option: string): boolean => /^size=|^(rw|noexec|nosuid|nodev|mode=0?1?777)$/.test(option)

const memory = (
  service: Service,
  id: string,
  target: string,
  options: string[],
  lowering: Lowering,
  path: string,
): Piece => {
  const special = options.filter((option) => !sayable(option))
  const size = options.find((option) => option.startsWith('size='))?.slice(5)
  const bytes = size === undefined ? undefined : parseBytes(size)
  const emptyDir: EmptyDirVolumeSource = { medium: 'Memory', ...(bytes && { sizeLimit: formatBytes(bytes) }) }
  if (special.length) {
    if (lowering.local) return { runtime: { tmpfs: { [target]: options } } }
    lowering.warn(
      service.name,
      path,
      `options ${special.join(', ')} of the in-memory directory are lost`,
      'Let the entrypoint set owner and mode.',
    )
  }
  const name = dnsLabel(`memory-${lowering.nameOf(service.name)}-${id}`)
  return { volumes: [{ name, emptyDir }], mounts: [{ name, mountPath: target }] }
}
