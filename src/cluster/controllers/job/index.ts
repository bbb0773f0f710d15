import { messageOf } from '../../../errors.ts'
import { parseTimestamp } from '../../../lib/timestamp.ts'
import type { Job as JobObject, Pod as PodObject } from '../../../spec/kube/generated/types.ts'
import { Job, Pod } from '../../../spec/kube/kinds.ts'
import { slowStart } from '../objects/batch.ts'
import { adopters, claim } from '../objects/claim.ts'
import { equal } from '../objects/meta.ts'
import { podFromTemplate } from '../objects/pods.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { controllerOf } from '../run/owned.ts'
import { indexKey } from './indexes.ts'
import { isFinished, type JobPlan, planJob } from './plan.ts'
import { isTracked, tracking } from './tally.ts'

export { isFinished } from './plan.ts'

export const jobs = controller({
  name: 'job-controller',
  for: Job,
  owns: [Pod],
  watches: [
    watch(Pod, (pod, { informers }) => {
      const name = pod.metadata.labels?.['batch.kubernetes.io/job-name']
      const orphan = !controllerOf(pod) && isTracked(pod) && name
      const mine = adopters(pod, informers.of(Job).list(pod.metadata.namespace)).map(keyFor)
      return orphan ? [...mine, { namespace: pod.metadata.namespace, name }] : mine
    }),
  ],
  async reconcile(key, context) {
    const { objects, informers, recorder, clock } = context
    const job = informers.of(Job).get(key.namespace, key.name)
    await freeStrays(key, job, context)
    if (!job || job.metadata.deletionTimestamp) return
    if (job.spec?.managedBy && job.spec.managedBy !== 'kubernetes.io/job-controller') return
    const pods = await claim(Pod, Job, job, job.spec?.selector, context)
    const plan = planJob(job, pods, clock.now())
    if (!equal(plan.status, job.status)) await objects.updateStatus(Job, { ...job, status: plan.status })
    for (const { type, reason, message } of plan.events) recorder.event(Job, job, type, reason, message)
    await perform(plan, job, context)
    return { requeueAfter: plan.again }
  },
})

const free = async (pod: PodObject, { objects }: Context): Promise<void> => {
  const { uid, resourceVersion, finalizers = [] } = pod.metadata
  const rest = finalizers.filter((finalizer) => finalizer !== tracking)
  await objects.patch(Pod, keyFor(pod), {
    type: 'merge',
    body: { metadata: { uid, resourceVersion, finalizers: rest } },
  })
}

/** Pods of a Job that is gone (or going) need not be counted any more. */
const freeStrays = async (
  key: { namespace?: string | undefined; name: string },
  job: JobObject | undefined,
  context: Context,
): Promise<void> => {
  const isStray = (pod: PodObject): boolean => {
    if (!isTracked(pod) || pod.metadata.labels?.['batch.kubernetes.io/job-name'] !== key.name) return false
    const owner = controllerOf(pod)
    if (!owner) return !job
    return owner.kind === 'Job' && (owner.uid !== job?.metadata.uid || job.metadata.deletionTimestamp !== undefined)
  }
  for (const pod of context.informers.of(Pod).list(key.namespace)) if (isStray(pod)) await free(pod, context)
}

const perform = async (plan: JobPlan, job: JobObject, context: Context): Promise<void> => {
  const { objects, recorder } = context
  for (const pod of plan.untrack) if (isTracked(pod)) await free(pod, context)
  for (const pod of plan.remove) {
    if (isTracked(pod)) await free(pod, context)
    await objects.delete(Pod, keyFor(pod), { preconditions: { uid: pod.metadata.uid! } })
    recorder.event(Job, job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`)
  }
  const { error } = await slowStart(plan.create.length, async (i) => {
    const pod = await objects.create(Pod, jobPod(job, plan.create[i]!))
    recorder.event(Job, job, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`)
  })
  if (error === undefined) return
  recorder.event(Job, job, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`)
  throw error
}

const jobPod = (job: JobObject, { index, failures }: JobPlan['create'][number]): PodObject => {
  const uid = job.metadata.uid!
  const name = job.metadata.name!
  const named = { 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': name }
  const labels = { ...named, 'controller-uid': uid, 'job-name': name }
  const pod = podFromTemplate(job.spec!.template, Job, job, { labels })
  pod.metadata.finalizers = [...(pod.metadata.finalizers ?? []), tracking]
  if (index === undefined) return pod
  const field = { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.labels['${indexKey}']` } }
  const withIndex = <C extends { env?: { name: string }[] | undefined }>(container: C): C =>
    container.env?.some((entry) => entry.name === 'JOB_COMPLETION_INDEX')
      ? container
      : { ...container, env: [...(container.env ?? []), { name: 'JOB_COMPLETION_INDEX', valueFrom: field }] }
  const counted =
    job.spec?.backoffLimitPerIndex === undefined
      ? {}
      : { 'batch.kubernetes.io/job-index-failure-count': String(failures) }
  pod.metadata.generateName = `${name}-${index}-`
  pod.metadata.labels = { ...pod.metadata.labels, [indexKey]: String(index) }
  pod.metadata.annotations = { ...pod.metadata.annotations, [indexKey]: String(index), ...counted }
  const { containers, initContainers, hostname = `${name}-${index}` } = pod.spec!
  pod.spec = {
    ...pod.spec!,
    hostname,
    containers: containers.map(withIndex),
    ...(initContainers ? { initContainers: initContainers.map(withIndex) } : {}),
  }
  return pod
}

/** Removes finished Jobs when their time is over. Source: pkg/controller/ttlafterfinished. */
export const finishedJobs = controller({
  name: 'ttl-after-finished-controller',
  for: Job,
  async reconcile(key, { objects, informers, clock }) {
    const job = informers.of(Job).get(key.namespace, key.name)
    const ttl = job?.spec?.ttlSecondsAfterFinished
    if (!job || ttl === undefined || job.metadata.deletionTimestamp || !isFinished(job)) return
    const done = job.status!.conditions!.find(
      ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
    )!
    const left = parseTimestamp(done.lastTransitionTime) + ttl * 1000 - clock.now()
    if (left > 0) return { requeueAfter: left }
    const preconditions = { uid: job.metadata.uid! }
    await objects.delete(Job, key, { propagation: 'Foreground', preconditions })
    return
  },
})
