import { SlipwayError } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { ControllerRevision, ReplicaSet } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { followWorkload } from '../app/rollout.ts'
import { listWorkloads, pickServices, type Workload, workloadKinds } from '../app/workloads.ts'
import { type Command, humanDuration, type Invocation, out, table } from '../framework/command.ts'
import { text, wholeNumber } from '../framework/flags.ts'
import { progressFor } from '../framework/progress.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'
import { restartServices } from './scale.ts'

const revisionKey = 'deployment.kubernetes.io/revision'

export const rollout: Command = {
  name: 'rollout',
  usage: 'status|restart|undo|history [SERVICE...]',
  summary: 'Watch, repeat or take back the rollout of services',
  details: `  status    Wait until the services are rolled out, or say why they are not
  restart   Roll them over, one instance after another
  undo      Go back to the revision before, or to --to-revision
  history   List the revisions that undo can go to`,
  group: 'rollout',
  flags: [text('--to-revision', 'N', 'The revision that undo goes back to')],
  async run(invocation) {
    const [action, ...services] = invocation.args
    const rest = { ...invocation, args: services }
    switch (action) {
      case 'status':
        return status(rest)
      case 'restart':
        return restartServices(rest, 'Restarted')
      case 'undo':
        return undo(rest)
      case 'history':
        return history(rest)
      default:
        throw new SlipwayError(
          'bad-request',
          action ? `unknown rollout command: ${action}` : 'rollout needs a command',
          { hint: 'One of status, restart, undo, history.' },
        )
    }
  },
}

const chosen = async (invocation: Invocation): Promise<{ client: ObjectClient; workloads: Workload[] }> => {
  const { client } = await openTarget(invocation)
  const { name, services } = await projectNames(invocation)
  const workloads = pickServices(await listWorkloads(client, name), invocation.args, services)
  return { client, workloads }
}

const status = async (invocation: Invocation): Promise<number> => {
  const { client, workloads } = await chosen(invocation)
  const progress = progressFor(invocation, 'rollout')
  try {
    await Promise.all(
      workloads.map((w) =>
        followWorkload(client, w, { progress, signal: invocation.shell.signal, word: 'Rolled out' }),
      ),
    )
  } finally {
    progress.end()
  }
  return 0
}

interface Revision {
  number: number
  created: string
  images: string
  /** What to set the workload's pod template to. */
  template: unknown
  current: boolean
}

const imagesOf = (template: unknown): string =>
  ((template as { spec?: { containers?: { image?: string }[] } } | undefined)?.spec?.containers ?? [])
    .map((c) => c.image)
    .join(', ')

/** Newest first. */
const revisionsOf = async (client: ObjectClient, w: Workload): Promise<Revision[]> => {
  const mine = (o: { metadata: { ownerReferences?: { uid: string }[] | undefined } }): boolean =>
    o.metadata.ownerReferences?.some((r) => r.uid === w.object.metadata.uid) ?? false
  if (w.kind === 'Deployment') {
    const { items } = await client.list(kinds.ReplicaSet, { namespace: w.namespace })
    const current = w.object.metadata.annotations?.[revisionKey]
    return items
      .filter(mine)
      .map((rs) => ofReplicaSet(rs, current))
      .sort((a, b) => b.number - a.number)
  }
  if (w.kind === 'StatefulSet' || w.kind === 'DaemonSet') {
    const { items } = await client.list(kinds.ControllerRevision, { namespace: w.namespace })
    const sorted = items.filter(mine).sort((a, b) => b.revision - a.revision)
    return sorted.map((r, i) => ofControllerRevision(r, i === 0))
  }
  return []
}

const ofReplicaSet = (rs: ReplicaSet, current: string | undefined): Revision => {
  const number = rs.metadata.annotations?.[revisionKey] ?? '0'
  const template = structuredClone(rs.spec?.template) as { metadata?: { labels?: Record<string, string> } } | undefined
  delete template?.metadata?.labels?.['pod-template-hash']
  return {
    number: Number(number),
    created: rs.metadata.creationTimestamp ?? '',
    images: imagesOf(template),
    template,
    current: number === current,
  }
}

const ofControllerRevision = (r: ControllerRevision, current: boolean): Revision => {
  const template = (r.data as { spec?: { template?: Record<string, unknown> } } | undefined)?.spec?.template
  const { $patch: _, ...plain } = template ?? {}
  return {
    number: r.revision,
    created: r.metadata.creationTimestamp ?? '',
    images: imagesOf(plain),
    template: plain,
    current,
  }
}

const undo = async (invocation: Invocation): Promise<number> => {
  const { client, workloads } = await chosen(invocation)
  const wanted =
    invocation.flags['to-revision'] === undefined
      ? undefined
      : wholeNumber(invocation.flags['to-revision'] as string, 'to-revision')
  const named = invocation.args.length > 0
  const progress = progressFor(invocation, 'undo')
  try {
    let undone = 0
    for (const w of workloads) {
      const revisions = await revisionsOf(client, w)
      const goal =
        wanted === undefined
          ? revisions.find(
              (r) => !r.current && r.number < (revisions.find((x) => x.current)?.number ?? Number.POSITIVE_INFINITY),
            )
          : revisions.find((r) => r.number === wanted)
      if (!goal) {
        if (!named) continue
        const hint =
          revisions.length > 1
            ? `There are ${revisions.map((r) => r.number).join(', ')}: slipway rollout history ${w.service}`
            : 'It has been rolled out only once.'
        throw new SlipwayError(
          'not-found',
          wanted === undefined
            ? `no rollout history found for service "${w.service}"`
            : `unable to find specified revision ${wanted} in history of service "${w.service}"`,
          { hint },
        )
      }
      await client.patch(
        workloadKinds[w.kind],
        { namespace: w.namespace, name: w.name },
        { type: 'json', body: [{ op: 'replace', path: '/spec/template', value: goal.template }] },
      )
      undone++
      await followWorkload(client, w, {
        progress,
        signal: invocation.shell.signal,
        word: `Back at revision ${goal.number}`,
      })
    }
    if (undone === 0) throw new SlipwayError('not-found', 'no service has an earlier revision to go back to')
  } finally {
    progress.end()
  }
  return 0
}

const history = async (invocation: Invocation): Promise<number> => {
  const { client, workloads } = await chosen(invocation)
  const rows: string[][] = []
  for (const w of workloads)
    for (const r of (await revisionsOf(client, w)).toReversed())
      rows.push([
        w.service,
        String(r.number),
        `${humanDuration(Date.now() - Date.parse(r.created))} ago`,
        r.images,
        r.current ? 'current' : '',
      ])
  out(invocation.shell, table(['SERVICE', 'REVISION', 'CREATED', 'IMAGE', ''], rows))
  return 0
}
