/** `slipway container run` and `exec`: what is asked for as the API takes it, and the terminal joined to it. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { demultiplex, type EngineClient, type TakenOver } from '../../../clients/engine/index.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { type Flag, type Flags, list, text, toggle } from '../framework/flags.ts'
import { type Call, pairs } from '../framework/subcommands.ts'
import { pull } from './image-transfer.ts'

export const runFlags: readonly Flag[] = [
  toggle('-d, --detach', 'In the background: print its id'),
  toggle('-i, --interactive', 'Give it stdin'),
  toggle('-t, --tty', 'Give it a terminal'),
  toggle('--rm', 'Remove it when it ends'),
  text('--name', 'NAME', 'Its name'),
  list('-p, --publish', '[IP:][PORT:]PORT[/PROTO]', 'Publish a port'),
  toggle('-P, --publish-all', 'Publish all ports of the image'),
  list('-v, --volume', 'SOURCE:TARGET[:MODE]', 'Volumes and directories'),
  list('--tmpfs', 'TARGET[:OPTIONS]', 'Directories in memory'),
  list('-e, --env', 'KEY=VALUE', 'Environment'),
  list('--env-file', 'FILE', 'Environment from files'),
  list('-l, --label', 'KEY=VALUE', 'Labels'),
  list('--network', 'NAME', 'Networks, or host, none, container:NAME'),
  list('--network-alias', 'NAME', 'Further names on its network'),
  list('--add-host', 'NAME:ADDRESS', 'Names of its own'),
  text('--hostname', 'NAME', 'Host name'),
  text('-u, --user', 'USER', 'User[:group]'),
  text('-w, --workdir', 'DIR', 'Directory'),
  text('--entrypoint', 'COMMAND', "Instead of the image's"),
  text('--restart', 'POLICY', 'no, always, unless-stopped or on-failure[:N]'),
  text('-m, --memory', 'BYTES', 'Memory limit (512m)'),
  text('--cpus', 'NUMBER', 'CPU limit (1.5)'),
  text('--pids-limit', 'NUMBER', 'Limit of processes'),
  list('--cap-add', 'NAME', 'Capabilities to add'),
  list('--cap-drop', 'NAME', 'Capabilities to drop'),
  toggle('--privileged', 'All privileges'),
  toggle('--read-only', 'Root filesystem read-only'),
  toggle('--init', 'A small init as the first process'),
]

const several = (flags: Flags, name: string): string[] => (flags[name] as string[] | undefined) ?? []

/** "512m" → bytes. */
const bytes = (value: string): number => {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)b?$/i.exec(value)
  if (!match) throw new SlipwayError('bad-request', `invalid argument "${value}" for "-m, --memory" flag: invalid size`)
  return Math.floor(Number(match[1]) * 1024 ** Math.max(0, 'bkmgt'.indexOf(match[2]!.toLowerCase() || 'b')))
}

/** KEY=VALUE, or KEY for the value it has here; a file's first, so that -e wins. */
const environment = ({ shell, flags }: Call): string[] => {
  const lines = several(flags, 'env-file').flatMap((file) =>
    readFileSync(resolve(shell.cwd, file), 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#')),
  )
  return [...lines, ...several(flags, 'env')].flatMap((each) => {
    if (each.includes('=')) return [each]
    const value = shell.env[each]
    return value === undefined ? [] : [`${each}=${value}`]
  })
}

/** [IP:][HOST:]PORT[/PROTO]; the two ports may be ranges of one length. */
const publish = (given: string[]): Record<string, { HostIp: string; HostPort: string }[]> => {
  const bound: Record<string, { HostIp: string; HostPort: string }[]> = {}
  for (const each of given) {
    const match = /^(?:(?:(\[[^\]]+\]|[^:]*):)?(\d+(?:-\d+)?)?:)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(each)
    if (!match) throw new SlipwayError('bad-request', `invalid publish opts format: ${each}`)
    const [, ip = '', host = '', from, to = from, protocol = 'tcp'] = match
    const first = Number(host.split('-')[0] || 0)
    const count = Number(to) - Number(from)
    if (count < 0 || (count > 0 && host !== '' && Number(host.split('-')[1]) - first !== count))
      throw new SlipwayError('bad-request', `invalid ranges specified for container and host Ports: ${each}`)
    for (let i = 0; i <= count; i++) {
      const HostPort = count === 0 ? host : host === '' ? '' : String(first + i)
      const key = `${Number(from) + i}/${protocol}`
      bound[key] = [...(bound[key] ?? []), { HostIp: ip.replace(/^\[|\]$/g, ''), HostPort }]
    }
  }
  return bound
}

const restart = (given: string | undefined) => {
  const [Name = 'no', count] = (given ?? 'no').split(':')
  return { Name, MaximumRetryCount: Number(count ?? 0) }
}

const bodyOf = (call: Call): object => {
  const { args, flags, shell } = call
  const [Image, ...Cmd] = args
  const detached = flags.detach === true
  const networks = several(flags, 'network')
  const ports = publish(several(flags, 'publish'))
  const binds = several(flags, 'volume').map((v) =>
    /^\.{1,2}(\/|:)/.test(v) ? v.replace(/^[^:]*/, (at) => resolve(shell.cwd, at)) : v,
  )
  const named = networks.filter((n) => !['host', 'none'].includes(n) && !n.startsWith('container:'))
  const Aliases = several(flags, 'network-alias')
  return {
    Image,
    ...(Cmd.length > 0 ? { Cmd } : {}),
    ...(flags.entrypoint === undefined ? {} : { Entrypoint: [flags.entrypoint] }),
    Hostname: flags.hostname,
    User: flags.user,
    WorkingDir: flags.workdir,
    Env: environment(call),
    Labels: pairs(flags.label),
    Tty: flags.tty === true,
    OpenStdin: flags.interactive === true,
    StdinOnce: flags.interactive === true && !detached,
    AttachStdin: flags.interactive === true && !detached,
    AttachStdout: !detached,
    AttachStderr: !detached,
    ExposedPorts: Object.fromEntries(Object.keys(ports).map((key) => [key, {}])),
    HostConfig: {
      AutoRemove: flags.rm === true,
      PortBindings: ports,
      PublishAllPorts: flags['publish-all'] === true,
      // A path alone is an anonymous volume, as in docker.
      Binds: binds,
      Tmpfs: Object.fromEntries(several(flags, 'tmpfs').map((t) => [t.split(':')[0], t.split(':').slice(1).join(':')])),
      NetworkMode: networks[0] ?? 'default',
      ExtraHosts: several(flags, 'add-host'),
      RestartPolicy: restart(flags.restart as string | undefined),
      ...(flags.memory === undefined ? {} : { Memory: bytes(flags.memory as string) }),
      ...(flags.cpus === undefined ? {} : { NanoCpus: Math.round(Number(flags.cpus) * 1e9) }),
      ...(flags['pids-limit'] === undefined ? {} : { PidsLimit: Number(flags['pids-limit']) }),
      CapAdd: several(flags, 'cap-add'),
      CapDrop: several(flags, 'cap-drop'),
      Privileged: flags.privileged === true,
      ReadonlyRootfs: flags['read-only'] === true,
      ...(flags.init === true ? { Init: true } : {}),
    },
    NetworkingConfig: { EndpointsConfig: Object.fromEntries(named.map((n) => [n, { Aliases }])) },
  }
}

const create = async (engine: EngineClient, call: Call): Promise<string> => {
  const send = async (): Promise<string> => {
    const query = { name: call.flags.name as string | undefined }
    const { Id } = await engine.json<{ Id: string }>('/containers/create', {
      method: 'POST',
      query,
      body: bodyOf(call),
    })
    return Id
  }
  try {
    return await send()
  } catch (error) {
    if (!isError(error, 'not-found')) throw error
    err(call.shell, `Unable to find image '${call.args[0]}' locally`)
    // Standard output is the program's.
    await pull({ shell: { ...call.shell, stdout: call.shell.stderr }, args: [call.args[0]!], flags: {} })
    return send()
  }
}

/** Joins the terminal until the program's output ends. */
const join = async ({ socket, raw }: TakenOver, shell: Shell, stdin: boolean): Promise<void> => {
  const { stdin: input } = shell
  const terminal = stdin && raw && input.isTTY === true
  if (terminal) input.setRawMode?.(true)
  socket.on('error', () => {}) // the end of the output follows
  if (stdin) input.pipe(socket)
  const interrupt = (): unknown => socket.destroy()
  shell.signal.addEventListener('abort', interrupt)
  try {
    await demultiplex(socket, shell.stdout, shell.stderr, { raw })
  } catch (error) {
    if (!shell.signal.aborted) throw error
  } finally {
    shell.signal.removeEventListener('abort', interrupt)
    if (terminal) input.setRawMode?.(false)
    input.unpipe(socket)
    input.pause()
  }
}

const consoleSize = ({ stdout }: Shell): { ConsoleSize?: [number, number] } =>
  stdout.isTTY === true && stdout.rows && stdout.columns ? { ConsoleSize: [stdout.rows, stdout.columns] } : {}

/** The terminal's size, now and whenever it changes. */
const followSize = async (engine: EngineClient, shell: Shell, path: string): Promise<() => void> => {
  const { stdout } = shell
  if (stdout.isTTY !== true) return () => {}
  const tell = (): Promise<unknown> =>
    engine
      .json(path, { method: 'POST', query: { h: String(stdout.rows || 24), w: String(stdout.columns || 80) } })
      .catch(() => {}) // it may have ended
  await tell()
  stdout.on('resize', tell)
  return () => stdout.off('resize', tell)
}

const requireTerminal = ({ shell, flags }: Call): void => {
  if (flags.tty === true && flags.interactive === true && flags.detach !== true && shell.stdin.isTTY !== true)
    throw new SlipwayError('bad-request', 'the input device is not a TTY')
}

export const runContainer = async (call: Call): Promise<number> => {
  const { shell, flags } = call
  requireTerminal(call)
  const engine = await openEngine(shell)
  const id = await create(engine, call)
  const start = (): Promise<unknown> => engine.json(`/containers/${id}/start`, { method: 'POST' })
  if (flags.detach === true) {
    await start()
    out(shell, id)
    return 0
  }
  const stdin = flags.interactive === true
  const query = { stream: true, stdin, stdout: true, stderr: true }
  const taken = await engine.takeOver(`/containers/${id}/attach`, { query })
  const condition = flags.rm === true ? 'removed' : 'next-exit'
  const ended = engine.json<{ StatusCode: number }>(`/containers/${id}/wait`, { method: 'POST', query: { condition } })
  ended.catch(() => {}) // awaited below, unless the start fails
  try {
    await start()
  } catch (error) {
    taken.socket.destroy()
    throw error
  }
  const restore = flags.tty === true ? await followSize(engine, shell, `/containers/${id}/resize`) : undefined
  await join(taken, shell, stdin)
  restore?.()
  if (shell.signal.aborted) {
    await engine.json(`/containers/${id}/kill`, { method: 'POST', query: { signal: 'SIGTERM' } }).catch(() => {}) // gone
    return 130
  }
  return (await ended).StatusCode
}

export const execIn = async (call: Call): Promise<number> => {
  const { shell, args, flags } = call
  const [name = '', ...Cmd] = args
  requireTerminal(call)
  const engine = await openEngine(shell)
  const detached = flags.detach === true
  const stdin = flags.interactive === true && !detached
  const Tty = flags.tty === true
  const body = {
    Cmd,
    Tty,
    AttachStdin: stdin,
    AttachStdout: !detached,
    AttachStderr: !detached,
    Env: environment(call),
    User: flags.user ?? '',
    WorkingDir: flags.workdir ?? '',
    Privileged: flags.privileged === true,
  }
  const path = `/containers/${encodeURIComponent(name)}/exec`
  const { Id } = await engine.json<{ Id: string }>(path, { method: 'POST', body })
  if (detached) {
    await engine.json(`/exec/${Id}/start`, { method: 'POST', body: { Detach: true, Tty } })
    return 0
  }
  const taken = await engine.takeOver(`/exec/${Id}/start`, {
    body: { Detach: false, Tty, ...(Tty ? consoleSize(shell) : {}) },
  })
  const restore = Tty ? await followSize(engine, shell, `/exec/${Id}/resize`) : undefined
  await join(taken, shell, stdin)
  restore?.()
  if (shell.signal.aborted) return 130
  return (await engine.json<{ ExitCode: number | null }>(`/exec/${Id}/json`)).ExitCode ?? 0
}
