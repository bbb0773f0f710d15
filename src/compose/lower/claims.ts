/** Named volumes: one claim for each, shared by name among the services that mount it. */
import { posix } from 'node:path'
import { formatBytes } from '../../lib/quantity.ts'
import type { Volume as ComposeVolume, Service } from '../../spec/compose/project.ts'
import { parseBytes } from '../../spec/compose/units.ts'
import { type KubeObject, PersistentVolume, PersistentVolumeClaim } from '../../spec/kube/kinds.ts'
import type { Lowering } from './context.ts'
import { dnsLabel } from './names.ts'

/** Given to a volume without a size of its own. */
const defaultVolumeSize = 2 ** 30

/** The claim has the volume's own name where one is given, so that several projects can share it within a namespace. */
export const claimName = (key: string, volume: ComposeVolume): string =>
  dnsLabel(volume.external ? volume.name || key : key, 253)

/** Services that may write to a volume. */
const writers = (key: string, lowering: Lowering): Service[] =>
  Object.values(lowering.project.services).filter((service) =>
    mountedNames(service, lowering).some(([source, readOnly]) => source === key && !readOnly),
  )
const mountedNames = (service: Service, lowering: Lowering): [string, boolean][] => [
  ...(service.volumes ?? []).flatMap((m): [string, boolean][] =>
    m.type === 'volume' && m.source ? [[m.source, m.read_only ?? false]] : [],
  ),
  ...(service.volumes_from ?? []).flatMap((from) => {
    const [name = '', mode] = from.split(':')
    const mounts = lowering.project.services[name]?.volumes ?? []
    return mounts.flatMap((m): [string, boolean][] =>
      m.type === 'volume' && m.source ? [[m.source, mode === 'ro' || (m.read_only ?? false)]] : [],
    )
  }),
]

/** One instance of one service writes to a volume: it must be gone before the next one starts. */
export const isSingleWriter = (service: Service, lowering: Lowering): boolean =>
  !lowering.isScaled(service) &&
  mountedNames(service, lowering).some(([key, readOnly]) => {
    const options = lowering.project.volumes[key]?.driver_opts ?? {}
    return !readOnly && options.type === undefined && writers(key, lowering).length === 1
  })

export const claimObjects = (key: string, volume: ComposeVolume, lowering: Lowering): KubeObject[] => {
  const knobs = volume['x-slipway']
  const options = volume.driver_opts ?? {}
  const writing = writers(key, lowering)
  const many = writing.length > 1 || writing.some((s) => lowering.isScaled(s))
  const mode = knobs?.accessMode ?? (many ? 'ReadWriteMany' : 'ReadWriteOnce')
  const said = knobs?.size ?? (options.size === undefined ? undefined : parseBytes(String(options.size)))
  const claim = claimName(key, volume)
  const base = `volumes.${key}`
  if (!lowering.local) {
    if (said === undefined)
      lowering.warn(
        undefined,
        base,
        `no size is given; ${formatBytes(defaultVolumeSize)} is asked for`,
        `Set volumes.${key}.x-slipway.size.`,
      )
    if (mode === 'ReadWriteMany')
      lowering.warn(
        undefined,
        base,
        'several pods write to it: the storage class must offer ReadWriteMany',
        `Set volumes.${key}.x-slipway.storageClass to one that does.`,
      )
  }
  if (volume.driver !== undefined && volume.driver !== 'local')
    lowering.warn(
      undefined,
      `${base}.driver`,
      `volume driver "${volume.driver}" is not used`,
      lowering.local ? 'Volumes are directories of this machine here.' : `Set volumes.${key}.x-slipway.storageClass.`,
    )
  const capacity = formatBytes(said ?? defaultVolumeSize)
  const nfs = /^nfs4?$/.test(String(options.type ?? ''))
    ? nfsVolume(key, claim, options, capacity, mode, lowering)
    : undefined
  for (const option of Object.keys(options))
    if (!['size', ...(nfs ? ['type', 'o', 'device'] : [])].includes(option))
      lowering.warn(
        undefined,
        `${base}.driver_opts.${option}`,
        `driver option "${option}" has no effect`,
        'Describe the storage with a storage class.',
      )
  const className = nfs ? '' : knobs?.storageClass
  return [
    ...(nfs ? [nfs] : []),
    lowering.object(
      PersistentVolumeClaim,
      claim,
      {
        spec: {
          accessModes: [mode],
          resources: { requests: { storage: capacity } },
          ...(className !== undefined && { storageClassName: className }),
          ...(nfs && { volumeName: nfs.metadata.name }),
        },
      },
      { labels: { 'com.docker.compose.volume': dnsLabel(key) }, annotations: annotationsOf(volume.labels) },
    ),
  ]
}
const annotationsOf = (labels: Record<string, string> | undefined): Record<string, string> => labels ?? {}

const nfsVolume = (
  key: string,
  claim: string,
  options: Record<string, string | number>,
  capacity: string,
  mode: string,
  lowering: Lowering,
): KubeObject | undefined => {
  const mountOptions = String(options.o ?? '')
    .split(',')
    .filter(Boolean)
  const server = mountOptions.find((o) => o.startsWith('addr='))?.slice(5)
  const path = String(options.device ?? '').replace(/^:/, '')
  if (!server || !path) {
    lowering.refuse(
      undefined,
      `volumes.${key}.driver_opts`,
      'an NFS volume needs `o: addr=SERVER` and `device: :/path`',
      'Give both.',
    )
    return undefined
  }
  if (lowering.local)
    lowering.refuse(
      undefined,
      `volumes.${key}.driver_opts`,
      'NFS volumes are not mounted here',
      'Mount the share on this machine and bind the directory.',
    )
  return lowering.object(PersistentVolume, `${lowering.namespace}-${claim}`, {
    spec: {
      capacity: { storage: capacity },
      accessModes: [mode],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      mountOptions: mountOptions.filter((o) => !o.startsWith('addr=') && o !== 'rw'),
      nfs: { server, path: posix.normalize(path) },
    },
  })
}
