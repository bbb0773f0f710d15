import { labelValue } from '../../../compose/index.ts'
import { SlipwayError } from '../../../errors.ts'
import type {
  Container,
  ContainerStatus,
  Service as KubeService,
  Pod,
  PodTemplateSpec,
} from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'
import { selectorOf, serviceLabel } from '../app/labels.ts'
import { isStopped, stoppedCount } from '../app/stop.ts'
import {
  listPods,
  listWorkloads,
  mainContainer,
  pickServices,
  type ServicePod,
  type Workload,
} from '../app/workloads.ts'
import { type Command, humanDuration, type Invocation, out, table } from '../framework/command.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'

export const ps: Command = {
  name: 'ps',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'List containers',
  group: 'app',
  flags: [
    toggle('-a, --all', 'Show stopped containers too'),
    toggle('-q, --quiet', 'Only display names'),
    toggle('--services', 'Display services'),
    list('--status', 'STATUS', 'Only containers in this state: running, restarting, exited, created'),
    list('--filter', 'KEY=VALUE', 'Only containers that match (status=…)'),
    toggle('--no-trunc', 'Show whole commands'),
    toggle('--orphans', 'Accepted: services that have left the file are shown'),
    text('--format', 'FORMAT', 'table or json', ['table', 'json']),
  ],
  run: runPs,
}

interface Row {
  Name: string
  Image: string
  Command: string
  Service: string
  CreatedAt: string
  State: string
  Status: string
  Health: string
  ExitCode: number
  Ports: string
  Publishers: { URL: string; TargetPort: number; PublishedPort: number; Protocol: string }[]
}

async function runPs(invocation: Invocation): Promise<number> {
  const { shell, flags, args } = invocation
  const states = wantedStates(flags)
  const project = await projectNames(invocation)
  const { client } = await openTarget(invocation)
  const [pods, services, workloads] = await Promise.all([
    listPods(client, project.name),
    client.list(kinds.Service, { labels: selectorOf(project.name) }),
    listWorkloads(client, project.name),
  ])
  for (const name of args) if (!project.services.includes(name)) pickServices(workloads, [name], project.services)
  const publishers = publishersOf(services.items)
  const rows = [
    ...pods.map((p) => rowOf(p, publishers(p.service))),
    ...workloads.filter((w) => isStopped(w) && !pods.some((p) => p.service === w.service)).map(stoppedRow),
  ]
    .filter((r) => args.length === 0 || args.map(labelValue).includes(r.Service))
    .filter((r) => (states.length > 0 ? states.includes(r.State) : flags.all === true || r.State !== 'exited'))
    .map((r) => ({ ...r, Command: shownCommand(r.Command, flags['no-trunc'] === true) }))
  if (flags.services === true) for (const s of new Set(rows.map((r) => r.Service))) out(shell, s)
  else if (flags.quiet === true) for (const r of rows) out(shell, r.Name)
  else if (flags.format === 'json') for (const r of rows) out(shell, JSON.stringify(r))
  else out(shell, table(['NAME', 'IMAGE', 'COMMAND', 'SERVICE', 'CREATED', 'STATUS', 'PORTS'], rows.map(cells)))
  return 0
}

const knownStates = ['created', 'restarting', 'running', 'removing', 'exited', 'paused', 'dead']

const wantedStates = (flags: Invocation['flags']): string[] => {
  const filters = ((flags.filter as string[] | undefined) ?? []).map((filter) => {
    const [key, ...value] = filter.split('=')
    if (key !== 'status' || value.length === 0)
      throw new SlipwayError('bad-request', `unknown filter ${key}`, { hint: 'Write --filter status=running.' })
    return value.join('=')
  })
  const states = [...((flags.status as string[] | undefined) ?? []), ...filters]
  const wrong = states.find((s) => !knownStates.includes(s))
  if (wrong)
    throw new SlipwayError('bad-request', `unknown status ${wrong}`, { hint: `One of ${knownStates.join(', ')}.` })
  return states
}

const publishersOf =
  (services: readonly KubeService[]) =>
  (service: string): Row['Publishers'] =>
    services
      .filter((s) => s.spec?.type === 'LoadBalancer' && s.metadata.labels?.[serviceLabel] === service)
      .flatMap((s) =>
        (s.spec!.ports ?? []).map((p) => ({
          URL: s.metadata.annotations?.[hostIpAnnotation] ?? '0.0.0.0',
          TargetPort: typeof p.targetPort === 'number' ? p.targetPort : p.port,
          PublishedPort: p.port,
          Protocol: (p.protocol ?? 'TCP').toLowerCase(),
        })),
      )

/** Pods of a stopped service are gone; that it is there, to be started, is still to be seen. */
const stoppedRow = (w: Workload): Row => {
  const container = (w.object.spec as { template?: PodTemplateSpec }).template?.spec?.containers[0]
  return {
    Name: w.name,
    Image: container?.image ?? '',
    Command: commandOf(container),
    Service: w.service,
    CreatedAt: w.object.metadata.creationTimestamp ?? '',
    State: 'exited',
    Status: `Stopped (${stoppedCount(w)} to start)`,
    Health: '',
    ExitCode: 0,
    Ports: '',
    Publishers: [],
  }
}

/** Quoted, and cut to 20 characters unless --no-trunc asks for all of it. */
const shownCommand = (command: string, whole: boolean): string =>
  command === '' ? '' : JSON.stringify(whole || command.length <= 20 ? command : `${command.slice(0, 19)}…`)

const commandOf = (container: Container | undefined): string => {
  const command = [...(container?.command ?? []), ...(container?.args ?? [])].join(' ')
  return command
}

const cells = (r: Row): string[] => [
  r.Name,
  r.Image,
  r.Command,
  r.Service,
  `${humanDuration(Date.now() - Date.parse(r.CreatedAt))} ago`,
  r.Status,
  r.Ports,
]

const rowOf = ({ service, pod }: ServicePod, publishers: Row['Publishers']): Row => {
  const container = pod.spec!.containers.find((c) => c.name === mainContainer(pod)) ?? pod.spec!.containers[0]!
  const status = statusIn(pod)
  const ended = status?.state?.terminated
  return {
    Name: pod.metadata.name!,
    Image: container.image ?? '',
    Command: commandOf(container),
    Service: service,
    CreatedAt: pod.metadata.creationTimestamp ?? '',
    State: stateOf(pod),
    Status: statusOf(pod),
    Health: container.readinessProbe ? (status?.ready ? 'healthy' : 'starting') : '',
    ExitCode: ended?.exitCode ?? 0,
    Ports: publishers.map((p) => `${p.URL}:${p.PublishedPort}->${p.TargetPort}/${p.Protocol}`).join(', '),
    Publishers: publishers,
  }
}

/** The status of the container that is the service itself. */
const statusIn = (pod: Pod): ContainerStatus | undefined =>
  pod.status?.containerStatuses?.find((s) => s.name === mainContainer(pod))

const stateOf = (pod: Pod): string => {
  const state = statusIn(pod)?.state
  if (pod.metadata.deletionTimestamp) return 'removing'
  if (state?.running) return 'running'
  if (state?.terminated) return 'exited'
  return state?.waiting?.reason === 'CrashLoopBackOff' ? 'restarting' : 'created'
}

const statusOf = (pod: Pod): string => {
  const status = statusIn(pod)
  const ago = (time: string | undefined): string => humanDuration(Date.now() - Date.parse(time ?? ''))
  if (pod.metadata.deletionTimestamp) return 'Terminating'
  if (status?.state?.running) {
    const probed = pod.spec!.containers[0]!.readinessProbe !== undefined
    const health = probed ? (status.ready ? ' (healthy)' : status.started ? ' (unhealthy)' : ' (health: starting)') : ''
    return `Up ${ago(status.state.running.startedAt)}${health}`
  }
  if (status?.state?.terminated)
    return `Exited (${status.state.terminated.exitCode}) ${ago(status.state.terminated.finishedAt)} ago`
  const reason = status?.state?.waiting?.reason
  if (reason === 'CrashLoopBackOff')
    return `Restarting (${status?.lastState?.terminated?.exitCode ?? 1}) ${ago(status?.lastState?.terminated?.finishedAt)} ago`
  return reason ?? pod.status?.phase ?? 'Pending'
}
