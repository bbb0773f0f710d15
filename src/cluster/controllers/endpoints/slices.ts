/** The EndpointSlices a Service should have. Source: endpointslice/reconciler.go. */
import type {
  DiscoveryV1EndpointPort,
  Endpoint,
  EndpointSlice,
  Node,
  Pod,
  Service,
} from '../../../spec/kube/generated/types.ts'
import { Service as ServiceKind } from '../../../spec/kube/kinds.ts'
import { canonical, equal, ownerReference } from '../objects/meta.ts'
import { endpointOf, endpointPorts, type Family, familiesOf, isHeadless } from './endpoint.ts'

export const serviceNameLabel = 'kubernetes.io/service-name'
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by'
export const managedBy = 'endpointslice-controller.k8s.io'
const headlessLabel = 'service.kubernetes.io/headless'
const perSlice = 100

interface SlicePlan {
  /** First, so that no endpoint is missing in between. */
  create: EndpointSlice[]
  update: EndpointSlice[]
  remove: EndpointSlice[]
}
interface Group {
  family: Family
  ports: DiscoveryV1EndpointPort[]
  endpoints: Endpoint[]
}

export const planSlices = (
  service: Service,
  pods: readonly Pod[],
  existing: readonly EndpointSlice[],
  nodeOf: (name: string | undefined) => Node | undefined = () => undefined,
): SlicePlan => {
  const plan: SlicePlan = { create: [], update: [], remove: [] }
  const labels = sliceLabels(service)
  for (const family of familiesOf(service)) {
    const mine = existing.filter((slice) => slice.addressType === family && !slice.metadata.deletionTimestamp)
    fillFamily(service, groupsOf(service, pods, family, nodeOf), mine, labels, plan)
  }
  plan.remove.push(...existing.filter((slice) => !familiesOf(service).includes(slice.addressType as Family)))
  return plan
}

const sliceLabels = (service: Service): Record<string, string> => ({
  ...service.metadata.labels,
  ...(isHeadless(service) ? { [headlessLabel]: '' } : {}),
  [managedByLabel]: managedBy,
  [serviceNameLabel]: service.metadata.name!,
})

/** Endpoints by the ports they have: a named target port may differ between pods. */
const groupsOf = (
  service: Service,
  pods: readonly Pod[],
  family: Family,
  nodeOf: (name: string | undefined) => Node | undefined,
): Group[] => {
  const groups = new Map<string, Group>()
  for (const pod of pods) {
    const endpoint = endpointOf(service, pod, family, nodeOf(pod.spec?.nodeName))
    if (!endpoint) continue
    const ports = endpointPorts(service, pod)
    // A pod without any of the ports takes no traffic; without any ports asked for (headless) it is only a name.
    if (ports.length === 0 && (service.spec?.ports?.length ?? 0) > 0) continue
    const id = canonical(ports)
    const group = groups.get(id)
    if (group) group.endpoints.push(endpoint)
    else groups.set(id, { family, ports, endpoints: [endpoint] })
  }
  // An empty slice says "none" where no slice would say "not known yet".
  if (groups.size === 0) groups.set('', { family, ports: [], endpoints: [] })
  return [...groups.values()]
}

const idOf = (endpoint: Endpoint): string => endpoint.targetRef?.uid ?? endpoint.addresses.join()

const fillFamily = (
  service: Service,
  groups: readonly Group[],
  existing: readonly EndpointSlice[],
  labels: Record<string, string>,
  plan: SlicePlan,
): void => {
  const free = new Set(existing)
  const fitting = groups.map((group) =>
    existing.filter((slice) => canonical(slice.ports ?? []) === canonical(group.ports)),
  )
  for (const slice of fitting.flat()) free.delete(slice)
  groups.forEach((group, index) => {
    const slices = fitting[index]!
    // A slice whose ports nobody has any more is given new ones: an update leaves no gap.
    const spare = slices.length === 0 ? free.values().next().value : undefined
    if (spare) {
      free.delete(spare)
      slices.push(spare)
    }
    fillGroup(service, group, slices, labels, plan)
  })
  plan.remove.push(...free)
}

/** Keeps endpoints in the slice they are in, fills the rest up, makes new slices last. */
const fillGroup = (
  service: Service,
  group: Group,
  slices: readonly EndpointSlice[],
  labels: Record<string, string>,
  plan: SlicePlan,
): void => {
  const left = new Map(group.endpoints.map((endpoint) => [idOf(endpoint), endpoint]))
  const contents = slices.map((slice) =>
    (slice.endpoints ?? []).flatMap((endpoint) => {
      const now = left.get(idOf(endpoint))
      left.delete(idOf(endpoint))
      return now ? [now] : []
    }),
  )
  for (const endpoints of contents) {
    for (const [id, endpoint] of left) {
      if (endpoints.length >= perSlice) break
      endpoints.push(endpoint)
      left.delete(id)
    }
  }
  const rest = [...left.values()]
  while (rest.length > 0 || (contents.length === 0 && slices.length === 0)) {
    const endpoints = rest.splice(0, perSlice)
    contents.push(endpoints)
    plan.create.push(newSlice(service, group, endpoints, labels))
  }
  slices.forEach((slice, index) => {
    const endpoints = contents[index]!
    const keepsPlace = slices.length === 1 || index === contents.findIndex((entry) => entry.length > 0)
    if (endpoints.length === 0 && !keepsPlace && contents.length > 1) plan.remove.push(slice)
    else if (!sameSlice(slice, group, endpoints, labels)) {
      plan.update.push({ ...slice, metadata: { ...slice.metadata, labels }, ports: group.ports, endpoints })
    }
  })
}

const sameSlice = (
  slice: EndpointSlice,
  group: Group,
  endpoints: Endpoint[],
  labels: Record<string, string>,
): boolean =>
  equal(
    { endpoints: slice.endpoints, ports: slice.ports, labels: slice.metadata.labels },
    { endpoints, ports: group.ports, labels },
  )

const newSlice = (
  service: Service,
  group: Group,
  endpoints: Endpoint[],
  labels: Record<string, string>,
): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    generateName: `${service.metadata.name}-`,
    namespace: service.metadata.namespace,
    labels,
    ownerReferences: [ownerReference(ServiceKind, service)],
  },
  addressType: group.family,
  ports: group.ports,
  endpoints,
})
