import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Condition, Service } from '../../spec/kube/generated/types.ts'
import { Service as Services } from '../../spec/kube/kinds.ts'
import type { Refusal } from './node-ports.ts'
import { keyOf } from './plan.ts'

interface ReporterOptions {
  client: ObjectClient
  clock: Clock
  log: Log
  nodeAddress: string
  record?: ((service: Service, type: 'Normal' | 'Warning', reason: string, message: string) => void) | undefined
}

const conditionType = 'slipway.dev/PortsBound'

/** The status a Service should have: pure. undefined: as it is. */
export const statusOf = (
  service: Service,
  messages: readonly string[],
  nodeAddress: string,
  now: string,
): Service['status'] | undefined => {
  const mine = service.spec?.type === 'LoadBalancer' && !service.spec.loadBalancerClass
  const old = service.status ?? {}
  const ingress = mine && messages.length === 0 ? [{ ip: nodeAddress, ipMode: 'VIP' }] : undefined
  const others = (old.conditions ?? []).filter(({ type }) => type !== conditionType)
  const known = (old.conditions ?? []).find(({ type }) => type === conditionType)
  const message = messages.join('; ')
  const failed: Condition | undefined =
    messages.length === 0
      ? undefined
      : known?.status === 'False' && known.message === message
        ? known
        : { type: conditionType, status: 'False', reason: 'PortInUse', message, lastTransitionTime: now }
  const conditions = failed ? [...others, failed] : others
  const before = { ingress: old.loadBalancer?.ingress ?? [], conditions: old.conditions ?? [] }
  // Somebody else's load balancer keeps what it wrote.
  const after = { ingress: mine ? (ingress ?? []) : service.spec?.loadBalancerClass ? before.ingress : [], conditions }
  const shape = (value: typeof before): string =>
    JSON.stringify([value.ingress.map(({ ip, hostname }) => [ip, hostname]), value.conditions])
  if (shape(before) === shape(after)) return undefined
  return {
    ...old,
    loadBalancer: after.ingress.length > 0 ? { ingress: after.ingress } : {},
    ...(conditions.length > 0 || known ? { conditions } : {}),
  }
}

/** Writes load balancer addresses and port conflicts to Services. Failures are tried again at the next call. */
export const createReporter = ({ client, clock, log, nodeAddress, record }: ReporterOptions) => {
  const told = new Map<string, string>()
  const writing = new Set<string>()

  const write = async (service: Service, status: Service['status']): Promise<void> => {
    const key = keyOf(service)
    if (writing.has(key)) return
    writing.add(key)
    try {
      await client.updateStatus(Services, { ...service, status })
    } catch (error) {
      // Changed or deleted meanwhile: its next event brings us back.
      if (!isError(error, 'conflict', 'not-found'))
        log.warn('status of a service', { service: key, error: messageOf(error) })
    } finally {
      writing.delete(key)
    }
  }

  return (services: readonly Service[], refusals: readonly Refusal[]): void => {
    const byService = Map.groupBy(refusals, ({ claim }) => claim.plan.key.slice(0, claim.plan.key.lastIndexOf(':')))
    for (const key of told.keys()) if (!byService.has(key)) told.delete(key)
    for (const service of services) {
      if (service.metadata.deletionTimestamp !== undefined) continue
      const key = keyOf(service)
      const messages = (byService.get(key) ?? []).map(({ message }) => message)
      const text = messages.join('; ')
      if (text !== '' && told.get(key) !== text) {
        told.set(key, text)
        log.warn('host port of a service', { service: key, reason: text })
        record?.(service, 'Warning', 'PortInUse', `${text}; trying again`)
      }
      const status = statusOf(service, messages, nodeAddress, timestamp(clock.now()))
      if (status) void write(service, status)
    }
  }
}
