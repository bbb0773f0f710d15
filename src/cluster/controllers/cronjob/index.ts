import { isError, messageOf } from '../../../errors.ts'
import { parseTimestamp, timestamp } from '../../../lib/timestamp.ts'
import type {
  CronJob as CronJobObject,
  CronJobStatus,
  Job as JobObject,
  ObjectReference,
} from '../../../spec/kube/generated/types.ts'
import { CronJob, Job } from '../../../spec/kube/kinds.ts'
import { isFinished } from '../job/index.ts'
import { byCreation, equal, ownerReference } from '../objects/meta.ts'
import { type Context, controller, keyFor, type Result } from '../run/controller.ts'
import { createSchedule, earliest, missed, type Schedule } from './schedule.ts'

export const cronJobs = controller({
  name: 'cronjob-controller',
  for: CronJob,
  owns: [Job],
  async reconcile(key, context) {
    const { informers, owned } = context
    const cron = informers.of(CronJob).get(key.namespace, key.name)
    if (!cron || cron.metadata.deletionTimestamp) return
    const jobs = owned.by(Job, cron.metadata.uid)
    const turn: Turn = { cron, jobs, status: seen(cron, jobs, context), context }
    const result = await schedule(turn)
    const status = Object.fromEntries(Object.entries(turn.status).filter(([, value]) => value !== undefined))
    if (!equal(status, cron.status ?? {})) await context.objects.updateStatus(CronJob, { ...cron, status })
    await cleanup(turn)
    return result
  },
})

interface Turn {
  cron: CronJobObject
  jobs: readonly JobObject[]
  status: CronJobStatus
  context: Context
}

const endOf = (job: JobObject): string | undefined =>
  job.status?.conditions?.find(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True')
    ?.type

const referenceTo = ({ metadata }: JobObject): ObjectReference => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  namespace: metadata.namespace,
  name: metadata.name,
  uid: metadata.uid,
  resourceVersion: metadata.resourceVersion,
})

/** The status after a look at the Jobs there are. */
const seen = (cron: CronJobObject, jobs: readonly JobObject[], { recorder }: Context): CronJobStatus => {
  const before = cron.status?.active ?? []
  for (const reference of before) {
    const job = jobs.find(({ metadata }) => metadata.uid === reference.uid)
    if (!job) recorder.event(CronJob, cron, 'Normal', 'MissingJob', `Active job went missing: ${reference.name}`)
    else if (isFinished(job)) {
      const message = `Saw completed job: ${reference.name}, condition: ${endOf(job)}`
      recorder.event(CronJob, cron, 'Normal', 'SawCompletedJob', message)
    }
  }
  const successes = jobs.filter((job) => endOf(job) === 'Complete').map((job) => job.status?.completionTime ?? '')
  const last = [cron.status?.lastSuccessfulTime ?? '', ...successes].sort().at(-1)
  const active = jobs
    .filter((job) => !isFinished(job))
    .map((job) => before.find(({ uid }) => uid === job.metadata.uid) ?? referenceTo(job))
  return { ...cron.status, active: active.length > 0 ? active : undefined, lastSuccessfulTime: last || undefined }
}

const schedule = async (turn: Turn): Promise<Result> => {
  const { cron, context } = turn
  const { recorder, clock } = context
  const spec = cron.spec!
  let times: Schedule
  try {
    times = await createSchedule(spec.schedule, spec.timeZone)
  } catch (error) {
    const message = `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${messageOf(error)}`
    recorder.event(CronJob, cron, 'Warning', 'UnparseableSchedule', message)
    return
  }
  if (spec.suspend) return
  const now = clock.now()
  const since = earliest(cron, now)
  const due = times.latest(since, now)
  const next = times.next(now)
  // Timers stand still while the machine sleeps; a look every minute keeps a Job from starting hours late.
  const later: Result = next === undefined ? undefined : { requeueAfter: Math.min(next - now + 5, 60_000) }
  if (due === undefined || turn.status.lastScheduleTime === timestamp(due)) return later
  if (missed(times, since, now) > 100) {
    const message = 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew'
    recorder.event(CronJob, cron, 'Warning', 'TooManyMissedTimes', message)
  }
  if (spec.startingDeadlineSeconds !== undefined && due + spec.startingDeadlineSeconds * 1000 < now) {
    recorder.event(
      CronJob,
      cron,
      'Warning',
      'MissSchedule',
      `Missed scheduled time to start a job: ${new Date(due).toUTCString()}`,
    )
    return later
  }
  await start(turn, due)
  return later
}

/** Starts the Job for a time. Its name follows from the time, so a crash after it cannot start a second one. */
const start = async (turn: Turn, due: number): Promise<void> => {
  const { cron, context, status } = turn
  const { objects, recorder } = context
  const { concurrencyPolicy = 'Allow', jobTemplate } = cron.spec!
  const active = turn.jobs.filter((job) => !isFinished(job))
  const name = `${cron.metadata.name}-${Math.floor(due / 60_000)}`
  if (active.some((job) => job.metadata.name === name)) return
  if (concurrencyPolicy === 'Forbid' && active.length > 0) {
    const message = 'Not starting job because prior execution is running and concurrency policy is Forbid'
    recorder.event(CronJob, cron, 'Normal', 'JobAlreadyActive', message)
    return
  }
  if (concurrencyPolicy === 'Replace') {
    for (const job of active) {
      await objects.delete(Job, keyFor(job), { propagation: 'Background' })
      recorder.event(CronJob, cron, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`)
    }
    status.active = undefined
  }
  const { labels, annotations } = jobTemplate.metadata ?? {}
  const scheduled = { 'batch.kubernetes.io/cronjob-scheduled-timestamp': timestamp(due) }
  const metadata = {
    name,
    namespace: cron.metadata.namespace,
    ...(labels ? { labels } : {}),
    annotations: { ...annotations, ...scheduled },
    ownerReferences: [ownerReference(CronJob, cron)],
  }
  try {
    const job = await objects.create(Job, { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: jobTemplate.spec })
    recorder.event(CronJob, cron, 'Normal', 'SuccessfulCreate', `Created job ${name}`)
    status.active = [...(status.active ?? []), referenceTo(job)]
  } catch (error) {
    if (!isError(error, 'already-exists')) {
      recorder.event(CronJob, cron, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`)
      throw error
    }
  }
  status.lastScheduleTime = timestamp(due)
}

/** Removes finished Jobs beyond the history limits, oldest first. */
const cleanup = async ({ cron, jobs, context }: Turn): Promise<void> => {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cron.spec!
  for (const [end, limit] of [
    ['Complete', successfulJobsHistoryLimit],
    ['Failed', failedJobsHistoryLimit],
  ] as const) {
    const done = jobs.filter((job) => endOf(job) === end && !job.metadata.deletionTimestamp).sort(byStart)
    for (const job of done.slice(0, Math.max(0, done.length - limit))) {
      await context.objects.delete(Job, keyFor(job), { propagation: 'Background' })
      context.recorder.event(CronJob, cron, 'Normal', 'SuccessfulDelete', `Deleted job ${job.metadata.name}`)
    }
  }
}

const byStart = (a: JobObject, b: JobObject): number => {
  const [x, y] = [a, b].map((job) => parseTimestamp(job.status?.startTime) || 0)
  return x! - y! || byCreation(a, b)
}
