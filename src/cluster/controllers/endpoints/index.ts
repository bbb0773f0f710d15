import type { Key } from '../../../spec/kube/client.ts'
import type {
  Endpoints as EndpointsObject,
  Pod as PodObject,
  Service as ServiceObject,
} from '../../../spec/kube/generated/types.ts'
import { EndpointSlice, Endpoints, Node, Pod, Service } from '../../../spec/kube/kinds.ts'
import { matchesLabels } from '../../../spec/kube/label-selector.ts'
import type { Informers } from '../../types.ts'
import { equal } from '../objects/meta.ts'
import { controller, keyFor, type WatchContext, watch } from '../run/controller.ts'
import { isHeadless } from './endpoint.ts'
import { planSubsets } from './legacy.ts'
import { managedBy, managedByLabel, planSlices, serviceNameLabel } from './slices.ts'

export { mirroredSlices } from './mirror.ts'

/** Services that select the pod, or did before it changed. */
const servicesOf = (pod: PodObject, { informers, before }: WatchContext<PodObject>): Key[] =>
  informers
    .of(Service)
    .list(pod.metadata.namespace)
    .filter(({ spec }) => {
      const selects = (labels: Record<string, string> | undefined): boolean => matchesLabels(spec?.selector, labels)
      return selects(pod.metadata.labels) || (before !== undefined && selects(before.metadata.labels))
    })
    .map(keyFor)

const isSelecting = (service: ServiceObject): boolean =>
  service.spec?.type !== 'ExternalName' && Object.keys(service.spec?.selector ?? {}).length > 0

const selected = (service: ServiceObject, informers: Informers): PodObject[] =>
  informers
    .of(Pod)
    .list(service.metadata.namespace)
    .filter((pod) => matchesLabels(service.spec?.selector, pod.metadata.labels))

/** No batching delay: how fast a pod leaves these slices decides how long it must outlive its deletion. */
export const endpointSlices = controller({
  name: 'endpointslice-controller',
  for: Service,
  owns: [EndpointSlice],
  watches: [watch(Pod, servicesOf)],
  async reconcile(key, { objects, informers }) {
    const slices = informers
      .of(EndpointSlice)
      .list(key.namespace)
      .filter(
        ({ metadata: { labels } }) => labels?.[serviceNameLabel] === key.name && labels[managedByLabel] === managedBy,
      )
    const service = informers.of(Service).get(key.namespace, key.name)
    const gone = !service || service.metadata.deletionTimestamp !== undefined || service.spec?.type === 'ExternalName'
    if (gone) {
      for (const slice of slices) await objects.delete(EndpointSlice, keyFor(slice))
      return
    }
    if (!isSelecting(service)) return
    const nodes = informers.of(Node)
    const nodeOf = (name: string | undefined) => (name ? nodes.get(undefined, name) : undefined)
    const plan = planSlices(service, selected(service, informers), slices, nodeOf)
    for (const slice of plan.create) await objects.create(EndpointSlice, slice)
    for (const slice of plan.update) await objects.update(EndpointSlice, slice)
    for (const slice of plan.remove) await objects.delete(EndpointSlice, keyFor(slice))
  },
})

const endpointsManager = { 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' }

export const endpoints = controller({
  name: 'endpoint-controller',
  for: Service,
  watches: [watch(Pod, servicesOf), watch(Endpoints, (object) => [keyFor(object)])],
  async reconcile(key, { objects, informers }) {
    const service = informers.of(Service).get(key.namespace, key.name)
    const existing = informers.of(Endpoints).get(key.namespace, key.name)
    if (!service) {
      const ours = existing?.metadata.labels?.['endpoints.kubernetes.io/managed-by'] !== undefined
      if (ours) await objects.delete(Endpoints, key)
      return
    }
    if (!isSelecting(service)) return
    const subsets = planSubsets(service, selected(service, informers))
    const headless: Record<string, string> = isHeadless(service) ? { 'service.kubernetes.io/headless': '' } : {}
    const labels = { ...service.metadata.labels, ...endpointsManager, ...headless }
    const part = ({ metadata, subsets }: EndpointsObject) => ({ labels: metadata.labels, subsets })
    if (!existing) {
      const metadata = { name: key.name, namespace: key.namespace, labels }
      await objects.create(Endpoints, { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets })
    } else if (!equal(part(existing), { labels, subsets })) {
      await objects.update(Endpoints, { ...existing, metadata: { ...existing.metadata, labels }, subsets })
    }
  },
})
