import { type ServicePod, listPods, pickServices } from '../app/workloads.ts'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { type Command, humanDuration, type Invocation, out, table } from '../framework/command.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { projectName } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'
import { serviceLabel, projectLabel } from '../app/labels.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'

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
  const project = await projectName(invocation)
  const { client } = await openTarget(invocation)
  const [pods, services] = await Promise.all([
    listPods(client, project),
    client.list(kinds.Service, { labels: `${projectLabel}=${project}` }),
  ])
  if (args.length > 0) pickServices(pods, args)
  const publishers = (service: string): Row['Publishers'] =>
    services.items
      .filter((s) => s.spec?.type === 'LoadBalancer' && s.metadata.labels?.[serviceLabel] === service)
      .flatMap((s) =>
        (s.spec!.ports ?? []).map((p) => ({
          URL: s.metadata.annotations?.[hostIpAnnotation] ?? '0.0.0.0',
          TargetPort: typeof p.targetPort === 'number' ? p.targetPort : p.port,
          PublishedPort: p.port,
          Protocol: (p.protocol ?? 'TCP').toLowerCase(),
        })),
      )
  const wantedStates = [
    ...((flags.status as string[] | undefined) ?? []),
    ...((flags.filter as string[] | undefined) ?? []).filter((f) => f.startsWith('status=')).map((f) => f.slice(7)),
  ]
  const rows = pods
    .filter((p) => args.length === 0 || args.includes(p.service))
    .map((p) => rowOf(p, publishers(p.service)))
    .filter((r) =>
      wantedStates.length > 0 ? wantedStates.includes(r.State) : flags.all === true || r.State !== 'exited',
    )
  if (flags.services === true) for (const s of new Set(rows.map((r) => r.Service))) out(shell, s)
  else if (flags.quiet === true) for (const r of rows) out(shell, r.Name)
  else if (flags.format === 'json') for (const r of rows) out(shell, JSON.stringify(r))
  else out(shell, table(['NAME', 'IMAGE', 'COMMAND', 'SERVICE', 'CREATED', 'STATUS', 'PORTS'], rows.map(cells)))
  return 0
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
  const container = pod.spec!.containers[0]!
  const command = [...(container.command ?? []), ...(container.args ?? [])].join(' ')
  const status = pod.status?.containerStatuses?.[0]
  const ended = status?.state?.terminated
  return {
    Name: pod.metadata.name!,
    Image: container.image ?? '',
    Command: command === '' ? '' : JSON.stringify(command.length > 20 ? `${command.slice(0, 19)}…` : command),
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

const stateOf = (pod: Pod): string => {
  const state = pod.status?.containerStatuses?.[0]?.state
  if (pod.metadata.deletionTimestamp) return 'removing'
  if (state?.running) return 'running'
  if (state?.terminated) return 'exited'
  return state?.waiting?.reason === 'CrashLoopBackOff' ? 'restarting' : 'created'
}

const statusOf = (pod: Pod): string => {
  const status = pod.status?.containerStatuses?.[0]
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
