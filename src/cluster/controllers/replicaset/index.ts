import { messageOf } from '../../../errors.ts'
import type { Pod as PodObject, ReplicaSet as ReplicaSetObject } from '../../../spec/kube/generated/types.ts'
import { Pod, ReplicaSet, ResourceQuota } from '../../../spec/kube/kinds.ts'
import { slowStart } from '../objects/batch.ts'
import { adopters, claim } from '../objects/claim.ts'
import { findCondition } from '../objects/conditions.ts'
import { equal } from '../objects/meta.ts'
import { nextAvailable, podFromTemplate } from '../objects/pods.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { controllerOf } from '../run/owned.ts'
import { planReplicas, type ReplicaFailure, type ReplicaPlan, replicaSetStatus } from './plan.ts'

export const replicaSets = controller({
  name: 'replicaset-controller',
  for: ReplicaSet,
  owns: [Pod],
  watches: [
    watch(Pod, (pod, { informers }) =>
      adopters(pod, informers.of(ReplicaSet).list(pod.metadata.namespace)).map(keyFor),
    ),
    // A quota with room again is worth a try at once; the backoff alone may be at a minute.
    watch(ResourceQuota, ({ metadata: { namespace } }, { informers }) =>
      informers
        .of(ReplicaSet)
        .list(namespace)
        .filter((set) => findCondition(set.status?.conditions, 'ReplicaFailure'))
        .map(keyFor),
    ),
  ],
  async reconcile(key, context) {
    const { objects, informers, clock } = context
    const replicaSet = informers.of(ReplicaSet).get(key.namespace, key.name)
    if (!replicaSet) return
    const pods = await claim(Pod, ReplicaSet, replicaSet, replicaSet.spec?.selector, context)
    let failure: Failure | undefined
    if (!replicaSet.metadata.deletionTimestamp) {
      const plan = planReplicas(replicaSet, pods, siblings(replicaSet, pods, context), clock.now())
      failure = await perform(plan, replicaSet, context)
      // The pods' events bring us back, to a status that is true.
      if (!failure && plan.create + plan.remove.length > 0) return
    }
    const minReady = replicaSet.spec?.minReadySeconds ?? 0
    const status = replicaSetStatus(replicaSet, pods, clock.now(), failure)
    if (!equal(status, replicaSet.status)) await objects.updateStatus(ReplicaSet, { ...replicaSet, status })
    if (failure) throw failure.error
    return { requeueAfter: nextAvailable(pods, minReady, clock.now()) }
  },
})

interface Failure extends ReplicaFailure {
  error: unknown
}

/** Pods of all ReplicaSets with the same controller. */
const siblings = (
  replicaSet: ReplicaSetObject,
  pods: readonly PodObject[],
  { owned }: Pick<Context, 'owned'>,
): readonly PodObject[] => {
  const deployment = controllerOf(replicaSet)?.uid
  if (!deployment) return pods
  return owned.by(ReplicaSet, deployment).flatMap((sibling) => owned.by(Pod, sibling.metadata.uid))
}

const perform = async (
  plan: ReplicaPlan,
  replicaSet: ReplicaSetObject,
  { objects, recorder }: Context,
): Promise<Failure | undefined> => {
  const { namespace } = replicaSet.metadata
  const made = await slowStart(plan.create, async () => {
    const pod = await objects.create(Pod, podFromTemplate(replicaSet.spec!.template!, ReplicaSet, replicaSet))
    recorder.event(ReplicaSet, replicaSet, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`)
  })
  if (made.error !== undefined) {
    const message = messageOf(made.error)
    recorder.event(ReplicaSet, replicaSet, 'Warning', 'FailedCreate', `Error creating: ${message}`)
    return { reason: 'FailedCreate', message, error: made.error }
  }
  const removed = await Promise.allSettled(
    plan.remove.map(async ({ metadata: { name, uid } }) => {
      await objects.delete(Pod, { namespace, name: name! }, { preconditions: { uid: uid! } })
      recorder.event(ReplicaSet, replicaSet, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
    }),
  )
  const failed = removed.find((result) => result.status === 'rejected')
  if (!failed) return undefined
  const message = messageOf(failed.reason)
  recorder.event(ReplicaSet, replicaSet, 'Warning', 'FailedDelete', `Error deleting: ${message}`)
  return { reason: 'FailedDelete', message, error: failed.reason }
}
