import { SlipwayError } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import { stoppedAnnotation } from '../app/labels.ts'
import { waitForWorkload } from '../app/rollout.ts'
import { listWorkloads, pickServices, type Workload, workloadKinds } from '../app/workloads.ts'
import type { Command, Invocation } from '../framework/command.ts'
import { durationMs, text } from '../framework/flags.ts'
import { projectName } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'
import type { Progress } from '../progress/progress.ts'
import { progressFor, stopProject } from './up.ts'

const waitReady = async (
  client: ObjectClient,
  w: Workload,
  progress: Progress,
  signal: AbortSignal,
  word: string,
): Promise<void> => {
  const id = `Service ${w.service}`
  try {
    const last = await waitForWorkload(client, w, {
      goal: w.kind === 'Job' ? 'started' : 'ready',
      signal,
      progress: (s) => !s.done && progress.update({ id, state: 'working', text: s.text }),
    })
    progress.update({ id, state: 'done', text: `${word} (${last.text})` })
  } catch (error) {
    progress.update({ id, state: 'error', text: 'Failed' })
    throw error
  }
}

export const scale: Command = {
  name: 'scale',
  usage: '[SERVICE=REPLICAS...]',
  summary: 'Scale services',
  group: 'app',
  flags: [],
  async run(invocation) {
    const { args, shell } = invocation
    if (args.length === 0)
      throw new SlipwayError('bad-request', 'requires at least 1 arg(s), only received 0', {
        hint: 'slipway scale SERVICE=REPLICAS',
      })
    const wanted = args.map((arg): [string, number] => {
      const match = /^(.+)=(\d+)$/.exec(arg)
      if (!match)
        throw new SlipwayError('bad-request', `invalid scale specifier: ${arg}`, {
          hint: 'Write SERVICE=REPLICAS, e.g. backend=5.',
        })
      return [match[1]!, Number(match[2])]
    })
    const { client } = await openTarget(invocation)
    const all = await listWorkloads(client, await projectName(invocation))
    const progress = progressFor(invocation, 'scale')
    try {
      const chosen = wanted.map(
        ([service, replicas]) => [scalable(pickServices(all, [service])[0]!), replicas] as const,
      )
      await Promise.all(
        chosen.map(async ([w, replicas]) => {
          progress.update({ id: `Service ${w.service}`, state: 'working', text: `Scaling to ${replicas}` })
          await client.setScale(workloadKinds[w.kind], { namespace: w.namespace, name: w.name }, replicas)
          await waitReady(client, w, progress, shell.signal, 'Scaled')
        }),
      )
    } finally {
      progress.end()
    }
    return 0
  },
}

const scalable = (w: Workload): Workload => {
  if (w.kind === 'Deployment' || w.kind === 'StatefulSet') return w
  throw new SlipwayError('conflict', `service "${w.service}" is a ${w.kind} and cannot be scaled`)
}

export const stop: Command = {
  name: 'stop',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Stop services',
  group: 'app',
  flags: [text('-t, --timeout', 'SECONDS', 'Wait before killing')],
  async run(invocation) {
    const target = await openTarget(invocation)
    const progress = progressFor(invocation, 'stop')
    const timeout = invocation.flags.timeout as string | undefined
    try {
      await stopProject(target, await projectName(invocation), invocation.args, {
        timeoutMs: timeout === undefined ? undefined : durationMs(timeout, 'timeout'),
        force: invocation.shell.signal,
        progress,
      })
    } finally {
      progress.end()
    }
    return 0
  },
}

export const start: Command = {
  name: 'start',
  usage: '[SERVICE...]',
  summary: 'Start stopped services',
  group: 'app',
  flags: [],
  async run(invocation) {
    const { client } = await openTarget(invocation)
    const all = pickServices(await listWorkloads(client, await projectName(invocation)), invocation.args)
    const progress = progressFor(invocation, 'start')
    try {
      await Promise.all(
        all.map(async (w) => {
          progress.update({ id: `Service ${w.service}`, state: 'working', text: 'Starting' })
          await startWorkload(client, w)
          await waitReady(client, w, progress, invocation.shell.signal, 'Started')
        }),
      )
    } finally {
      progress.end()
    }
    return 0
  },
}

const startWorkload = async (client: ObjectClient, w: Workload): Promise<void> => {
  const key = { namespace: w.namespace, name: w.name }
  if (w.kind === 'Job')
    return void (await client.patch(workloadKinds.Job, key, { type: 'merge', body: { spec: { suspend: false } } }))
  if (w.kind === 'DaemonSet')
    return void (await client.patch(workloadKinds.DaemonSet, key, {
      type: 'merge',
      body: { spec: { template: { spec: { nodeSelector: { 'slipway.dev/stopped': null } } } } },
    }))
  const stopped = w.object.metadata.annotations?.[stoppedAnnotation]
  if (stopped === undefined || ((w.object.spec as { replicas?: number }).replicas ?? 1) > 0) return
  await client.patch(workloadKinds[w.kind], key, {
    type: 'merge',
    body: { metadata: { annotations: { [stoppedAnnotation]: null } }, spec: { replicas: Number(stopped) } },
  })
}

export const restart: Command = {
  name: 'restart',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Restart services, one instance after another, without downtime',
  group: 'app',
  flags: [],
  run: (invocation) => restartServices(invocation, 'Restarted'),
}

/** Rolls the pods over, as `kubectl rollout restart` does. */
export const restartServices = async (invocation: Invocation, word: string): Promise<number> => {
  const { client } = await openTarget(invocation)
  const all = pickServices(await listWorkloads(client, await projectName(invocation)), invocation.args).filter(
    (w) => w.kind !== 'Job',
  )
  const progress = progressFor(invocation, 'restart')
  const body = {
    spec: {
      template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() } } },
    },
  }
  try {
    await Promise.all(
      all.map(async (w) => {
        progress.update({ id: `Service ${w.service}`, state: 'working', text: 'Restarting' })
        await client.patch(workloadKinds[w.kind], { namespace: w.namespace, name: w.name }, { type: 'merge', body })
        await waitReady(client, w, progress, invocation.shell.signal, word)
      }),
    )
  } finally {
    progress.end()
  }
  return 0
}
