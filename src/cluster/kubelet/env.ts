/** A container's environment, as the kubelet builds it: service links, envFrom, env, with $(NAME) expanded in order. */
import { SlipwayError } from '../../errors.ts'
import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from '../../spec/kube/generated/types.ts'

export interface EnvSources {
  configMap(name: string): ConfigMap | undefined
  secret(name: string): Secret | undefined
  services(): readonly Service[]
  /** Value of a downward API field path of the pod; undefined: not supported. */
  field(path: string): string | undefined
  /** Value of resourceFieldRef as text. */
  resource(ref: { containerName?: string | undefined; resource: string; divisor?: string | undefined }): string
}

export const containerEnv = (pod: Pod, container: Container, sources: EnvSources): Map<string, string> => {
  const env = new Map<string, string>()
  if (pod.spec?.enableServiceLinks !== false) for (const [k, v] of serviceLinks(pod, sources.services())) env.set(k, v)
  for (const from of container.envFrom ?? []) {
    for (const [key, value] of envFrom(from, sources)) env.set((from.prefix ?? '') + key, value)
  }
  for (const variable of container.env ?? []) {
    const value = variable.valueFrom ? valueFrom(variable, sources) : expand(variable.value ?? '', env)
    if (value !== undefined) env.set(variable.name, value)
  }
  return env
}

const configError = (message: string): SlipwayError => new SlipwayError('not-found', message)

const envFrom = (from: NonNullable<Container['envFrom']>[number], sources: EnvSources): [string, string][] => {
  if (from.configMapRef) {
    const map = sources.configMap(from.configMapRef.name ?? '')
    if (!map && !from.configMapRef.optional) throw configError(`configmap "${from.configMapRef.name}" not found`)
    return Object.entries(map?.data ?? {})
  }
  if (from.secretRef) {
    const secret = sources.secret(from.secretRef.name ?? '')
    if (!secret && !from.secretRef.optional) throw configError(`secret "${from.secretRef.name}" not found`)
    return Object.entries(secret?.data ?? {}).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()])
  }
  return []
}

const valueFrom = (variable: EnvVar, sources: EnvSources): string | undefined => {
  const from = variable.valueFrom!
  if (from.fieldRef) return sources.field(from.fieldRef.fieldPath) ?? ''
  if (from.resourceFieldRef) return sources.resource(from.resourceFieldRef)
  if (from.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef
    const map = sources.configMap(name)
    if (!map && !optional) throw configError(`configmap "${name}" not found`)
    const value = map?.data?.[key]
    if (value === undefined && !optional) throw configError(`couldn't find key ${key} in ConfigMap ${name}`)
    return value
  }
  if (from.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef
    const secret = sources.secret(name)
    if (!secret && !optional) throw configError(`secret "${name}" not found`)
    const value = secret?.data?.[key]
    if (value === undefined && !optional) throw configError(`couldn't find key ${key} in Secret ${name}`)
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString()
  }
  return undefined
}

/** Kubernetes' expansion: $(NAME) of what is known, unknown ones stay, $$ escapes. */
export const expand = (text: string, env: ReadonlyMap<string, string>): string =>
  text.replace(/\$(\$|\(([^)]*)\))/g, (whole, inner: string, name: string | undefined) =>
    inner === '$' ? '$' : (env.get(name!) ?? whole),
  )

/** NAME_SERVICE_HOST and friends for every service of the namespace that has a cluster IP. */
const serviceLinks = (pod: Pod, services: readonly Service[]): [string, string][] =>
  services
    .filter((s) => s.spec?.clusterIP && s.spec.clusterIP !== 'None')
    .filter((s) => s.metadata.namespace === pod.metadata.namespace || isApiService(s))
    .flatMap((s) => {
      const name = s.metadata.name!.toUpperCase().replace(/-/g, '_')
      const ip = s.spec!.clusterIP!
      const ports = s.spec!.ports ?? []
      const first = ports[0]
      if (!first) return []
      const pairs: [string, string][] = [
        [`${name}_SERVICE_HOST`, ip],
        [`${name}_SERVICE_PORT`, String(first.port)],
        ...ports
          .filter((p) => p.name)
          .map((p): [string, string] => [
            `${name}_SERVICE_PORT_${p.name!.toUpperCase().replace(/-/g, '_')}`,
            String(p.port),
          ]),
      ]
      const protocol = (p: { protocol?: string | undefined }): string => p.protocol ?? 'TCP'
      pairs.push([`${name}_PORT`, `${protocol(first).toLowerCase()}://${ip}:${first.port}`])
      for (const p of ports) {
        const prefix = `${name}_PORT_${p.port}_${protocol(p)}`
        pairs.push(
          [prefix, `${protocol(p).toLowerCase()}://${ip}:${p.port}`],
          [`${prefix}_PROTO`, protocol(p).toLowerCase()],
          [`${prefix}_PORT`, String(p.port)],
          [`${prefix}_ADDR`, ip],
        )
      }
      return pairs
    })

const isApiService = (s: Service): boolean => s.metadata.namespace === 'default' && s.metadata.name === 'kubernetes'

/** Downward API fields (spec: "Available fields" of the downward API). */
export const podField = (
  pod: Pod,
  path: string,
  at: { node: string; hostIP: string; podIP: string | undefined },
): string | undefined => {
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (subscript) return pod.metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2]!] ?? ''
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name
    case 'metadata.namespace':
      return pod.metadata.namespace
    case 'metadata.uid':
      return pod.metadata.uid
    case 'metadata.labels':
      return keyValues(pod.metadata.labels)
    case 'metadata.annotations':
      return keyValues(pod.metadata.annotations)
    case 'spec.nodeName':
      return at.node
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? 'default'
    case 'status.hostIP':
    case 'status.hostIPs':
      return at.hostIP
    case 'status.podIP':
    case 'status.podIPs':
      return at.podIP ?? ''
    default:
      return undefined
  }
}

const keyValues = (map: Record<string, string> | undefined): string =>
  Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
    .join('\n')
