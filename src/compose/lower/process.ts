/** What runs: command, arguments, user, directory, streams, how it is stopped. */

import { shellQuote } from '../../lib/shell-words.ts'
import type { Hook, Service } from '../../spec/compose/project.ts'
import type { LifecycleHandler } from '../../spec/kube/generated/types.ts'
import type { Lowering } from './context.ts'
import { escapeExpansion } from './names.ts'
import type { Piece } from './piece.ts'

/** A pod cannot empty the image's ENTRYPOINT or CMD; where a file does, what is left of the image's is written out. */
export const command = (service: Service, lowering: Lowering): Piece => {
  const { config } = lowering.image(service)
  const { entrypoint, command: args } = service
  const words = (list: string[]): string[] => list.map(escapeExpansion)
  if (entrypoint?.length)
    return { container: { command: words(entrypoint), ...(args?.length && { args: words(args) }) } }
  if (entrypoint) {
    const rest = args ?? config?.Cmd ?? []
    if (!rest.length)
      lowering.refuse(
        service.name,
        'entrypoint',
        'the entrypoint is emptied and there is no command',
        'Give the service a command.',
      )
    return { container: { command: words(rest) } }
  }
  if (args?.length) return { container: { args: words(args) } }
  if (!args) return {}
  if (!config?.Entrypoint?.length) {
    lowering.refuse(
      service.name,
      'command',
      "emptying the command needs the image's ENTRYPOINT, which is not known here",
      'Set `entrypoint` in the file.',
    )
    return {}
  }
  return { container: { command: words(config.Entrypoint) } }
}

export const user = (service: Service, lowering: Lowering): Piece => {
  const said = service.user ?? lowering.image(service).config?.User ?? ''
  const [name = '', group] = said.split(':')
  const number = (id: string | undefined): number | undefined =>
    id === 'root' ? 0 : id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined
  const uid = number(name)
  const gid = number(group)
  const named = (name !== '' && uid === undefined) || (group !== undefined && gid === undefined)
  const groups = (service.group_add ?? []).filter((g) => !/^\d+$/.test(g))
  const ids = (service.group_add ?? []).filter((g) => /^\d+$/.test(g)).map(Number)
  if (named && service.user !== undefined)
    lowering.onlyHere(
      service.name,
      'user',
      `"${said}" is a name; Kubernetes takes numbers only`,
      'Write the numeric uid:gid, or set USER in the Dockerfile.',
      'refuse',
    )
  if (groups.length)
    lowering.onlyHere(
      service.name,
      'group_add',
      `${groups.join(', ')}: Kubernetes takes numeric groups only`,
      'Write numeric group ids.',
    )
  return {
    container: {
      securityContext: {
        ...(uid !== undefined && !named && { runAsUser: uid, runAsNonRoot: uid !== 0 || undefined }),
        ...(gid !== undefined && !named && { runAsGroup: gid }),
      },
    },
    ...(ids.length && { pod: { securityContext: { supplementalGroups: ids } } }),
    runtime: {
      ...(named && service.user !== undefined && { user: said }),
      ...(groups.length && { groups }),
    },
  }
}

/** The uid it will run as, when that can be told. */
export const uidOf = (service: Service, lowering: Lowering): number | undefined => {
  const name = (service.user ?? lowering.image(service).config?.User ?? '').split(':')[0]!
  if (name === '' || name === 'root') return lowering.image(service).config ? 0 : undefined
  return /^\d+$/.test(name) ? Number(name) : Number.NaN
}

export const streams = (service: Service): Piece => ({
  container: {
    ...(service.stdin_open && { stdin: true }),
    ...(service.tty && { tty: true }),
    ...(service.working_dir !== undefined && { workingDir: service.working_dir }),
  },
})

const defaultGraceMs = 10_000
const defaultDrainMs = 5000

/** How long connections may still arrive after a pod is told to go: ours moves them first, other clusters do not. */
const drainMs = (service: Service, lowering: Lowering): number => {
  const listens =
    (service.ports?.length ?? 0) + (service.expose?.length ?? 0) > 0 ||
    Object.keys(lowering.image(service).config?.ExposedPorts ?? {}).length > 0
  return lowering.local || !listens ? 0 : (service['x-slipway']?.drain ?? defaultDrainMs)
}

export const stopping = (service: Service, lowering: Lowering): Piece => {
  const grace = service.stop_grace_period ?? defaultGraceMs
  const drain = drainMs(service, lowering)
  const drainSeconds = Math.ceil(drain / 1000)
  const hooks = service.pre_stop ?? []
  const preStop = hooks.length
    ? hookHandler(service, 'pre_stop', hooks, lowering, drainSeconds)
    : drainSeconds
      ? { sleep: { seconds: drainSeconds } }
      : undefined
  const postStart = service.post_start?.length
    ? hookHandler(service, 'post_start', service.post_start, lowering, 0)
    : undefined
  const signal = service.stop_signal
  if (signal !== undefined)
    lowering.onlyHere(
      service.name,
      'stop_signal',
      `${signal} is honoured by recent Kubernetes versions only (ContainerStopSignals)`,
      'Write STOPSIGNAL in the Dockerfile: that works everywhere.',
    )
  return {
    container: {
      ...((preStop || postStart || (signal !== undefined && !lowering.local)) && {
        lifecycle: {
          ...(postStart && { postStart }),
          ...(preStop && { preStop }),
          ...(signal !== undefined && !lowering.local && { stopSignal: signalName(signal) }),
        },
      }),
    },
    pod: {
      terminationGracePeriodSeconds: Math.max(1, Math.ceil(grace / 1000)) + drainSeconds,
      ...(signal !== undefined && !lowering.local && { os: { name: 'linux' } }),
    },
    runtime: {
      ...(signal !== undefined && { stopSignal: signal }),
      ...(grace % 1000 !== 0 && { stopTimeoutMs: grace }),
    },
  }
}
const signalName = (signal: string): string =>
  /^\d+$/.test(signal) || signal.startsWith('SIG') ? signal : `SIG${signal}`

/** One handler for all hooks of a kind: the first that fails ends them. */
const hookHandler = (
  service: Service,
  kind: 'post_start' | 'pre_stop',
  hooks: Hook[],
  lowering: Lowering,
  drain: number,
): LifecycleHandler => {
  for (const [i, hook] of hooks.entries()) {
    if (hook.user !== undefined || hook.privileged)
      lowering.refuse(
        service.name,
        `${kind}.${i}`,
        'a lifecycle hook runs as the container does: no other user, no other privileges',
        'Leave out user and privileged, or use pre_start, which runs in a container of its own.',
      )
  }
  const first = hooks[0]!
  if (hooks.length === 1 && drain === 0 && first.working_dir === undefined && !first.environment)
    return { exec: { command: first.command } }
  const lines = hooks.map((hook) => {
    const env = Object.entries(hook.environment ?? {}).map(([k, v]) => `${k}=${v ?? ''}`)
    const run = shellQuote(env.length ? ['env', ...env, ...hook.command] : hook.command)
    return hook.working_dir === undefined ? run : `(cd ${shellQuote([hook.working_dir])} && ${run})`
  })
  return { exec: { command: ['/bin/sh', '-c', [...(drain ? [`sleep ${drain}`] : []), ...lines].join(' && ')] } }
}

/** pre_start: each step a container of its own that ends before the service starts. */
export const preStart = (service: Service, lowering: Lowering, main: Piece): Piece => {
  if (!service.pre_start?.length) return {}
  const initContainers = service.pre_start.map((hook, i) => {
    if (hook.per_replica === false && lowering.isScaled(service))
      lowering.warn(
        service.name,
        `pre_start.${i}`,
        'runs once for each replica, not once for all',
        'Make it idempotent, or a service of its own with `depends_on … service_completed_successfully`.',
      )
    const uid = hook.user !== undefined && /^\d+(:\d+)?$/.test(hook.user) ? hook.user.split(':').map(Number) : undefined
    if (hook.user !== undefined && !uid)
      lowering.refuse(
        service.name,
        `pre_start.${i}.user`,
        `"${hook.user}" is a name; Kubernetes takes numbers only`,
        'Write the numeric uid:gid.',
      )
    return {
      ...main.container,
      name: `${lowering.nameOf(service.name)}-pre-start-${i + 1}`.slice(-63).replace(/^-+/, ''),
      image: hook.image ?? lowering.image(service).reference,
      command: hook.command.map(escapeExpansion),
      args: undefined,
      ports: undefined,
      lifecycle: undefined,
      startupProbe: undefined,
      readinessProbe: undefined,
      livenessProbe: undefined,
      ...(hook.working_dir !== undefined && { workingDir: hook.working_dir }),
      env: [
        ...(main.container?.env ?? []),
        ...Object.entries(hook.environment ?? {}).map(([name, value]) => ({
          name,
          value: escapeExpansion(value ?? ''),
        })),
      ],
      securityContext: {
        ...main.container?.securityContext,
        ...(uid && { runAsUser: uid[0], runAsGroup: uid[1], runAsNonRoot: uid[0] !== 0 || undefined }),
        ...(hook.privileged && { privileged: true, allowPrivilegeEscalation: undefined }),
      },
      volumeMounts: main.mounts,
    }
  })
  return { pod: { initContainers } }
}
