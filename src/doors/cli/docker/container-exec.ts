/** `container exec`. */
import type { EngineClient } from '../../../clients/engine/index.ts'
import { messageOf } from '../../../errors.ts'
import { Exit } from '../framework/failure.ts'
import { containerPath, withEngine } from './calls.ts'
import { environment } from './key-values.ts'
import { consoleSize, followSize, join, keysOf, requireTerminal } from './terminal.ts'

export const exec = withEngine(async ({ engine, shell, args, flags }) => {
  const [name = '', ...Cmd] = args
  const detached = flags.detach === true
  const stdin = flags.interactive === true && !detached
  const Tty = flags.tty === true
  const keys = flags['detach-keys'] as string | undefined
  let Env: string[]
  try {
    Env = environment(flags, shell)
  } catch (error) {
    throw new Exit(1, messageOf(error))
  }
  await engine.json(containerPath(name, '/json'))
  if (!detached) requireTerminal(shell, { stdin, tty: Tty })
  const ConsoleSize = Tty ? consoleSize(shell) : undefined
  const body = {
    Cmd,
    Tty,
    Detach: detached,
    AttachStdin: stdin,
    AttachStdout: !detached,
    AttachStderr: !detached,
    Env,
    User: flags.user ?? '',
    WorkingDir: flags.workdir ?? '',
    Privileged: flags.privileged === true,
    DetachKeys: keysOf(shell, keys),
    ...(ConsoleSize && { ConsoleSize }),
  }
  const { Id } = await engine.json<{ Id: string }>(containerPath(name, '/exec'), { method: 'POST', body })
  if (detached) {
    await engine.json(`/exec/${Id}/start`, { method: 'POST', body: { Detach: true, Tty } })
    return 0
  }
  const taken = await engine.takeOver(`/exec/${Id}/start`, {
    body: { Detach: false, Tty, ...(ConsoleSize && { ConsoleSize }) },
  })
  const restore = Tty ? await followSize(engine, shell, `/exec/${Id}/resize`) : undefined
  const end = await join(taken, shell, { stdin, stdout: true, stderr: true, tty: Tty, keys })
  restore?.()
  if (end === 'left') throw new Exit(1, 'read escape sequence')
  if (shell.signal.aborted) return 130
  return exitCode(engine, Id)
})

const exitCode = async (engine: EngineClient, id: string): Promise<number> =>
  (await engine.json<{ ExitCode: number | null }>(`/exec/${id}/json`)).ExitCode ?? 0
