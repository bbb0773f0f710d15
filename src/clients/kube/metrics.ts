import { isError } from '../../errors.ts'
import { parseQuantity } from '../../lib/quantity.ts'
import type { ListOptions, PodUsage } from '../../spec/kube/client.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Transport } from './transport.ts'

interface PodMetrics extends KubeObject {
  timestamp: string
  /** A Go duration, "15s" or "1m30.5s". */
  window: string
  containers: { name: string; usage: { cpu?: string; memory?: string } }[]
}

const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, µs: 0.001, ns: 0.000_001 }
/** A Go duration in ms. */
const duration = (text: string): number =>
  [...text.matchAll(/([\d.]+)(h|ms|us|µs|ns|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit!]!, 0)

/** Usage from metrics.k8s.io; undefined where the cluster has none. */
export const podMetrics = async (transport: Transport, options: ListOptions): Promise<PodUsage[] | undefined> => {
  const within = options.namespace ? `/namespaces/${encodeURIComponent(options.namespace)}` : ''
  try {
    const list = await transport.json<{ items: PodMetrics[] }>('GET', `/apis/metrics.k8s.io/v1beta1${within}/pods`, {
      query: { labelSelector: options.labels || undefined },
    })
    return list.items.map((item) => ({
      namespace: item.metadata.namespace!,
      name: item.metadata.name!,
      labels: (item.metadata.labels ?? {}) as Record<string, string>,
      time: Date.parse(item.timestamp),
      window: duration(item.window),
      containers: item.containers.map(({ name, usage }) => ({
        name,
        cpuNanocores: Math.round((parseQuantity(usage.cpu ?? '0') ?? 0) * 1e9),
        memoryBytes: Math.round(parseQuantity(usage.memory ?? '0') ?? 0),
      })),
    }))
  } catch (error) {
    // No metrics server installed, or one that does not answer.
    if (isError(error, 'not-found', 'unavailable')) return undefined
    throw error
  }
}
