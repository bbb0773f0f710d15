/** `container run`, `create`, `start`, `attach` and `exec`. */
import { openSync, closeSync, rmSync, statSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import type { EngineClient } from '../../../clients/engine/index.ts'
import { isError, messageOf, SlipwayError } from '../../../errors.ts'
import { familiarName, parseReference } from '../../../spec/oci/index.ts'
import { pullTo } from './image-transfer.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import type { Flags } from '../framework/flags.ts'
import { type ApiSocket, apiSocket } from './api-socket.ts'
import { containerPath, type EngineCallContext, withEngine } from './calls.ts'
import { proxyVariables } from './client-config.ts'
import { type ContainerBody, containerBody } from './container-spec.ts'
import { followSize, join, keysOf, passSignals, requireTerminal } from './terminal.ts'

/** As docker ends `run` and `create`: the message, and where to read on. */
const refusal = (name: string, message: string, code: number): Exit =>
  new Exit(code, `slipway: ${message}\n\nRun '${name} --help' for more information`)

const policies = ['', 'always', 'missing', 'never']

const bodyOf = ({ name, flags, args, shell }: EngineCallContext): ContainerBody => {
  const pull = (flags.pull as string | undefined) ?? ''
  if (!policies.includes(pull))
    throw refusal(name, `invalid pull option: '${pull}': must be one of "always", "missing" or "never"`, 125)
  try {
    const body = containerBody(flags, args, shell)
    const env = body.Env as string[]
    const own = new Set(env.map((line) => line.split('=')[0]))
    const proxies = Object.entries(proxyVariables(shell.env)).filter(([key]) => !own.has(key))
    return { ...body, Env: [...proxies.map(([key, value]) => `${key}=${value}`), ...env] }
  } catch (error) {
    if (error instanceof SlipwayError) throw error
    throw refusal(name, messageOf(error), 125)
  }
}

/** The file is made before the container, so that two runs never share one; it goes when there is no container. */
const withIdFile = async (flags: Flags, shell: Shell, create: () => Promise<string>): Promise<string> => {
  const given = (flags.cidfile as string | undefined) ?? ''
  if (given === '') return create()
  const path = resolve(shell.cwd, given)
  if (statSync(path, { throwIfNoEntry: false }))
    throw new Error(`container ID file found, make sure the other container isn't running or delete ${given}`)
  let file: number
  try {
    file = openSync(path, 'wx', 0o644)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'no such file or directory' : messageOf(error)
    throw new Error(`failed to create the container ID file: open ${given}: ${why}`)
  }
  try {
    const id = await create()
    writeSync(file, id)
    return id
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

const post = async (engine: EngineClient, flags: Flags, body: ContainerBody, shell: Shell): Promise<string> => {
  const query = { name: flags.name as string | undefined, platform: flags.platform as string | undefined }
  const { Id, Warnings } = await engine.json<{ Id: string; Warnings: string[] | null }>('/containers/create', {
    method: 'POST',
    query,
    body,
    signal: shell.signal,
  })
  for (const warning of Warnings ?? []) err(shell, `WARNING: ${warning}`)
  return Id
}

/** Pulled to stderr: standard output is the program's. */
const pullImage = (context: EngineCallContext, image: string): Promise<void> => {
  const { shell, flags } = context
  const stdout = shell.stderr
  return pullTo({ ...shell, stdout }, image, {
    platform: flags.platform as string | undefined,
    quiet: flags.quiet === true,
    hint: false,
  })
}

const named = (image: string): string => {
  const reference = parseReference(image)
  return familiarName(
    reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference,
  )
}

const createOne = async (context: EngineCallContext, given: ContainerBody): Promise<string> => {
  const { engine, flags, shell } = context
  const socket = flags['use-api-socket'] === true ? await apiSocket(shell) : undefined
  const body = socket ? withSocket(given, socket) : given
  const id = await withIdFile(flags, shell, async () => {
    if (flags.pull === 'always') await pullImage(context, body.Image)
    try {
      return await post(engine, flags, body, shell)
    } catch (error) {
      if (!isError(error, 'not-found') || flags.pull === 'never' || !/No such image/.test(error.message)) throw error
      if (flags.quiet !== true) err(shell, `Unable to find image '${named(body.Image)}' locally`)
      await pullImage(context, body.Image)
      return post(engine, flags, body, shell)
    }
  })
  await socket?.finish(engine, id)
  return id
}

const withSocket = (body: ContainerBody, { mount, env }: ApiSocket): ContainerBody => ({
  ...body,
  Env: [...(body.Env as string[]), ...env],
  HostConfig: { ...body.HostConfig, Mounts: [...((body.HostConfig.Mounts as object[] | undefined) ?? []), mount] },
})

export const create = withEngine(async (context) => {
  const { shell } = context
  const body = bodyOf(context)
  try {
    out(shell, await createOne(context, body))
    return 0
  } catch (error) {
    if (error instanceof SlipwayError || error instanceof Exit) throw error
    throw new Exit(1, messageOf(error))
  }
})

/** 127: there is no such program; 126: it cannot be run; 125: anything else that is not the program's own end. */
const startCode = (message: string): number => {
  if (/executable file not found|no such file or directory/.test(message)) return 127
  return /permission denied|is a directory/.test(message) ? 126 : 125
}

export const run = withEngine(async (context) => {
  const { shell, flags, name, engine } = context
  const body = bodyOf(context)
  const detached = flags.detach === true
  if (detached && flags.attach !== undefined)
    throw new Exit(1, 'conflicting options: cannot specify both --attach and --detach')
  if (detached) Object.assign(body, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false })
  else requireTerminal(shell, { stdin: body.AttachStdin, tty: flags.tty === true })
  const fail = (error: unknown): unknown => {
    if (error instanceof Exit || shell.signal.aborted) return error
    const message = messageOf(error)
    return refusal(name, message, startCode(message))
  }
  let id: string
  try {
    id = await createOne(context, body)
  } catch (error) {
    throw fail(error)
  }
  const begin = (): Promise<unknown> => engine.json(containerPath(id, '/start'), { method: 'POST' })
  if (detached || (!body.AttachStdin && !body.AttachStdout && !body.AttachStderr)) {
    try {
      await begin()
    } catch (error) {
      throw fail(error)
    }
    out(shell, id)
    return 0
  }
  return follow(context, id, body, async () => {
    try {
      await begin()
    } catch (error) {
      throw fail(error)
    }
  })
})

type Streams = Pick<ContainerBody, 'AttachStdin' | 'AttachStdout' | 'AttachStderr' | 'Tty'>

/** Attaches, starts by `begin`, and stays until the program ends: its exit code. */
const follow = async (
  { engine, shell, flags }: EngineCallContext,
  id: string,
  body: Streams & { HostConfig: object },
  begin: () => Promise<void>,
): Promise<number> => {
  const keys = flags['detach-keys'] as string | undefined
  const streams = { stdin: body.AttachStdin, stdout: body.AttachStdout, stderr: body.AttachStderr }
  const release = flags['sig-proxy'] === false ? () => {} : passSignals(engine, shell, id)
  try {
    const query = { stream: true, ...streams, detachKeys: keysOf(shell, keys) }
    const taken = await engine.takeOver(containerPath(id, '/attach'), { query })
    const removed = 'AutoRemove' in body.HostConfig && body.HostConfig.AutoRemove === true
    const condition = removed ? 'removed' : 'next-exit'
    const ended = engine.json<{ StatusCode: number }>(containerPath(id, '/wait'), {
      method: 'POST',
      query: { condition },
    })
    ended.catch(() => {}) // awaited below, unless the start fails
    try {
      await begin()
    } catch (error) {
      taken.socket.destroy()
      throw error
    }
    const restore = body.Tty ? await followSize(engine, shell, containerPath(id, '/resize')) : undefined
    const end = await join(taken, shell, { ...streams, tty: body.Tty, keys })
    restore?.()
    if (end === 'left') return 0
    // Only what was read is waited for: with nothing but input, it goes on by itself.
    if (!streams.stdout && !streams.stderr) return 0
    return (await ended).StatusCode
  } finally {
    release()
  }
}

interface Inspected {
  Id: string
  Config: { Tty: boolean; OpenStdin: boolean }
  HostConfig: { AutoRemove: boolean }
  State: { Running: boolean; Paused: boolean; Restarting: boolean }
}

export const start = withEngine(async (context) => {
  const { engine, shell, args, flags } = context
  if (flags.attach !== true && flags.interactive !== true) return startAll(engine, shell, args)
  if (args.length > 1) throw new Exit(1, 'you cannot start and attach multiple containers at once')
  const [name = ''] = args
  const about = await engine.json<Inspected>(containerPath(name, '/json'))
  const Tty = about.Config.Tty
  const body = {
    Tty,
    AttachStdin: flags.interactive === true && about.Config.OpenStdin,
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: about.HostConfig,
  }
  requireTerminal(shell, { stdin: body.AttachStdin, tty: Tty })
  return follow(context, about.Id, body, async () => {
    await engine.json(containerPath(about.Id, '/start'), { method: 'POST' })
  })
})

const startAll = async (engine: EngineClient, shell: Shell, names: readonly string[]): Promise<number> => {
  const failed: string[] = []
  for (const name of names)
    try {
      await engine.json(containerPath(name, '/start'), { method: 'POST' })
      out(shell, name)
    } catch (error) {
      if (!(error instanceof SlipwayError)) throw error
      err(shell, error.message)
      failed.push(name)
    }
  if (failed.length === 0) return 0
  err(shell, `Error: failed to start containers: ${failed.join(', ')}`)
  return 1
}

export const attach = withEngine(async ({ engine, shell, args, flags }) => {
  const about = await engine.json<Inspected>(containerPath(args[0]!, '/json'))
  const { State, Id, Config } = about
  if (!State.Running) throw new Exit(1, 'You cannot attach to a stopped container, start it first')
  if (State.Paused) throw new Exit(1, 'You cannot attach to a paused container, unpause it first')
  if (State.Restarting) throw new Exit(1, 'You cannot attach to a restarting container, wait until it is running')
  const stdin = flags['no-stdin'] !== true && Config.OpenStdin
  const keys = flags['detach-keys'] as string | undefined
  requireTerminal(shell, { stdin, tty: Config.Tty })
  const release = flags['sig-proxy'] === false || Config.Tty ? () => {} : passSignals(engine, shell, Id)
  try {
    const ended = engine.json<{ StatusCode: number }>(containerPath(Id, '/wait'), { method: 'POST' })
    ended.catch(() => {}) // awaited below, unless it is left
    const query = { stream: true, stdin, stdout: true, stderr: true, detachKeys: keysOf(shell, keys) }
    const taken = await engine.takeOver(containerPath(Id, '/attach'), { query })
    const restore = Config.Tty ? await followSize(engine, shell, containerPath(Id, '/resize')) : undefined
    const end = await join(taken, shell, { stdin, stdout: true, stderr: true, tty: Config.Tty, keys })
    restore?.()
    if (end === 'left') throw new Exit(1, 'read escape sequence')
    return (await ended).StatusCode
  } finally {
    release()
  }
})
