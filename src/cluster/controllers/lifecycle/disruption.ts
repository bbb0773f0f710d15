import { parseTimestamp, timestamp } from '../../../lib/timestamp.ts'
import type {
  PodDisruptionBudget as BudgetObject,
  PodDisruptionBudgetStatus,
  Pod as PodObject,
} from '../../../spec/kube/generated/types.ts'
import { Deployment, Pod, PodDisruptionBudget, ReplicaSet, StatefulSet } from '../../../spec/kube/kinds.ts'
import { isEmptySelector, matchesSelector } from '../../../spec/kube/label-selector.ts'
import { withCondition } from '../objects/conditions.ts'
import { equal, scaledValue } from '../objects/meta.ts'
import { isPodFinished, isPodReady } from '../objects/pods.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { controllerOf } from '../run/owned.ts'

// An eviction that was granted counts as a disruption until the pod is seen going, but not for ever.
const grantedFor = 120_000

const selects = (budget: BudgetObject, pod: PodObject): boolean =>
  isEmptySelector(budget.spec?.selector)
    ? budget.spec?.selector !== undefined
    : matchesSelector(budget.spec?.selector, pod.metadata.labels)

/** How many disruptions a budget allows now. Source: pkg/controller/disruption. */
export const budgets = controller({
  name: 'disruption-controller',
  for: PodDisruptionBudget,
  watches: [
    watch(Pod, (pod, { informers, before }) =>
      informers
        .of(PodDisruptionBudget)
        .list(pod.metadata.namespace)
        .filter((budget) => selects(budget, pod) || (before && selects(budget, before)))
        .map(keyFor),
    ),
    ...[Deployment, ReplicaSet, StatefulSet].map((kind) =>
      watch(kind as typeof Deployment, (object, { informers, before }) =>
        before?.spec?.replicas === object.spec?.replicas
          ? []
          : informers.of(PodDisruptionBudget).list(object.metadata.namespace).map(keyFor),
      ),
    ),
  ],
  async reconcile(key, context) {
    const { objects, informers, clock } = context
    const budget = informers.of(PodDisruptionBudget).get(key.namespace, key.name)
    if (!budget || budget.metadata.deletionTimestamp) return
    const pods = informers
      .of(Pod)
      .list(key.namespace)
      .filter((pod) => selects(budget, pod) && !isPodFinished(pod))
    const status = budgetStatus(budget, pods, expectedPods(budget, pods, context), clock.now())
    if (!equal(status, budget.status)) await objects.updateStatus(PodDisruptionBudget, { ...budget, status })
    const granted = Object.values(status.disruptedPods ?? {}).map((at) => parseTimestamp(at) + grantedFor - clock.now())
    return granted.length > 0 ? { requeueAfter: Math.max(1000, Math.min(...granted)) } : undefined
  },
})

/** How many pods there should be, by the word of their controllers. */
const expectedPods = (budget: BudgetObject, pods: readonly PodObject[], { informers }: Context): number => {
  const { minAvailable, maxUnavailable } = budget.spec ?? {}
  const absolute = maxUnavailable === undefined && !String(minAvailable ?? '').endsWith('%')
  if (absolute) return pods.length
  const scales = new Map<string, number>()
  let unmanaged = 0
  for (const pod of pods) {
    const owner = controllerOf(pod)
    const { namespace } = pod.metadata
    const set = owner?.kind === 'ReplicaSet' ? informers.of(ReplicaSet).get(namespace, owner.name) : undefined
    const top = set ? controllerOf(set) : undefined
    const deployment = top?.kind === 'Deployment' ? informers.of(Deployment).get(namespace, top.name) : undefined
    const stateful = owner?.kind === 'StatefulSet' ? informers.of(StatefulSet).get(namespace, owner.name) : undefined
    const found = deployment ?? set ?? stateful
    if (found) scales.set(found.metadata.uid!, found.spec?.replicas ?? 1)
    else unmanaged++
  }
  return [...scales.values()].reduce((sum, replicas) => sum + replicas, unmanaged)
}

export const budgetStatus = (
  budget: BudgetObject,
  pods: readonly PodObject[],
  expected: number,
  now: number,
): PodDisruptionBudgetStatus => {
  const { minAvailable, maxUnavailable } = budget.spec ?? {}
  const desired =
    maxUnavailable !== undefined
      ? Math.max(0, expected - scaledValue(maxUnavailable, expected, 'up'))
      : scaledValue(minAvailable, expected, 'up', 1)
  const names = new Set(pods.filter((pod) => !pod.metadata.deletionTimestamp).map((pod) => pod.metadata.name))
  const disrupted = Object.fromEntries(
    Object.entries(budget.status?.disruptedPods ?? {}).filter(
      ([name, at]) => names.has(name) && parseTimestamp(at) + grantedFor > now,
    ),
  )
  const healthy = pods.filter(
    (pod) => !pod.metadata.deletionTimestamp && !(pod.metadata.name! in disrupted) && isPodReady(pod),
  ).length
  const allowed = expected === 0 ? 0 : Math.max(0, healthy - desired)
  const condition = {
    type: 'DisruptionAllowed',
    status: allowed > 0 ? 'True' : 'False',
    reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    lastTransitionTime: timestamp(now),
    observedGeneration: budget.metadata.generation,
  }
  return {
    currentHealthy: healthy,
    desiredHealthy: desired,
    disruptionsAllowed: allowed,
    expectedPods: expected,
    observedGeneration: budget.metadata.generation,
    ...(Object.keys(disrupted).length > 0 ? { disruptedPods: disrupted } : {}),
    conditions: withCondition(budget.status?.conditions, condition, now),
  }
}
