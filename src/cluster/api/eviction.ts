/** pods/eviction: a deletion that asks the disruption budgets first. */
import { cloneJson } from '../../lib/json.ts'
import { timestamp } from '../../lib/timestamp.ts'
import { matchesSelector } from '../../spec/kube/label-selector.ts'
import { statusError } from '../../spec/kube/status.ts'
import type { ApiRequest } from '../types.ts'
import { deleteObject } from './delete.ts'
import { forbidden, internal } from './errors.ts'
import { getObject } from './read.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'
import { replace } from './write.ts'

const tooMany = (cause: string, retryAfterSeconds: number) =>
  statusError('too-many-requests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    details: { retryAfterSeconds, causes: [{ reason: 'DisruptionBudget', message: cause }] },
  })

const ready = (pod: Draft): boolean =>
  (pod.status?.conditions ?? []).some((c: Draft) => c.type === 'Ready' && c.status === 'True')

/** Takes one disruption out of the budget, or throws. */
const spend = (context: Context, pod: Draft, budget: Draft, write: Write): void => {
  const { status = {}, metadata } = budget
  const resource = context.registry.byId('poddisruptionbudgets.policy')!
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0))
    throw tooMany(`The disruption budget ${metadata.name} is still being processed by the server.`, 10)
  if (status.disruptionsAllowed < 0) throw forbidden(resource, metadata.name, 'pdb disruptions allowed is negative')
  if (!status.disruptionsAllowed)
    throw tooMany(
      `The disruption budget ${metadata.name} needs ${status.desiredHealthy ?? 0} healthy pods and has ${status.currentHealthy ?? 0} currently`,
      0,
    )
  const draft = cloneJson(budget)
  draft.status.disruptionsAllowed--
  draft.status.disruptedPods = { ...draft.status.disruptedPods, [pod.metadata.name]: timestamp(context.clock.now()) }
  replace(context, resource, draft, budget, { ...write, subresource: 'status' })
}

export const evict = (context: Context, resource: Resource, request: ApiRequest, write: Write): void => {
  const namespace = request.namespace ?? ''
  const pod = getObject(context, resource, namespace, request.name!) as Draft
  const eviction = request.object as Draft
  const dryRun = write.dryRun || eviction.deleteOptions?.dryRun?.length > 0
  const quiet = { ...write, dryRun }
  const harmless = ['Succeeded', 'Failed', 'Pending'].includes(pod.status?.phase) || pod.metadata.deletionTimestamp
  if (!harmless) {
    const budgets = (context.store.list('poddisruptionbudgets.policy', namespace) as Draft[]).filter((b) =>
      matchesSelector(b.spec.selector, pod.metadata.labels),
    )
    if (budgets.length > 1)
      throw internal('This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.')
    const [budget] = budgets
    if (budget) {
      const { status = {}, spec } = budget
      const healthyEnough = status.currentHealthy >= status.desiredHealthy && status.desiredHealthy > 0
      const free = !ready(pod) && (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow' || healthyEnough)
      if (!free) spend(context, pod, budget, quiet)
    }
  }
  const options = {
    ...eviction.deleteOptions,
    preconditions: { uid: pod.metadata.uid, ...eviction.deleteOptions?.preconditions },
  }
  deleteObject(context, resource, namespace, request.name!, options, quiet)
}
