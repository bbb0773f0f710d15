import { pickServices } from '../app/workloads.ts'
import { addressesOf } from '../app/addresses.ts'
import { prepareImages } from '../app/images.ts'
import { pushImages } from '../app/push.ts'
import { streamLogs } from '../app/log-stream.ts'
import { bringUp } from '../app/up.ts'
import { listWorkloads, type Workload, workloadKinds } from '../app/workloads.ts'
import { stoppedAnnotation } from '../app/labels.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { type Command, err, type Invocation, out } from '../framework/command.ts'
import { durationMs, list, text, toggle, wholeNumber } from '../framework/flags.ts'
import { openProject } from '../framework/project.ts'
import { openControl, openTarget, type Target } from '../framework/target.ts'
import { createProgress, type Progress, type ProgressMode } from '../progress/progress.ts'

export const up: Command = {
  name: 'up',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Create and start services, or bring running ones up to date without downtime',
  group: 'app',
  flags: [
    toggle('-d, --detach', 'Run in the background'),
    toggle('--wait', 'Wait for services to be running or healthy; implies detached mode'),
    text('--wait-timeout', 'SECONDS', 'Longest wait for the services to be ready'),
    toggle('--build', 'Build images before starting'),
    toggle('--no-build', 'Do not build an image, even if it is missing'),
    text('--pull', 'POLICY', 'Pull images before running: always, missing or never', ['always', 'missing', 'never']),
    toggle('--quiet-pull', 'Pull without printing progress'),
    list('--scale', 'SERVICE=NUM', 'Number of instances of a service'),
    toggle('--force-recreate', 'Roll services out anew even if nothing changed'),
    toggle('--no-deps', 'Do not start linked services'),
    toggle('--no-start', 'Create everything, start nothing'),
    toggle('--remove-orphans', 'Remove services that are no longer in the file'),
    list(
      '--allow-loss',
      'PATH',
      'Go ahead without this key, which the cluster cannot do (services.web.cpuset, or all)',
    ),
    text('--image-prefix', 'REGISTRY/PATH', 'Where --context pushes images to'),
    toggle('--abort-on-container-exit', 'Stop everything when one container ends'),
    text('--exit-code-from', 'SERVICE', 'Return the exit code of that service; implies --abort-on-container-exit'),
    list('--attach', 'SERVICE', 'Show the logs of these services only'),
    list('--no-attach', 'SERVICE', 'Do not show the logs of these services'),
    toggle('--timestamps', 'Show timestamps in the logs'),
    toggle('--no-color', 'Monochrome output'),
    toggle('--no-log-prefix', 'Do not print the prefix in logs'),
    text('-t, --timeout', 'SECONDS', 'Grace period when an attached up is interrupted'),
    toggle('-y, --yes', 'Assume yes'),
  ],
  run: runUp,
}

const scaleOf = (given: string[] | undefined): Record<string, number> =>
  Object.fromEntries(
    (given ?? []).map((pair) => {
      const [name, count] = pair.split('=')
      if (!name || !/^\d+$/.test(count ?? ''))
        throw new SlipwayError('bad-request', `invalid --scale option "${pair}". Should be SERVICE=NUM`)
      return [name, Number(count)]
    }),
  )

/** The named services and what they depend on, or all. */
export const wantedServices = (project: Project, names: readonly string[], noDeps: boolean): Service[] => {
  const all = Object.values(project.services)
  if (names.length === 0) return all
  const picked = new Set<string>()
  const visit = (name: string): void => {
    const service = project.services[name]
    if (picked.has(name) || !service) return
    picked.add(name)
    if (!noDeps) for (const dependency of Object.keys(service.depends_on ?? {})) visit(dependency)
  }
  for (const { service } of pickServices(
    all.map((s) => ({ service: s.name })),
    names,
  ))
    visit(service)
  return all.filter((s) => picked.has(s.name))
}

export const progressFor = ({ shell, globals }: Invocation, title: string): Progress =>
  createProgress(
    shell.stderr,
    title,
    (globals.progress as ProgressMode | undefined) ?? 'auto',
    globals.ansi !== 'never',
  )

async function runUp(invocation: Invocation): Promise<number> {
  const { shell, flags, args } = invocation
  const project = await openProject(invocation, { services: args })
  if (Object.keys(project.services).length === 0)
    throw new SlipwayError('invalid', 'no service selected', {
      hint: 'The file has no services, or all are behind profiles: --profile NAME',
    })
  const services = wantedServices(project, args, flags['no-deps'] === true)
  const detached = flags.detach === true || flags.wait === true || flags['no-start'] === true
  const target = await openTarget(invocation)
  const progress = progressFor(invocation, 'up')
  try {
    await prepareAndRun(invocation, project, services, target, progress)
  } finally {
    progress.end()
  }
  const addresses = await addressesOf(target.client, project.name)
  for (const a of addresses) err(shell, ` ${a.service} is at ${a.url}`)
  if (detached) return 0
  return attachLogs(invocation, project, target)
}

const prepareAndRun = async (
  invocation: Invocation,
  project: Project,
  services: Service[],
  target: Target,
  progress: Progress,
): Promise<void> => {
  const { shell, flags, args } = invocation
  const control = await openControl(invocation)
  const images = await prepareImages(
    control,
    {
      project,
      services,
      build: flags.build === true,
      noBuild: flags['no-build'] === true,
      pull: flags.pull as 'always' | 'missing' | 'never' | undefined,
      noCache: false,
      pullBases: false,
      buildArgs: {},
      signal: shell.signal,
    },
    progress,
  )
  const prefix = flags['image-prefix'] as string | undefined
  const running =
    target.destination === 'cluster'
      ? await pushImages(control, { project, services, images, prefix, signal: shell.signal }, progress)
      : images
  await bringUp(
    {
      project,
      destination: target.destination,
      client: target.client,
      images: running,
      services: args.length > 0 ? services.map((s) => s.name) : [],
      scale: scaleOf(flags.scale as string[] | undefined),
      allowLoss: (flags['allow-loss'] as string[] | undefined) ?? [],
      removeOrphans: flags['remove-orphans'] === true,
      wait: flags['no-start'] !== true,
      forceRecreate: flags['force-recreate'] === true,
      noStart: flags['no-start'] === true,
      waitTimeoutMs:
        flags['wait-timeout'] === undefined
          ? undefined
          : wholeNumber(flags['wait-timeout'] as string, 'wait-timeout') * 1000,
      signal: shell.signal,
    },
    progress,
  )
}

/** Foreground: logs until an interrupt, which stops the services (a second one: at once). */
const attachLogs = async (invocation: Invocation, project: Project, target: Target): Promise<number> => {
  const { shell, flags } = invocation
  const end = new AbortController()
  const signal = AbortSignal.any([shell.signal, end.signal])
  const muted = (flags['no-attach'] as string[] | undefined) ?? []
  const shown = (flags.attach as string[] | undefined) ?? Object.keys(project.services)
  const from = flags['exit-code-from'] as string | undefined
  let exitCode = 0
  const abortOnExit = flags['abort-on-container-exit'] === true || from !== undefined
  await streamLogs(
    target.client,
    project.name,
    {
      services: shown.filter((s) => !muted.includes(s)),
      follow: true,
      tail: undefined,
      timestamps: flags.timestamps === true,
      sinceTime: undefined,
      until: undefined,
      index: undefined,
      prefix: flags['no-log-prefix'] !== true,
      color: shell.stdout.isTTY === true && flags['no-color'] !== true && invocation.globals.ansi !== 'never',
      width: Math.max(...shown.map((s) => s.length)) + 2,
      signal,
      ended: (service, pod) => {
        const code = pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode
        out(shell, `${service} exited with code ${code ?? 0}`)
        if (abortOnExit && (from === undefined || from === service)) {
          exitCode = code ?? 0
          end.abort()
        }
      },
    },
    shell.stdout,
  )
  const progress = progressFor(invocation, 'stop')
  err(shell, 'Gracefully Stopping... press Ctrl+C again to force')
  await stopProject(target, project.name, [], {
    timeoutMs: flags.timeout === undefined ? undefined : durationMs(flags.timeout as string, 'timeout'),
    force: shell.again,
    progress,
  })
  progress.end()
  return shell.signal.aborted ? 130 : exitCode
}

export interface StopWish {
  timeoutMs: number | undefined
  /** Aborted when the user will not wait any longer. */
  force: AbortSignal
  progress: Progress
}

/** Scales to nothing and remembers how many there were; Jobs are suspended. Waits until the pods are gone. */
export const stopProject = async (
  target: Pick<Target, 'client'>,
  project: string,
  services: readonly string[],
  wish: StopWish,
): Promise<void> => {
  const all = pickServices(await listWorkloads(target.client, project), services)
  await Promise.all(
    all.map(async (w) => {
      const id = `Service ${w.service}`
      wish.progress.update({ id, state: 'working', text: 'Stopping' })
      await stopWorkload(target, w)
      const grace = wish.timeoutMs === undefined ? undefined : Math.ceil(wish.timeoutMs / 1000)
      await untilNoPods(target, w, grace, wish.force)
      wish.progress.update({ id, state: 'done', text: 'Stopped' })
    }),
  )
}

const stopWorkload = async ({ client }: Pick<Target, 'client'>, w: Workload): Promise<void> => {
  const key = { namespace: w.namespace, name: w.name }
  if (w.kind === 'Job')
    return void (await client.patch(workloadKinds.Job, key, { type: 'merge', body: { spec: { suspend: true } } }))
  if (w.kind === 'DaemonSet')
    return void (await client.patch(workloadKinds.DaemonSet, key, {
      type: 'merge',
      body: { spec: { template: { spec: { nodeSelector: { 'slipway.dev/stopped': 'true' } } } } },
    }))
  const replicas = (w.object.spec as { replicas?: number }).replicas ?? 1
  if (replicas === 0) return
  await client.patch(workloadKinds[w.kind], key, {
    type: 'merge',
    body: { metadata: { annotations: { [stoppedAnnotation]: String(replicas) } }, spec: { replicas: 0 } },
  })
}

const untilNoPods = async (
  { client }: Pick<Target, 'client'>,
  w: Workload,
  graceSeconds: number | undefined,
  force: AbortSignal,
): Promise<void> => {
  const { listPods } = await import('../app/workloads.ts')
  const kinds = await import('../../../spec/kube/kinds.ts')
  const project = w.object.metadata.labels!['slipway.dev/project']!
  let asked: number | undefined
  for (let wait = 20; ; wait = Math.min(wait * 1.5, 300)) {
    const left = (await listPods(client, project)).filter(
      (p) => p.service === w.service && p.pod.status?.phase !== 'Succeeded' && p.pod.status?.phase !== 'Failed',
    )
    if (left.length === 0) return
    const grace = force.aborted ? 0 : graceSeconds
    if (grace !== undefined && asked !== grace) {
      asked = grace
      for (const { pod } of left)
        await client.delete(
          kinds.Pod,
          { namespace: pod.metadata.namespace, name: pod.metadata.name! },
          { gracePeriodSeconds: grace },
        )
    }
    await new Promise((go) => setTimeout(go, wait))
  }
}
