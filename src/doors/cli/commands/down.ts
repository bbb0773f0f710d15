import type { ObjectClient } from '../../../spec/kube/client.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { gone, listProject, projectKinds } from '../app/apply.ts'
import { projectLabel, selectorOf, serviceLabel } from '../app/labels.ts'
import { dependentsFirst, isWorkload, pickServices } from '../app/workloads.ts'
import type { Command, Invocation } from '../framework/command.ts'
import { durationMs, text, toggle } from '../framework/flags.ts'
import { progressFor } from '../framework/progress.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'
import type { Progress } from '../progress/progress.ts'

export const down: Command = {
  name: 'down',
  usage: '[OPTIONS] [SERVICES]',
  summary: 'Stop and remove services, and with -v their data',
  group: 'app',
  flags: [
    toggle('-v, --volumes', 'Remove named volumes too: their data is lost'),
    toggle('--remove-orphans', 'Accepted: all services of the project go, in the file or not'),
    text('-t, --timeout', 'SECONDS', 'Grace period of the containers'),
  ],
  run: runDown,
}

type Found = Awaited<ReturnType<typeof listProject>>[number]
const ofService = ({ object }: Found): string => object.metadata.labels?.[serviceLabel] ?? ''
const keyOf = ({ object }: Found) => ({ namespace: object.metadata.namespace, name: object.metadata.name! })
const dataKinds = ['PersistentVolumeClaim', 'PersistentVolume']

async function runDown(invocation: Invocation): Promise<number> {
  const { flags, args, shell } = invocation
  const timeout = flags.timeout as string | undefined
  const grace = timeout === undefined ? undefined : Math.ceil(durationMs(timeout, 'timeout') / 1000)
  const project = await projectNames(invocation)
  const { client } = await openTarget(invocation)
  const all = await listProject(client, project.name)
  const withService = all.map((found) => ({ ...found, service: ofService(found) }))
  const mine = args.length > 0 ? pickServices(withService, args, project.services) : withService
  const progress = progressFor(invocation, 'down')
  try {
    const owners = mine.filter(
      ({ kind, object }) =>
        kind.namespaced && !dataKinds.includes(kind.kind) && !object.metadata.ownerReferences?.length,
    )
    if (owners.length === 0 && (flags.volumes !== true || mine.length === 0))
      progress.print(`WARN: No resource found to remove for project "${project.name}".`)
    const workloads = owners.filter(({ kind }) => isWorkload(kind.kind))
    // An autoscaler that is still there would act on what is going away.
    for (const found of owners.filter(({ kind }) => kind.kind === 'HorizontalPodAutoscaler'))
      await client.delete(found.kind, keyOf(found))
    await dependentsFirst(workloads, project.dependsOn, async (found) => {
      const id = `Service ${found.service || found.object.metadata.name}`
      progress.update({ id, state: 'working', text: 'Stopping' })
      await client.delete(found.kind, keyOf(found), { propagation: 'Foreground' })
      if (grace !== undefined) await hurry(client, project.name, found.service, grace)
      await gone(client, found.kind, keyOf(found), 600_000, shell.signal)
      progress.update({ id, state: 'done', text: 'Removed' })
    })
    // What they used goes after them: an address or a file must not vanish under a program that is still stopping.
    await Promise.all(
      owners
        .filter(({ kind }) => !isWorkload(kind.kind))
        .map(async (found) => {
          await client.delete(found.kind, keyOf(found), { propagation: 'Background' })
          await gone(client, found.kind, keyOf(found), 60_000, shell.signal)
        }),
    )
    if (flags.volumes === true) await removeData(client, mine, progress, shell.signal)
    if (args.length === 0) await removeNamespace(client, all, progress, shell.signal)
  } finally {
    progress.end()
  }
  return 0
}

const removeData = async (
  client: ObjectClient,
  mine: readonly Found[],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> => {
  for (const kind of dataKinds)
    for (const found of mine.filter((f) => f.kind.kind === kind)) {
      const id = `${kind === 'PersistentVolume' ? kind : 'Volume'} ${found.object.metadata.name}`
      progress.update({ id, state: 'working', text: 'Removing' })
      await client.delete(found.kind, keyOf(found))
      await gone(client, found.kind, keyOf(found), 60_000, signal)
      progress.update({ id, state: 'done', text: 'Removed' })
    }
}

const hurry = async (client: ObjectClient, project: string, service: string, seconds: number): Promise<void> => {
  const { items } = await client.list(kinds.Pod, { labels: selectorOf(project, service) })
  for (const { metadata } of items)
    await client.delete(
      kinds.Pod,
      { namespace: metadata.namespace, name: metadata.name! },
      { gracePeriodSeconds: seconds },
    )
}

/** The namespace goes with the project, unless something is to stay in it: data, or what others have put there. */
const removeNamespace = async (
  client: ObjectClient,
  all: readonly Found[],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> => {
  const namespace = all.find(({ kind }) => kind.kind === 'Namespace')
  if (!namespace) return
  const { name } = keyOf(namespace)
  const left = await Promise.all(
    projectKinds
      .filter((kind) => kind.namespaced)
      .map(async (kind) => (await client.list(kind, { namespace: name })).items.filter((o) => !isGiven(kind, o))),
  )
  const foreign = left.flat().filter((o) => !o.metadata.labels?.[projectLabel])
  if (foreign.length > 0) progress.print(`Namespace ${name} stays: others have objects in it`)
  if (left.flat().length > 0) return
  progress.update({ id: `Namespace ${name}`, state: 'working', text: 'Removing' })
  await client.delete(kinds.Namespace, { name })
  await gone(client, kinds.Namespace as never, { name }, 60_000, signal)
  progress.update({ id: `Namespace ${name}`, state: 'done', text: 'Removed' })
}

/** Every namespace has these by itself. */
const isGiven = (kind: kinds.Kind, { metadata, type }: kinds.KubeObject & { type?: string }): boolean =>
  (kind.kind === 'ServiceAccount' && metadata.name === 'default') ||
  (kind.kind === 'ConfigMap' && metadata.name === 'kube-root-ca.crt') ||
  (kind.kind === 'Secret' && type === 'kubernetes.io/service-account-token')
