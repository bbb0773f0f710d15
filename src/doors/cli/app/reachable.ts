/**
 * Pods are ready a moment before the proxy knows. On this machine `up` waits for that moment, so that the very next request is
 * answered, and by the new version.
 */
import { connect } from 'node:net'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Service } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'

const limitMs = 2000

/** Gives up silently after two seconds: the rollout itself is done. */
export const waitUntilReachable = async (
  client: ObjectClient,
  objects: readonly kinds.KubeObject[],
  signal: AbortSignal,
): Promise<void> => {
  const until = Date.now() + limitMs
  const published = objects.filter((o) => (o as Service).spec?.type === 'LoadBalancer') as Service[]
  await Promise.all(
    published.map(async (service) => {
      await retry(until, signal, () => endpointsCurrent(client, service))
      const host = service.metadata.annotations?.[hostIpAnnotation] ?? '127.0.0.1'
      for (const port of service.spec?.ports ?? [])
        if ((port.protocol ?? 'TCP') === 'TCP') await retry(until, signal, () => accepts(host, port.port))
    }),
  )
}

const retry = async (until: number, signal: AbortSignal, attempt: () => Promise<boolean>): Promise<void> => {
  while (!signal.aborted && Date.now() < until && !(await attempt())) await new Promise((go) => setTimeout(go, 10))
}

/** Does the Service send to pods that stay, and to no other? */
const endpointsCurrent = async (client: ObjectClient, service: Service): Promise<boolean> => {
  const { namespace, name } = service.metadata
  const selector = Object.entries(service.spec?.selector ?? {}).map(([key, value]) => `${key}=${value}`)
  if (selector.length === 0) return true
  const [pods, slices] = await Promise.all([
    client.list(kinds.Pod, { namespace, labels: selector.join(',') }),
    client.list(kinds.EndpointSlice, { namespace, labels: `kubernetes.io/service-name=${name}` }),
  ])
  const leaving = new Set(pods.items.filter((p) => p.metadata.deletionTimestamp).map((p) => p.metadata.name))
  const targets = slices.items
    .flatMap((s) => s.endpoints ?? [])
    .filter((e) => e.conditions?.ready !== false)
    .map((e) => e.targetRef?.name)
  return targets.length > 0 && !targets.some((target) => leaving.has(target))
}

const accepts = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 500 })
    const done = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
    socket.once('timeout', () => done(false))
  })
