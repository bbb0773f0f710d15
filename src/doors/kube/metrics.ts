/** metrics.k8s.io/v1beta1: usage of pods and nodes, as `kubectl top` and autoscalers ask for it. Read from the node, never stored. */
import type { ApiServer, ResourceInfo } from '../../cluster/types.ts'
import { isError } from '../../errors.ts'
import type { PodUsage } from '../../spec/kube/client.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { labelMatcher } from '../../spec/kube/labels.ts'
import { statusError } from '../../spec/kube/status.ts'
import { requireAccess } from './access.ts'
import { doorUser } from './authenticate.ts'
import { type Exchange, sendJson } from './exchange.ts'
import type { Target } from './paths.ts'
import { methodNotAllowed } from './refusals.ts'

const group = 'metrics.k8s.io'
const version = 'v1beta1'
const apiVersion = `${group}/${version}`

const info = (kind: string, plural: string, namespaced: boolean): ResourceInfo => ({
  kind: { group, version, kind, plural, singular: '', shortNames: [], categories: [], namespaced },
  verbs: ['get', 'list'],
  subresources: [],
  storageVersion: version,
})
const metricsResources: readonly ResourceInfo[] = [
  info('NodeMetrics', 'nodes', false),
  info('PodMetrics', 'pods', true),
]

const usage = (cpuNanocores: number, memoryBytes: number) => ({
  cpu: `${Math.round(cpuNanocores)}n`,
  memory: `${Math.ceil(memoryBytes / 1024)}Ki`,
})
const sample = (kind: string, metadata: Record<string, unknown>, time: number, window: number) => ({
  kind,
  apiVersion,
  metadata: { ...metadata, creationTimestamp: new Date().toISOString().replace(/\.\d+/, '') },
  timestamp: new Date(time).toISOString().replace(/\.\d+/, ''),
  window: `${window / 1000}s`,
})
const podMetrics = (pod: PodUsage) => ({
  ...sample('PodMetrics', { name: pod.name, namespace: pod.namespace, labels: pod.labels }, pod.time, pod.window),
  containers: pod.containers.map((c) => ({ name: c.name, usage: usage(c.cpuNanocores, c.memoryBytes) })),
})

const nodeMetrics = async (api: ApiServer) => {
  const listed = await api.handle({ verb: 'list', user: doorUser, group: '', version: 'v1', resource: 'nodes' })
  const nodes = (listed.kind === 'object' ? (listed.object.items as KubeObject[]) : []) ?? []
  return api
    .nodes()
    .nodeUsage()
    .map((node) => {
      const labels = nodes.find((n) => n.metadata.name === node.name)?.metadata.labels ?? {}
      return {
        ...sample('NodeMetrics', { name: node.name, labels }, node.time, node.window),
        usage: usage(node.cpuNanocores, node.memoryBytes),
      }
    })
}

/** Answers GET of /apis/metrics.k8s.io/v1beta1/{nodes,namespaces/NS/pods,pods}[/NAME]; false: not ours. */
export const handleMetrics = async (
  api: ApiServer,
  exchange: Exchange,
  target: Extract<Target, { kind: 'resource' }>,
): Promise<boolean> => {
  const { resource, namespace, name } = target
  if (target.group !== group || target.version !== version || target.subresource) return false
  if (resource !== 'pods' && resource !== 'nodes') return false
  if (exchange.request.method !== 'GET') throw methodNotAllowed()
  await requireAccess(api, exchange.user, { verb: name ? 'get' : 'list', group, resource, namespace, name })
  const items: { metadata: Record<string, unknown> }[] =
    resource === 'nodes'
      ? await nodeMetrics(api)
      : api
          .nodes()
          .podUsage()
          .filter((pod) => !namespace || pod.namespace === namespace)
          .map(podMetrics)
  if (name) {
    const found = items.find((item) => item.metadata.name === name)
    if (!found) {
      const details = { name, group, kind: resource }
      throw statusError('not-found', `${resource}.${group} "${name}" not found`, { details })
    }
    await sendJson(exchange, 200, found)
    return true
  }
  const matches = labelMatcher(exchange.query.get('labelSelector') ?? undefined)
  const selected = items.filter((item) => matches((item.metadata.labels ?? {}) as Record<string, string>))
  const kind = resource === 'pods' ? 'PodMetricsList' : 'NodeMetricsList'
  await sendJson(exchange, 200, { kind, apiVersion, metadata: {}, items: selected })
  return true
}

/** What discovery lists: the API server's resources, and metrics once there is a node to ask. */
export const discoverable = (api: ApiServer): readonly ResourceInfo[] => {
  const resources = api.resources()
  try {
    api.nodes()
  } catch (error) {
    if (isError(error, 'unavailable')) return resources
    throw error
  }
  return resources.some((r) => r.kind.group === group) ? resources : [...resources, ...metricsResources]
}
