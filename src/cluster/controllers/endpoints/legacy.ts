/** The Endpoints object of old, for clients that still read it. Source: pkg/controller/endpoint, endpoints/util.go. */
import type { EndpointAddress, EndpointSubset, Pod, Service } from '../../../spec/kube/generated/types.ts'
import { canonical } from '../objects/meta.ts'
import { isPodFinished, isPodReady } from '../objects/pods.ts'
import { addressOf, endpointPorts, familiesOf, hostnameIn, isHeadless, podReference } from './endpoint.ts'

/** More addresses than this are cut off, as upstream does. */
const most = 1000

/** Subsets in a stable order: addresses with the same ports together, ready and not. */
export const planSubsets = (service: Service, pods: readonly Pod[]): EndpointSubset[] => {
  const subsets = new Map<
    string,
    EndpointSubset & { addresses: EndpointAddress[]; notReadyAddresses: EndpointAddress[] }
  >()
  const publish = service.spec?.publishNotReadyAddresses === true
  let count = 0
  for (const pod of [...pods].sort((a, b) => (a.metadata.name ?? '').localeCompare(b.metadata.name ?? ''))) {
    const ip = addressOf(pod, familiesOf(service)[0]!)
    if (!ip || isPodFinished(pod) || (pod.metadata.deletionTimestamp && !publish)) continue
    const ports = endpointPorts(service, pod).map(({ name, ...rest }) => ({
      ...(name ? { name } : {}),
      ...rest,
      port: rest.port!,
    }))
    if (ports.length === 0 && !(isHeadless(service) && (service.spec?.ports?.length ?? 0) === 0)) continue
    if (++count > most) break
    const hostname = hostnameIn(service, pod)
    const address: EndpointAddress = {
      ip,
      ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
      ...(hostname ? { hostname } : {}),
      targetRef: podReference(pod),
    }
    const id = canonical(ports)
    const subset = subsets.get(id) ?? { addresses: [], notReadyAddresses: [], ports }
    subsets.set(id, subset)
    if (publish || isPodReady(pod)) subset.addresses.push(address)
    else subset.notReadyAddresses.push(address)
  }
  return [...subsets.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { addresses, notReadyAddresses, ports }]) => ({
      ...(addresses.length > 0 ? { addresses } : {}),
      ...(notReadyAddresses.length > 0 ? { notReadyAddresses } : {}),
      ...(ports?.length ? { ports } : {}),
    }))
}
