import { isError, messageOf } from '../../../errors.ts'
import type { Pod as PodObject, StatefulSet as StatefulSetObject } from '../../../spec/kube/generated/types.ts'
import { ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet } from '../../../spec/kube/kinds.ts'
import { slowStart } from '../objects/batch.ts'
import { adopters, claim } from '../objects/claim.ts'
import { equal } from '../objects/meta.ts'
import { nextAvailable } from '../objects/pods.ts'
import { type History, revisionLabel, syncHistory, templateOf, truncateHistory } from '../objects/revisions.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { claimOwners, memberClaims, memberPod, ordinalOf, podName } from './identity.ts'
import { type MemberStep, members, planMembers, type SetRevisions, setStatus } from './plan.ts'

export const statefulSets = controller({
  name: 'statefulset-controller',
  for: StatefulSet,
  owns: [Pod, ControllerRevision],
  watches: [
    watch(Pod, (pod, { informers }) =>
      adopters(pod, informers.of(StatefulSet).list(pod.metadata.namespace)).map(keyFor),
    ),
    // A member whose claim is removed under it waits for a new one.
    watch(PersistentVolumeClaim, ({ metadata: { namespace, name } }, { informers, type }) =>
      type === 'DELETED'
        ? informers
            .of(StatefulSet)
            .list(namespace)
            .filter((set) =>
              set.spec?.volumeClaimTemplates?.some((t) => name!.startsWith(`${t.metadata.name}-${set.metadata.name}-`)),
            )
            .map(keyFor)
        : [],
    ),
  ],
  async reconcile(key, context) {
    const { objects, informers, clock } = context
    const set = informers.of(StatefulSet).get(key.namespace, key.name)
    if (!set) return
    const claimed = await claim(Pod, StatefulSet, set, set.spec?.selector, context)
    const pods = claimed.filter((pod) => ordinalOf(set, pod) !== undefined)
    if (set.metadata.deletionTimestamp) {
      // A set that goes makes nothing any more: a history made anew would keep its own deletion from ever ending.
      await keepClaims(set, pods, context)
      return
    }
    const history = await syncHistory(StatefulSet, set, context)
    const update = history.update.metadata.name!
    const current = history.all.find(({ metadata }) => metadata.name === set.status?.currentRevision)?.metadata.name
    const revisions = { current: current ?? update, update }
    await keepClaims(set, pods, context)
    await restoreClaims(set, pods, context)
    const failure = await perform(planMembers(set, pods, revisions, clock.now()), set, history, context)
    const status = setStatus(set, pods, revisions, clock.now())
    if (!equal(status, set.status)) await objects.updateStatus(StatefulSet, { ...set, status })
    await truncateHistory(set, history, inUse(pods, revisions), context)
    if (failure !== undefined) throw failure
    return { requeueAfter: nextAvailable(pods, set.spec?.minReadySeconds ?? 0, clock.now()) }
  },
})

const inUse = (pods: readonly PodObject[], { current, update }: SetRevisions): Set<string> =>
  new Set([current, update, ...pods.map((pod) => pod.metadata.labels?.[revisionLabel] ?? '')])

/** Makes the claims again that members which are not placed yet have lost. */
const restoreClaims = async (set: StatefulSetObject, pods: readonly PodObject[], context: Context): Promise<void> => {
  for (const pod of pods) {
    if (pod.spec?.nodeName || pod.metadata.deletionTimestamp) continue
    await createClaims(set, ordinalOf(set, pod)!, context)
  }
}

/** Gives existing claims the owners the retention policy asks for. */
const keepClaims = async (set: StatefulSetObject, pods: readonly PodObject[], context: Context): Promise<void> => {
  const { objects, informers } = context
  if (!set.spec?.volumeClaimTemplates?.length) return
  const leaving = new Set(members(set, pods).extra)
  for (const pod of pods) {
    const owners = claimOwners(set, pod, leaving.has(pod))
    for (const { metadata } of memberClaims(set, ordinalOf(set, pod)!)) {
      const existing = informers.of(PersistentVolumeClaim).get(metadata.namespace, metadata.name!)
      if (!existing) continue
      const before = existing.metadata.ownerReferences ?? []
      // Only references to this set and to its pod of that name are ours to change.
      const others = before.filter(
        ({ uid, kind, name }) => uid !== set.metadata.uid && !(kind === 'Pod' && name === pod.metadata.name),
      )
      if (equal([...others, ...owners], before)) continue
      const { resourceVersion } = existing.metadata
      const body = { metadata: { resourceVersion, ownerReferences: [...others, ...owners] } }
      await objects.patch(PersistentVolumeClaim, keyFor(existing), { type: 'merge', body })
    }
  }
}

/** Performs the steps; the error of the first that failed, if any. */
const perform = async (
  steps: readonly MemberStep[],
  set: StatefulSetObject,
  history: History,
  context: Context,
): Promise<unknown> => {
  const { objects, recorder } = context
  const creates = steps.filter((step) => step.do === 'create')
  const { error } = await slowStart(creates.length, (i) => createMember(creates[i]!, set, history, context))
  if (error !== undefined) return error
  for (const step of steps) {
    if (step.do === 'label') {
      await objects.patch(Pod, keyFor(step.pod), { type: 'merge', body: { metadata: { labels: step.labels } } })
    } else if (step.do === 'delete') {
      const { name, uid } = step.pod.metadata
      if (step.why === 'finished') {
        const failed = step.pod.status?.phase === 'Failed'
        const place = `StatefulSet ${set.metadata.namespace}/${set.metadata.name} is recreating ${failed ? 'failed' : 'terminated'} Pod ${name}`
        recorder.event(
          StatefulSet,
          set,
          failed ? 'Warning' : 'Normal',
          failed ? 'RecreatingFailedPod' : 'RecreatingTerminatedPod',
          place,
        )
      }
      await objects.delete(Pod, keyFor(step.pod), { preconditions: { uid: uid! } })
      const message = `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`
      recorder.event(StatefulSet, set, 'Normal', 'SuccessfulDelete', message)
    }
  }
  return undefined
}

const createMember = async (
  { ordinal, revision }: Extract<MemberStep, { do: 'create' }>,
  set: StatefulSetObject,
  history: History,
  context: Context,
): Promise<void> => {
  const { objects } = context
  const name = podName(set, ordinal)
  try {
    await createClaims(set, ordinal, context)
    const from = history.all.find(({ metadata }) => metadata.name === revision) ?? history.update
    await objects.create(Pod, memberPod(set, templateOf(from), from.metadata.name!, ordinal))
    tell(set, true, `Pod ${name}`, 'successful', context)
  } catch (error) {
    tell(set, false, `Pod ${name}`, `failed error: ${messageOf(error)}`, context)
    throw error
  }
}

const tell = (set: StatefulSetObject, ok: boolean, what: string, end: string, { recorder }: Context): void => {
  const message = `create ${what} in StatefulSet ${set.metadata.name} ${end}`
  recorder.event(StatefulSet, set, ok ? 'Normal' : 'Warning', ok ? 'SuccessfulCreate' : 'FailedCreate', message)
}

const createClaims = async (set: StatefulSetObject, ordinal: number, context: Context): Promise<void> => {
  const { objects, informers } = context
  for (const object of memberClaims(set, ordinal)) {
    if (informers.of(PersistentVolumeClaim).get(object.metadata.namespace, object.metadata.name!)) continue
    try {
      await objects.create(PersistentVolumeClaim, object)
      tell(set, true, `Claim ${object.metadata.name} Pod ${podName(set, ordinal)}`, 'success', context)
    } catch (error) {
      if (!isError(error, 'already-exists')) throw error
    }
  }
}
