import { SlipwayError } from '../../../errors.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { addressesOf } from '../app/addresses.ts'
import { watchExits } from '../app/exits.ts'
import { prepareImages } from '../app/images.ts'
import { streamLogs } from '../app/log-stream.ts'
import { pushImages } from '../app/push.ts'
import { stopProject } from '../app/stop.ts'
import { bringUp } from '../app/up.ts'
import { pickServices, wantedServices } from '../app/workloads.ts'
import { type Command, err, type Invocation, out } from '../framework/command.ts'
import { failureText } from '../framework/failure.ts'
import { durationMs, list, text, toggle, wholeNumber } from '../framework/flags.ts'
import { progressFor, wantsColor } from '../framework/progress.ts'
import { namesOf, openProject } from '../framework/project.ts'
import { openControl, openTarget, type Target } from '../framework/target.ts'
import type { Progress } from '../progress/progress.ts'
import { replicasOf } from './scale.ts'

export const up: Command = {
  name: 'up',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Create and start services, or bring running ones up to date without downtime',
  group: 'app',
  flags: [
    toggle('-d, --detach', 'Run in the background'),
    toggle('--wait', 'Wait for services to be running or healthy; implies detached mode'),
    text('--wait-timeout', 'SECONDS', 'Longest wait for the services to be ready'),
    toggle('--build', 'Build images even if they are there'),
    toggle('--no-build', 'Do not build an image, even if it is missing'),
    text('--pull', 'POLICY', 'Pull images before running: always, missing or never', ['always', 'missing', 'never']),
    toggle('--quiet-pull', 'Pull without printing progress'),
    list('--scale', 'SERVICE=NUM', 'Number of instances of a service'),
    toggle('--force-recreate', 'Roll services out anew even if nothing changed'),
    toggle('--no-recreate', 'Leave services that exist as they are'),
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
    toggle('--abort-on-container-failure', 'Stop everything when one container ends with an error'),
    text('--exit-code-from', 'SERVICE', 'Return the exit code of that service; implies --abort-on-container-exit'),
    list('--attach', 'SERVICE', 'Show the logs of these services only'),
    list('--no-attach', 'SERVICE', 'Do not show the logs of these services'),
    toggle('--timestamps', 'Show timestamps in the logs'),
    toggle('--no-color', 'Monochrome output'),
    toggle('--no-log-prefix', 'Do not print the prefix in logs'),
    text('-t, --timeout', 'SECONDS', 'Grace period when an attached up is interrupted'),
    toggle('-y, --yes', 'Accepted: nothing is asked'),
  ],
  run: runUp,
}

const exclusive: [string, string][] = [
  ['build', 'no-build'],
  ['force-recreate', 'no-recreate'],
  ['detach', 'abort-on-container-exit'],
  ['detach', 'abort-on-container-failure'],
  ['wait', 'abort-on-container-exit'],
  ['wait', 'abort-on-container-failure'],
  ['abort-on-container-exit', 'abort-on-container-failure'],
  ['detach', 'exit-code-from'],
  ['wait', 'exit-code-from'],
]

interface Run extends Invocation {
  project: Project
  services: Service[]
  target: Target
}

async function runUp(invocation: Invocation): Promise<number> {
  const { flags, args } = invocation
  for (const [one, other] of exclusive)
    if (flags[one] && flags[other])
      throw new SlipwayError('bad-request', `--${one} and --${other} are incompatible`, {
        hint: "See 'slipway up --help'.",
      })
  const project = await openProject(invocation, { services: args })
  if (Object.keys(project.services).length === 0)
    throw new SlipwayError('invalid', 'no service selected', {
      hint: 'The file has no services, or all are behind profiles: --profile NAME',
    })
  const services = wantedServices(project, args, flags['no-deps'] === true)
  for (const name of ['exit-code-from', 'attach', 'no-attach'])
    pickServices(
      Object.keys(project.services).map((service) => ({ service })),
      [flags[name] ?? []].flat() as string[],
    )
  const run: Run = { ...invocation, project, services, target: await openTarget(invocation) }
  const detached = flags.detach === true || flags.wait === true || flags['no-start'] === true
  return detached ? runDetached(run) : runAttached(run)
}

const runDetached = async (run: Run): Promise<number> => {
  const progress = progressFor(run, 'up')
  try {
    await prepareAndRun(run, progress, run.shell.signal)
  } finally {
    progress.end()
  }
  if (run.flags['no-start'] !== true) await printAddresses(run)
  return 0
}

const printAddresses = async (run: Run): Promise<void> => {
  const addresses = await addressesOf(run.target.client, run.project.name, run.target.destination === 'local')
  for (const a of addresses) err(run.shell, ` ${a.service} is at ${a.url}`)
}

const prepareAndRun = async (run: Run, progress: Progress, signal: AbortSignal): Promise<void> => {
  const { shell, flags, args, project, services, target } = run
  const scale = Object.fromEntries(
    ((flags.scale as string[] | undefined) ?? []).map((pair) => replicasOf(pair, '--scale option')),
  )
  const waitTimeoutMs =
    flags['wait-timeout'] === undefined
      ? undefined
      : wholeNumber(flags['wait-timeout'] as string, 'wait-timeout') * 1000
  const control = await openControl(run)
  const images = await prepareImages(
    control,
    {
      project,
      services,
      build: flags.build === true,
      noBuild: flags['no-build'] === true,
      pull: flags.pull as 'always' | 'missing' | 'never' | undefined,
      quietPull: flags['quiet-pull'] === true,
      noCache: false,
      pullBases: false,
      buildArgs: {},
      forOthers: target.destination === 'cluster',
      env: shell.env,
      signal,
    },
    progress,
  )
  const prefix = flags['image-prefix'] as string | undefined
  const running =
    target.destination === 'cluster'
      ? await pushImages(control, { project, services, images, prefix, env: shell.env, signal }, progress)
      : images
  await bringUp(
    {
      project,
      destination: target.destination,
      client: target.client,
      images: running,
      services: args.length > 0 ? services.map((s) => s.name) : [],
      noDeps: flags['no-deps'] === true && args.length > 0,
      scale,
      allowLoss: (flags['allow-loss'] as string[] | undefined) ?? [],
      removeOrphans: flags['remove-orphans'] === true,
      wait: flags['no-start'] !== true,
      forceRecreate: flags['force-recreate'] === true,
      noRecreate: flags['no-recreate'] === true,
      noStart: flags['no-start'] === true,
      waitTimeoutMs,
      signal,
    },
    progress,
  )
}

/**
 * Foreground: up, then the logs until an interrupt, which stops the services (a second one: at once). With
 * --abort-on-container-exit and its like, exits count from the very start, and so the logs are shown from there, too.
 */
const runAttached = async (run: Run): Promise<number> => {
  const { shell, flags, project, target } = run
  const onExit =
    flags['abort-on-container-exit'] === true ||
    flags['abort-on-container-failure'] === true ||
    flags['exit-code-from'] !== undefined
  const end = new AbortController()
  const signal = AbortSignal.any([shell.signal, end.signal])
  let exitCode = 0
  let logs: Promise<void> | undefined
  if (onExit) logs = attach(run, signal, end, (code) => (exitCode = code))
  const progress = progressFor(run, 'up')
  try {
    await prepareAndRun(run, progress, signal)
    progress.end()
    await printAddresses(run)
  } catch (error) {
    progress.end()
    if (!signal.aborted) {
      end.abort()
      await logs
      throw error
    }
    if (!end.signal.aborted) err(shell, failureText(error))
  }
  if (!signal.aborted) await (logs ?? attach(run, signal, end, (code) => (exitCode = code)))
  await logs
  const stopping = progressFor(run, 'stop')
  if (shell.signal.aborted) err(shell, 'Gracefully Stopping... press Ctrl+C again to force')
  await stopProject(target.client, namesOf(project), [], {
    timeoutMs: flags.timeout === undefined ? undefined : durationMs(flags.timeout as string, 'timeout'),
    force: shell.again,
    progress: stopping,
  })
  stopping.end()
  return shell.signal.aborted ? 130 : exitCode
}

/** What a container said last is still on its way when its end is known. */
const lastWordsMs = 200

/** Shows logs and exits until `signal`; aborts `end` when a container's end is to end everything, or nothing runs any more. */
const attach = async (
  run: Run,
  signal: AbortSignal,
  end: AbortController,
  exited: (code: number) => void,
): Promise<void> => {
  const { shell, flags, project, services, target } = run
  const muted = (flags['no-attach'] as string[] | undefined) ?? []
  const asked = flags.attach as string[] | undefined
  const shown = services
    .filter((s) => (asked ? asked.includes(s.name) : s.attach !== false) && !muted.includes(s.name))
    .map((s) => s.name)
  const from = flags['exit-code-from'] as string | undefined
  const anyExit = flags['abort-on-container-exit'] === true || from !== undefined
  const anyFailure = flags['abort-on-container-failure'] === true
  // What others wait for the completion of is meant to end.
  const expected = new Set(
    Object.values(project.services).flatMap((s) =>
      Object.entries(s.depends_on ?? {}).flatMap(([name, d]) =>
        d.condition === 'service_completed_successfully' ? [name] : [],
      ),
    ),
  )
  const endSoon = (): void => void setTimeout(() => end.abort(), lastWordsMs)
  const exits = watchExits(target.client, project.name, signal, {
    ended({ service, name, code, restarting }) {
      const line = `${name} exited with code ${code}${restarting ? ' (restarting)' : ''}`
      if (shown.includes(service)) setTimeout(() => out(shell, line), lastWordsMs / 2)
      if (signal.aborted || (expected.has(service) && code === 0 && from !== service)) return
      if (!anyExit && !(anyFailure && code !== 0)) return
      if (from !== undefined && from !== service) return endSoon()
      exited(code)
      endSoon()
    },
    allDone: () => endSoon(),
  })
  const logs =
    shown.length === 0
      ? Promise.resolve()
      : streamLogs(
          target.client,
          project.name,
          {
            services: shown,
            follow: true,
            tail: undefined,
            timestamps: flags.timestamps === true,
            sinceTime: undefined,
            until: undefined,
            index: undefined,
            prefix: flags['no-log-prefix'] !== true,
            color: wantsColor(run),
            width: Math.max(...shown.map((s) => s.length)) + 2,
            signal,
          },
          shell.stdout,
        )
  await Promise.all([exits, logs])
}
