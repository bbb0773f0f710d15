import { isError, SlipwayError } from '../../../errors.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { ExecSession } from '../../../spec/kube/client.ts'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import { mainContainer, pickPod } from '../app/workloads.ts'
import type { Command, Invocation, Shell } from '../framework/command.ts'
import { list, text, toggle, wholeNumber } from '../framework/flags.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'

export const exec: Command = {
  name: 'exec',
  usage: '[OPTIONS] SERVICE COMMAND [ARGS...]',
  summary: 'Execute a command in a running container',
  group: 'app',
  interspersed: false,
  flags: [
    toggle('-T, --no-TTY', 'Do not allocate a terminal'),
    toggle('-d, --detach', 'Run the command in the background'),
    toggle('-i, --interactive', 'Keep stdin open (the default)'),
    toggle('-t, --tty', 'Allocate a terminal (the default on one)'),
    list('-e, --env', 'KEY=VAL', 'Set environment variables'),
    text('-w, --workdir', 'DIR', 'Working directory of the command'),
    text('-u, --user', 'USER', 'Run as this user (no Kubernetes exec can: says how to do it with docker here)'),
    toggle('--privileged', 'Give the command all privileges (as --user)'),
    text('--index', 'NUM', 'Instance of the service, from 1'),
  ],
  run: runExec,
}

async function runExec(invocation: Invocation): Promise<number> {
  const { shell, flags, args } = invocation
  const [service, ...command] = args
  if (!service || command.length === 0)
    throw new SlipwayError('bad-request', 'requires at least 2 arg(s), only received ' + args.length, {
      hint: "See 'slipway exec --help'.",
    })
  const project = await projectNames(invocation)
  const { client } = await openTarget(invocation)
  const pod = await pickPod(
    client,
    project,
    service,
    flags.index === undefined ? undefined : wholeNumber(flags.index as string, 'index'),
  )
  refuseIdentity(invocation, pod)
  const tty = flags['no-TTY'] !== true && shell.stdin.isTTY === true && shell.stdout.isTTY === true
  const session = await client.exec(
    { namespace: pod.metadata.namespace, name: pod.metadata.name! },
    {
      container: mainContainer(pod),
      command: wrapped(command, invocation),
      stdin: flags.detach !== true,
      stdout: true,
      stderr: !tty,
      tty,
    },
  )
  if (flags.detach === true) {
    session.close()
    return 0
  }
  return runSession(session, shell, tty)
}

/** An exec in a pod runs as its container does. Where the container is on this machine, docker's exec can do more. */
const refuseIdentity = ({ flags, globals, shell }: Invocation, pod: Pod): void => {
  const what = flags.user !== undefined ? '--user' : flags.privileged === true ? '--privileged' : undefined
  if (what === undefined) return
  const id = pod.status?.containerStatuses?.find((s) => s.name === mainContainer(pod))?.containerID
  const { docker } = socketsOf(placeOf(shell.env))
  throw new SlipwayError('unsupported', `${what}: Kubernetes runs a command as its container's user`, {
    hint:
      globals.context === undefined && id
        ? `Here, docker can: docker -H unix://${docker} exec ${what}${what === '--user' ? `=${flags.user}` : ''} ${id.replace(/^.*:\/\//, '').slice(0, 12)} …`
        : 'Set user: in the compose file, or add the user change to the command: su USER -c …',
  })
}

/** The Kubernetes exec call has neither environment nor directory: env(1) and a shell's cd stand in. */
const wrapped = (command: string[], { flags, shell }: Invocation): string[] => {
  const wanted = (flags.env as string[] | undefined) ?? []
  const withEnv =
    wanted.length > 0
      ? ['env', ...wanted.map((e) => (e.includes('=') ? e : `${e}=${shell.env[e] ?? ''}`)), ...command]
      : command
  const dir = flags.workdir as string | undefined
  return dir ? ['/bin/sh', '-c', 'cd "$0" && exec "$@"', dir, ...withEnv] : withEnv
}

/** Joins a session with the terminal until the program ends; its exit code. */
const runSession = async (session: ExecSession, shell: Shell, tty: boolean): Promise<number> => {
  if (tty) shell.stdin.setRawMode?.(true)
  const size = (): void => session.resize({ width: shell.stdout.columns ?? 80, height: shell.stdout.rows ?? 24 })
  if (tty) {
    size()
    shell.stdout.on('resize', size)
  }
  session.stdout?.pipe(shell.stdout, { end: false })
  session.stderr?.pipe(shell.stderr, { end: false })
  if (session.stdin) {
    session.stdin.on('error', () => {}) // the program may end before its input does
    shell.stdin.pipe(session.stdin)
  }
  const interrupt = (): void => session.close()
  shell.signal.addEventListener('abort', interrupt)
  try {
    const { exitCode, message } = await session.exited
    await Promise.all(
      [session.stdout, session.stderr].map(
        (s) => s && !s.readableEnded && !s.destroyed && new Promise((go) => s.once('end', go).once('close', go)),
      ),
    )
    if (message && exitCode !== 0 && !/exit code/.test(message)) shell.stderr.write(`${message}\n`)
    return exitCode
  } catch (error) {
    if (shell.signal.aborted) return 130
    if (isError(error)) throw error
    throw new SlipwayError('unavailable', `the connection to the container broke: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    if (tty) shell.stdin.setRawMode?.(false)
    shell.stdin.unpipe()
  }
}
