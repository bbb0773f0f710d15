import { messageOf } from '../../../errors.ts'
import type { DaemonSet as DaemonSetObject, Pod as PodObject } from '../../../spec/kube/generated/types.ts'
import { ControllerRevision, DaemonSet, Node, Pod } from '../../../spec/kube/kinds.ts'
import { slowStart } from '../objects/batch.ts'
import { adopters, claim } from '../objects/claim.ts'
import { equal } from '../objects/meta.ts'
import { nextAvailable, podFromTemplate } from '../objects/pods.ts'
import { revisionLabel, syncHistory, truncateHistory } from '../objects/revisions.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { affinityFor, type DaemonStep, daemonStatus, planDaemons, tolerationsOf } from './plan.ts'

const hashOf = (name: string, set: DaemonSetObject): string => name.slice(set.metadata.name!.length + 1)

export const daemonSets = controller({
  name: 'daemon-set-controller',
  for: DaemonSet,
  owns: [Pod, ControllerRevision],
  watches: [
    watch(Pod, (pod, { informers }) => adopters(pod, informers.of(DaemonSet).list(pod.metadata.namespace)).map(keyFor)),
    watch(Node, (_, { informers }) => informers.of(DaemonSet).list().map(keyFor)),
  ],
  async reconcile(key, context) {
    const { objects, informers, clock } = context
    const set = informers.of(DaemonSet).get(key.namespace, key.name)
    if (!set) return
    if (set.metadata.deletionTimestamp) return // makes nothing any more
    const pods = await claim(Pod, DaemonSet, set, set.spec?.selector, context)
    const history = await syncHistory(DaemonSet, set, context)
    const revision = hashOf(history.update.metadata.name!, set)
    const world = { nodes: informers.of(Node).list(), pods, revision, now: clock.now() }
    const failure = await perform(planDaemons(set, world), set, revision, context)
    const status = daemonStatus(set, world)
    if (!equal(status, set.status)) await objects.updateStatus(DaemonSet, { ...set, status })
    const live = new Set(pods.map((pod) => `${set.metadata.name}-${pod.metadata.labels?.[revisionLabel]}`))
    await truncateHistory(set, history, live, context)
    if (failure !== undefined) throw failure
    return { requeueAfter: nextAvailable(pods, set.spec?.minReadySeconds ?? 0, clock.now()) }
  },
})

const perform = async (
  steps: readonly DaemonStep[],
  set: DaemonSetObject,
  revision: string,
  { objects, recorder }: Context,
): Promise<unknown> => {
  const creates = steps.filter((step) => step.do === 'create')
  const { error } = await slowStart(creates.length, async (i) => {
    const pod = await objects.create(Pod, daemonPod(set, creates[i]!.node, revision))
    recorder.event(DaemonSet, set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`)
  })
  if (error !== undefined)
    recorder.event(DaemonSet, set, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`)
  for (const step of steps) {
    if (step.do !== 'delete') continue
    const { name, namespace, uid } = step.pod.metadata
    if (step.failed) {
      const message = `Found failed daemon pod ${namespace}/${name} on node ${step.pod.spec?.nodeName}, will try to kill it`
      recorder.event(DaemonSet, set, 'Warning', 'FailedDaemonPod', message)
    }
    await objects.delete(Pod, keyFor(step.pod), { preconditions: { uid: uid! } })
    recorder.event(DaemonSet, set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)
  }
  return error
}

const daemonPod = (set: DaemonSetObject, node: string, revision: string): PodObject => {
  const generation = set.metadata.annotations?.['deprecated.daemonset.template.generation']
  const labels = { [revisionLabel]: revision, ...(generation ? { 'pod-template-generation': generation } : {}) }
  const pod = podFromTemplate(set.spec!.template, DaemonSet, set, { labels })
  pod.spec = { ...pod.spec!, affinity: affinityFor(pod.spec?.affinity, node), tolerations: tolerationsOf(set) }
  return pod
}
