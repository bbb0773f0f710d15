import type {
  Endpoint,
  EndpointSubset,
  Endpoints as EndpointsObject,
  EndpointSlice as SliceObject,
} from '../../../spec/kube/generated/types.ts'
import { EndpointSlice, Endpoints, Service } from '../../../spec/kube/kinds.ts'
import { canonical, equal, ownerReference } from '../objects/meta.ts'
import { controller, keyFor, watch } from '../run/controller.ts'
import { familyOf } from './endpoint.ts'
import { managedByLabel, serviceNameLabel } from './slices.ts'

const mirror = 'endpointslicemirroring-controller.k8s.io'

const wanted = (endpoints: EndpointsObject): SliceObject[] =>
  (endpoints.subsets ?? []).flatMap((subset) =>
    (['IPv4', 'IPv6'] as const).flatMap((family) => {
      const all = members(subset).filter(({ addresses }) => familyOf(addresses[0]!) === family)
      if (all.length === 0) return []
      const { namespace, name } = endpoints.metadata
      const ports = (subset.ports ?? []).map(({ name: portName = '', ...rest }) => ({
        ...rest,
        name: portName,
        protocol: rest.protocol ?? 'TCP',
      }))
      return [
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            generateName: `${name}-`,
            namespace,
            labels: { ...endpoints.metadata.labels, [managedByLabel]: mirror, [serviceNameLabel]: name! },
            ownerReferences: [ownerReference(Endpoints, endpoints)],
          },
          addressType: family,
          ports,
          endpoints: all,
        },
      ]
    }),
  )
const members = (subset: EndpointSubset): Endpoint[] =>
  (['addresses', 'notReadyAddresses'] as const).flatMap((list) =>
    (subset[list] ?? []).map(({ ip, nodeName, hostname, targetRef }) => ({
      addresses: [ip],
      conditions: { ready: list === 'addresses' },
      ...(nodeName ? { nodeName } : {}),
      ...(hostname ? { hostname } : {}),
      ...(targetRef ? { targetRef } : {}),
    })),
  )
const content = ({ addressType, ports, endpoints }: SliceObject): string => canonical({ addressType, ports, endpoints })

/** Slices for the Endpoints that users write for Services without a selector. */
export const mirroredSlices = controller({
  name: 'endpointslicemirroring-controller',
  for: Endpoints,
  owns: [EndpointSlice],
  watches: [watch(Service, (service) => [keyFor(service)])],
  async reconcile(key, { objects, informers }) {
    const endpoints = informers.of(Endpoints).get(key.namespace, key.name)
    const service = informers.of(Service).get(key.namespace, key.name)
    const selecting = Object.keys(service?.spec?.selector ?? {}).length > 0
    const skipped = endpoints?.metadata.labels?.['endpointslice.kubernetes.io/skip-mirror'] === 'true'
    const slices = !endpoints || !service || selecting || skipped ? [] : wanted(endpoints)
    const existing = informers
      .of(EndpointSlice)
      .list(key.namespace)
      .filter(
        ({ metadata: { labels } }) => labels?.[managedByLabel] === mirror && labels[serviceNameLabel] === key.name,
      )
    const left = new Set(existing)
    const missing = slices.filter((slice) => {
      const same = [...left].find((one) => content(one) === content(slice))
      if (same) left.delete(same)
      return !same
    })
    for (const slice of missing) {
      const [spare] = [...left].filter(({ addressType }) => addressType === slice.addressType)
      if (!spare) await objects.create(EndpointSlice, slice)
      else {
        left.delete(spare)
        const { ports, endpoints: all } = slice
        if (!equal(content(spare), content(slice)))
          await objects.update(EndpointSlice, { ...spare, ports, endpoints: all })
      }
    }
    for (const slice of left) await objects.delete(EndpointSlice, keyFor(slice))
  },
})
