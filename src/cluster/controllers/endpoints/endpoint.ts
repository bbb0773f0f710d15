/** From pods and a Service to endpoints. Source: endpointslice/utils.go, pkg/controller/endpoint. */
import type {
  DiscoveryV1EndpointPort,
  Endpoint,
  Node,
  ObjectReference,
  Pod,
  Service,
  ServicePort,
} from '../../../spec/kube/generated/types.ts'
import { isPodFinished, isPodReady } from '../objects/pods.ts'

export type Family = 'IPv4' | 'IPv6'
export const familyOf = (address: string): Family => (address.includes(':') ? 'IPv6' : 'IPv4')
export const isHeadless = (service: Service): boolean => service.spec?.clusterIP === 'None'

/** Families the Service speaks; without word of it (headless and old objects) those of its cluster address, else IPv4. */
export const familiesOf = (service: Service): Family[] => {
  if (service.spec?.ipFamilies?.length) return service.spec.ipFamilies as Family[]
  const address = service.spec?.clusterIP
  return [address && address !== 'None' ? familyOf(address) : 'IPv4']
}

/** The pod's address of a family. */
export const addressOf = (pod: Pod, family: Family): string | undefined => {
  const addresses = pod.status?.podIPs?.map(({ ip }) => ip) ?? []
  return [...addresses, pod.status?.podIP].find((ip): ip is string => !!ip && familyOf(ip) === family)
}

/** The number a Service port means on this pod; undefined when the pod has no port of that name. */
const targetPort = (pod: Pod, port: ServicePort): number | undefined => {
  const target = port.targetPort ?? port.port
  if (typeof target === 'number') return target === 0 ? port.port : target
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always')
  const protocol = port.protocol ?? 'TCP'
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    const named = container.ports?.find(({ name, protocol: p = 'TCP' }) => name === target && p === protocol)
    if (named) return named.containerPort
  }
  return undefined
}

export const endpointPorts = (service: Service, pod: Pod): DiscoveryV1EndpointPort[] =>
  (service.spec?.ports ?? []).flatMap((port) => {
    const number = targetPort(pod, port)
    if (number === undefined) return []
    const appProtocol = port.appProtocol ? { appProtocol: port.appProtocol } : {}
    return [{ name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP', ...appProtocol }]
  })

export const podReference = (pod: Pod): ObjectReference => ({
  kind: 'Pod',
  namespace: pod.metadata.namespace,
  name: pod.metadata.name,
  uid: pod.metadata.uid,
})

/** The name by which the pod answers within a headless Service of its subdomain. */
export const hostnameIn = (service: Service, pod: Pod): string | undefined =>
  pod.spec?.hostname && pod.spec.subdomain === service.metadata.name ? pod.spec.hostname : undefined

/** The endpoint a pod is, or undefined when it is none: no address yet, finished, or leaving and not to be shown. */
export const endpointOf = (
  service: Service,
  pod: Pod,
  family: Family,
  node: Node | undefined,
): Endpoint | undefined => {
  const address = addressOf(pod, family)
  if (!address || isPodFinished(pod)) return undefined
  const serving = isPodReady(pod)
  const terminating = pod.metadata.deletionTimestamp !== undefined
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating)
  const hostname = hostnameIn(service, pod)
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone']
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    targetRef: podReference(pod),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(hostname ? { hostname } : {}),
    ...(zone ? { zone } : {}),
  }
}
