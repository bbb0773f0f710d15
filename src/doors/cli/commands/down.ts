import { gone, listProject } from '../app/apply.ts'
import { pickServices } from '../app/workloads.ts'
import { isError } from '../../../errors.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import type { Command, Invocation } from '../framework/command.ts'
import { durationMs, text, toggle } from '../framework/flags.ts'
import { openProject, projectName } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'
import { progressFor } from './up.ts'

export const down: Command = {
  name: 'down',
  usage: '[OPTIONS] [SERVICES]',
  summary: 'Stop and remove services, and with -v their data',
  group: 'app',
  flags: [
    toggle('-v, --volumes', 'Remove named volumes too: their data is lost'),
    toggle('--remove-orphans', 'Remove services that are not in the file (all of the project go anyway)'),
    text('-t, --timeout', 'SECONDS', 'Grace period of the containers'),
  ],
  run: runDown,
}

async function runDown(invocation: Invocation): Promise<number> {
  const { flags, args } = invocation
  const project = await projectName(invocation)
  const { client } = await openTarget(invocation)
  const progress = progressFor(invocation, 'down')
  const all = await listProject(client, project)
  const mine =
    args.length > 0
      ? pickServices(
          all.map((x) => ({ ...x, service: x.object.metadata.labels?.['com.docker.compose.service'] ?? '' })),
          args,
        )
      : all
  if (mine.length === 0) progress.print(`WARN: No resource found to remove for project "${project}".`)
  const namespaced = mine.filter(({ kind }) => kind.namespaced && kind.kind !== 'PersistentVolumeClaim').toReversed()
  const owners = namespaced.filter(({ object }) => !object.metadata.ownerReferences?.length)
  const order = owners.sort((a, b) => Number(isWorkload(b.kind)) - Number(isWorkload(a.kind)))
  if (flags.timeout !== undefined)
    await hurry(client, project, Math.ceil(durationMs(flags.timeout as string, 'timeout') / 1000))
  await Promise.all(
    order.map(async ({ kind, object }) => {
      const key = { namespace: object.metadata.namespace, name: object.metadata.name! }
      const id = isWorkload(kind) ? `Service ${object.metadata.labels?.['com.docker.compose.service'] ?? key.name}` : ''
      if (id) progress.update({ id, state: 'working', text: 'Stopping' })
      await client.delete(kind, key, { propagation: 'Foreground' })
      await gone(client, kind, key, 600_000)
      if (id) progress.update({ id, state: 'done', text: 'Removed' })
    }),
  )
  const claims = flags.volumes === true ? mine.filter(({ kind }) => kind.kind === 'PersistentVolumeClaim') : []
  for (const { kind, object } of claims) {
    const key = { namespace: object.metadata.namespace, name: object.metadata.name! }
    progress.update({ id: `Volume ${key.name}`, state: 'working', text: 'Removing' })
    await client.delete(kind, key)
    await gone(client, kind, key)
    progress.update({ id: `Volume ${key.name}`, state: 'done', text: 'Removed' })
  }
  if (args.length === 0) await removeNamespace(invocation, client, all, flags.volumes === true, progress)
  progress.end()
  return 0
}

const isWorkload = (kind: kinds.Kind): boolean => ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'].includes(kind.kind)

const hurry = async (client: Parameters<typeof gone>[0], project: string, seconds: number): Promise<void> => {
  const { items } = await client.list(kinds.Pod, { labels: `slipway.dev/project=${project}` })
  for (const pod of items)
    await client.delete(
      kinds.Pod,
      { namespace: pod.metadata.namespace, name: pod.metadata.name! },
      { gracePeriodSeconds: seconds },
    )
}

/** The namespace goes with the project unless data is to stay in it. */
const removeNamespace = async (
  invocation: Invocation,
  client: Parameters<typeof gone>[0],
  all: Awaited<ReturnType<typeof listProject>>,
  volumes: boolean,
  progress: ReturnType<typeof progressFor>,
): Promise<void> => {
  const namespace = all.find(({ kind }) => kind.kind === 'Namespace')
  if (!namespace) return
  const kept = volumes ? [] : all.filter(({ kind }) => kind.kind === 'PersistentVolumeClaim')
  if (kept.length > 0) return
  const external = await hasExternalClaims(invocation)
  if (external) return
  const key = { name: namespace.object.metadata.name! }
  progress.update({ id: `Namespace ${key.name}`, state: 'working', text: 'Removing' })
  await client.delete(kinds.Namespace, key)
  await gone(client, kinds.Namespace as never, key)
  progress.update({ id: `Namespace ${key.name}`, state: 'done', text: 'Removed' })
}

/** Volumes marked external live in the namespace and are not ours to remove. */
const hasExternalClaims = async (invocation: Invocation): Promise<boolean> => {
  try {
    const project = await openProject(invocation, { quiet: true })
    return Object.values(project.volumes).some((v) => v.external)
  } catch (error) {
    if (isError(error, 'not-found')) return false // by name alone
    throw error
  }
}
