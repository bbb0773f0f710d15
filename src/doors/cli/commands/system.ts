import { createControlClient } from '../../../clients/control/index.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Namespace } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { filesAnnotation, nameAnnotation, projectLabel } from '../app/labels.ts'
import { stoppedCount } from '../app/stop.ts'
import { unitText } from '../app/unit.ts'
import { listPods, listWorkloads } from '../app/workloads.ts'
import { endSupervisor } from '../../../sys/supervisor.ts'
import { type Command, err, humanDuration, type Invocation, out, table } from '../framework/command.ts'
import { answers, ensureDaemon } from '../framework/daemon.ts'
import { text, toggle } from '../framework/flags.ts'
import { openTarget } from '../framework/target.ts'

export const daemon: Command = {
  name: 'daemon',
  usage: '[start|status|restart|stop|run|unit]',
  summary: 'The background process that runs everything',
  details: `  start     Start it in the background (any command does so by itself)
  status    Its pid, version, sockets and what it holds
  restart   Replace it by a new one, as after an update; clients wait, containers run on
  stop      Stop it; containers run on, unless --containers
  run       Run it in the foreground
  unit      Print a systemd service that starts it with the machine`,
  group: 'system',
  flags: [
    toggle('--containers', 'With stop: stop everything that runs, too'),
    text('--format', 'FORMAT', 'With status: text or json', ['text', 'json']),
  ],
  async run(invocation) {
    switch (invocation.args[0]) {
      case undefined:
      case 'start':
        return daemonStart(invocation)
      case 'status':
        return daemonStatus(invocation)
      case 'restart':
        return daemonRestart(invocation)
      case 'stop':
        return daemonStop(invocation)
      case 'unit':
        out(invocation.shell, unitText(placeOf(invocation.shell.env).home).trimEnd())
        return 0
      default:
        throw new SlipwayError('bad-request', `unknown daemon command: ${invocation.args[0]}`, {
          hint: 'One of start, status, restart, stop, run, unit.',
        })
    }
  },
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1048576)} MiB`

/** One that is just being killed still takes a connection, and says nothing on it any more: the next one is awaited. */
const daemonStart = async (invocation: Invocation): Promise<number> => {
  const { control } = socketsOf(placeOf(invocation.shell.env))
  for (let more = 3; more > 0; more--) {
    await ensureDaemon(invocation.shell)
    try {
      await createControlClient(control).status()
      break
    } catch (error) {
      if (!isError(error, 'unavailable')) throw error
    }
  }
  return daemonStatus(invocation)
}

const daemonStatus = async ({ shell, flags }: Invocation): Promise<number> => {
  const instance = placeOf(shell.env)
  const { control } = socketsOf(instance)
  if (!(await answers(control))) {
    out(
      shell,
      flags.format === 'json'
        ? JSON.stringify({ running: false })
        : 'The daemon is not running. Start it: slipway daemon start',
    )
    return 3
  }
  const s = await createControlClient(control).status()
  if (flags.format === 'json') {
    out(shell, JSON.stringify({ running: true, ...s }))
    return 0
  }
  const rows: [string, string][] = [
    ['pid', String(s.pid)],
    ['version', s.version],
    ['running for', humanDuration(Date.now() - s.startedAt)],
    ['memory', mebibytes(s.memoryBytes)],
    ['docker', `unix://${s.sockets.docker}`],
    ['kubernetes', s.sockets.kubernetes],
    ['kubeconfig', s.kubeconfig],
    ['state', instance.stateDir],
    ['containers', `${s.counts.containers} (${s.counts.running} running)`],
    ['pods', String(s.counts.pods)],
    ['images', String(s.counts.images)],
    ['networks', String(s.counts.networks)],
    ['volumes', String(s.counts.volumes)],
  ]
  for (const [name, value] of rows) out(shell, `${`${name}:`.padEnd(13)} ${value}`)
  return 0
}

const untilGone = async (path: string, limitMs: number): Promise<void> => {
  const deadline = Date.now() + limitMs
  while (await answers(path)) {
    if (Date.now() > deadline)
      throw new SlipwayError('timeout', `the daemon is still running after ${limitMs / 1000}s`, {
        hint: 'Its pid is in: slipway daemon status',
      })
    await new Promise((go) => setTimeout(go, 20))
  }
}

const processGone = async (pid: number, limitMs: number): Promise<void> => {
  const deadline = Date.now() + limitMs
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    if (Date.now() > deadline)
      throw new SlipwayError('timeout', `the daemon (pid ${pid}) is still running after ${limitMs / 1000}s`)
    await new Promise((go) => setTimeout(go, 20))
  }
}

const daemonRestart = async (invocation: Invocation): Promise<number> => {
  const { shell } = invocation
  const { control } = socketsOf(placeOf(shell.env))
  if (await answers(control)) {
    const client = createControlClient(control)
    const { pid } = await client.status()
    await client.stop({ again: true })
    await processGone(pid, 120_000)
  }
  await ensureDaemon(shell)
  return daemonStatus(invocation)
}

const daemonStop = async ({ shell, flags }: Invocation): Promise<number> => {
  const instance = placeOf(shell.env)
  const { control } = socketsOf(instance)
  if (!(await answers(control))) {
    endSupervisor(instance.runDir)
    err(shell, 'The daemon is not running.')
    return 0
  }
  const client = createControlClient(control)
  const { pid } = await client.status()
  await client.stop({ containers: flags.containers === true })
  await untilGone(control, 120_000)
  await processGone(pid, 120_000)
  return 0
}

export const env: Command = {
  name: 'env',
  usage: '[--unset]',
  summary: 'Print the variables that point docker and kubectl here: eval "$(slipway env)"',
  group: 'system',
  flags: [toggle('--unset', 'Print how to take them back')],
  async run({ shell, flags }) {
    const instance = placeOf(shell.env)
    const { docker, kubeconfig } = socketsOf(instance)
    if (flags.unset === true) {
      out(shell, 'unset DOCKER_HOST KUBECONFIG')
      return 0
    }
    await ensureDaemon(shell)
    const quote = (value: string): string => (/^[\w/.:-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`)
    out(shell, `export DOCKER_HOST=${quote(`unix://${docker}`)}`)
    out(shell, `export KUBECONFIG=${quote(kubeconfig)}`)
    if (instance.home) out(shell, `export SLIPWAY_HOME=${quote(instance.home)}`)
    return 0
  },
}

export const ls: Command = {
  name: 'ls',
  usage: '[OPTIONS]',
  summary: 'List running projects',
  group: 'app',
  flags: [
    toggle('-a, --all', 'Show stopped projects too'),
    toggle('-q, --quiet', 'Only names'),
    text('--format', 'FORMAT', 'table or json', ['table', 'json']),
  ],
  async run(invocation) {
    const { shell, flags } = invocation
    const { client } = await openTarget(invocation)
    const { items } = await client.list(kinds.Namespace, { labels: projectLabel })
    const rows = (await Promise.all(items.map((ns) => rowOf(client, ns)))).filter((row) => row !== undefined)
    const shown = rows.filter((r) => flags.all === true || r.running > 0)
    if (flags.quiet === true) for (const r of shown) out(shell, r.Name)
    else if (flags.format === 'json') out(shell, JSON.stringify(shown.map(({ running: _, ...r }) => r)))
    else
      out(
        shell,
        table(
          ['NAME', 'STATUS', 'CONFIG FILES'],
          shown.map((r) => [r.Name, r.Status, r.ConfigFiles]),
        ),
      )
    return 0
  },
}

/** undefined: `down` has left only its data. */
const rowOf = async (client: ObjectClient, ns: Namespace) => {
  const name = ns.metadata.annotations?.[nameAnnotation] ?? ns.metadata.labels![projectLabel]!
  const [pods, workloads] = await Promise.all([listPods(client, name), listWorkloads(client, name)])
  if (workloads.length === 0) return undefined
  const running = pods.filter((p) => p.pod.status?.phase === 'Running').length
  const exited =
    pods.filter((p) => p.pod.status?.phase === 'Succeeded' || p.pod.status?.phase === 'Failed').length +
    workloads.reduce((sum, w) => sum + stoppedCount(w), 0)
  const states = [
    ...(exited > 0 ? [`exited(${exited})`] : []),
    ...(pods.length - running > exited ? [`created(${pods.length - running - exited})`] : []),
    ...(running > 0 ? [`running(${running})`] : []),
  ]
  return {
    Name: name,
    Status: states.join(', ') || 'exited(0)',
    ConfigFiles: ns.metadata.annotations?.[filesAnnotation] ?? '',
    running,
  }
}
