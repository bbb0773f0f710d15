/** Secrets and configs: immutable objects named after their content, each mounted as the one file it is. */
import type { FileMount, FileObject, Service } from '../../spec/compose/project.ts'
import { ConfigMap, type KubeObject, Secret } from '../../spec/kube/kinds.ts'
import type { Lowering } from './context.ts'
import { dnsLabel } from './names.ts'
import { combine, type Piece } from './piece.ts'
import { textOrBinary } from './storage.ts'

export const files = (service: Service, lowering: Lowering): Piece =>
  combine([
    ...(service.secrets ?? []).map((mount, i) => lowerFile('secrets', service, mount, i, lowering)),
    ...(service.configs ?? []).map((mount, i) => lowerFile('configs', service, mount, i, lowering)),
  ])

const lowerFile = (
  kind: 'secrets' | 'configs',
  service: Service,
  mount: FileMount,
  index: number,
  lowering: Lowering,
): Piece => {
  const object = lowering.project[kind][mount.source]
  if (!object) return {}
  const path = `${kind}.${index}`
  const target = pathOf(kind, mount)
  const key = dataKey(object, mount.source)
  const made = object.external ? undefined : contentObject(kind, object, mount.source, key, service, path, lowering)
  if (!object.external && !made) return {}
  const name = made?.metadata.name ?? dnsLabel(object.name, 253)
  const mode = mount.mode ?? 0o444
  const volume = dnsLabel(`${kind === 'secrets' ? 'secret' : 'config'}-${name}-${mode.toString(8)}`)
  const items = [{ key, path: key }]
  const owned = mount.uid !== undefined || mount.gid !== undefined
  if (owned)
    lowering.onlyHere(
      service.name,
      path,
      `owner ${mount.uid ?? 0}:${mount.gid ?? 0} of the file is lost; it belongs to root`,
      'Let the mode allow everyone to read it, or set the group with fsGroup.',
    )
  return {
    volumes: [
      kind === 'secrets'
        ? { name: volume, secret: { secretName: name, defaultMode: mode, items } }
        : { name: volume, configMap: { name, defaultMode: mode, items } },
    ],
    mounts: [{ name: volume, mountPath: target, subPath: key, readOnly: true }],
    ...(made && { objects: [made] }),
    ...(owned && {
      runtime: { fileOwners: { [target]: { uid: Number(mount.uid ?? 0), gid: Number(mount.gid ?? 0) } } },
    }),
  }
}

const pathOf = (kind: 'secrets' | 'configs', mount: FileMount): string => {
  const target = mount.target ?? mount.source
  if (target.startsWith('/')) return target
  return kind === 'secrets' ? `/run/secrets/${target}` : `/${target}`
}

/** External objects hold the value under the key of their own name. */
const dataKey = (object: FileObject, source: string): string =>
  (object.external ? object.name : source).replace(/[^-._a-zA-Z0-9]/g, '-')

const contentObject = (
  kind: 'secrets' | 'configs',
  object: FileObject,
  source: string,
  key: string,
  service: Service,
  path: string,
  lowering: Lowering,
): KubeObject | undefined => {
  if (object.driver !== undefined || object.template_driver !== undefined)
    lowering.refuse(
      undefined,
      `${kind}.${source}`,
      `drivers of ${kind} are not supported`,
      'Use `file`, `environment` or `external`.',
    )
  else if (object.driver_opts !== undefined)
    lowering.warn(undefined, `${kind}.${source}.driver_opts`, 'options for a driver, and no driver', 'Leave them out.')
  if (!object.data) {
    const where = object.file ?? `the environment variable ${object.environment}`
    lowering.refuse(
      service.name,
      path,
      `${kind.slice(0, -1)} "${source}": ${where} ${object.file ? 'cannot be read' : 'is not set'}`,
      object.file ? 'Create the file.' : 'Set the variable.',
    )
    return undefined
  }
  if (object.data.length > 1 << 20)
    lowering.refuse(
      service.name,
      path,
      `${kind.slice(0, -1)} "${source}" is larger than 1 MiB, the most Kubernetes keeps`,
      'Put it into the image or a volume.',
    )
  const body =
    kind === 'secrets'
      ? { type: 'Opaque', data: { [key]: Buffer.from(object.data).toString('base64') } }
      : textOrBinary(key, object.data)
  return lowering.hashed(kind === 'secrets' ? Secret : ConfigMap, source, body, undefined, object.labels)
}
