import { SlipwayError } from '../../../errors.ts'
import { followWorkload } from '../app/rollout.ts'
import { startWorkload, stopProject } from '../app/stop.ts'
import { listWorkloads, pickServices, type Workload, workloadKinds } from '../app/workloads.ts'
import type { Command, Invocation } from '../framework/command.ts'
import { durationMs, text, toggle } from '../framework/flags.ts'
import { progressFor } from '../framework/progress.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'

/** "web=3" → ['web', 3]. */
export const replicasOf = (pair: string, what: string): [string, number] => {
  const match = /^([^=]+)=(\d+)$/.exec(pair)
  if (match) return [match[1]!, Number(match[2])]
  throw new SlipwayError('bad-request', `invalid ${what}: ${pair}`, { hint: 'Write SERVICE=NUM, e.g. backend=5.' })
}

export const scale: Command = {
  name: 'scale',
  usage: '[SERVICE=REPLICAS...]',
  summary: 'Scale services',
  group: 'app',
  flags: [toggle('--no-deps', 'Accepted: other services are never started by scaling')],
  async run(invocation) {
    const { args, shell } = invocation
    if (args.length === 0)
      throw new SlipwayError('bad-request', 'requires at least 1 arg(s), only received 0', {
        hint: 'slipway scale SERVICE=REPLICAS',
      })
    const wanted = args.map((arg) => replicasOf(arg, 'scale specifier'))
    const { client } = await openTarget(invocation)
    const { name, services } = await projectNames(invocation)
    const all = await listWorkloads(client, name)
    const chosen = wanted.map(
      ([service, replicas]) => [scalable(pickServices(all, [service], services)[0]!), replicas] as const,
    )
    const progress = progressFor(invocation, 'scale')
    try {
      await Promise.all(
        chosen.map(async ([w, replicas]) => {
          progress.update({ id: `Service ${w.service}`, state: 'working', text: `Scaling to ${replicas}` })
          await client.setScale(workloadKinds[w.kind], { namespace: w.namespace, name: w.name }, replicas)
          await followWorkload(client, w, { progress, signal: shell.signal, word: 'Scaled' })
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
    const timeout = invocation.flags.timeout as string | undefined
    const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
    const { client } = await openTarget(invocation)
    const project = await projectNames(invocation)
    const progress = progressFor(invocation, 'stop')
    try {
      await stopProject(client, project, invocation.args, { timeoutMs, signal: invocation.shell.signal, progress })
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
    const { name, services } = await projectNames(invocation)
    const all = pickServices(await listWorkloads(client, name), invocation.args, services)
    if (all.length === 0)
      throw new SlipwayError('conflict', `no container found for project "${name}": not found`, {
        hint: 'Create it: slipway up -d',
      })
    const progress = progressFor(invocation, 'start')
    try {
      await Promise.all(
        all.map(async (w) => {
          progress.update({ id: `Service ${w.service}`, state: 'working', text: 'Starting' })
          await startWorkload(client, w)
          await followWorkload(client, w, { progress, signal: invocation.shell.signal, word: 'Started' })
        }),
      )
    } finally {
      progress.end()
    }
    return 0
  },
}

export const restart: Command = {
  name: 'restart',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Restart services, one instance after another, without downtime',
  group: 'app',
  flags: [toggle('--no-deps', 'Accepted: dependent services are never restarted')],
  run: (invocation) => restartServices(invocation, 'Restarted'),
}

/** Rolls the pods over, as `kubectl rollout restart` does. */
export const restartServices = async (invocation: Invocation, word: string): Promise<number> => {
  const { client } = await openTarget(invocation)
  const { name, services } = await projectNames(invocation)
  const all = pickServices(await listWorkloads(client, name), invocation.args, services)
  const progress = progressFor(invocation, 'restart')
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() }
  const body = { spec: { template: { metadata: { annotations } } } }
  try {
    await Promise.all(
      all.map(async (w) => {
        if (w.kind === 'Job') return
        progress.update({ id: `Service ${w.service}`, state: 'working', text: 'Restarting' })
        await client.patch(workloadKinds[w.kind], { namespace: w.namespace, name: w.name }, { type: 'merge', body })
        await followWorkload(client, w, { progress, signal: invocation.shell.signal, word })
      }),
    )
  } finally {
    progress.end()
  }
  return 0
}
