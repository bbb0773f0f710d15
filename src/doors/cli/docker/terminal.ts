/** A container's streams joined to ours: raw terminals, keys that leave, sizes that follow, signals that are passed on. */
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { demultiplex, type EngineClient, type TakenOver } from '../../../clients/engine/index.ts'
import { err, type Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { configValue } from './client-config.ts'
import { detachKeys, watchKeys } from './detach.ts'

const standardKeys = 'ctrl-p,ctrl-q'

export interface Joined {
  stdin: boolean
  stdout: boolean
  stderr: boolean
  tty: boolean
  /** As the flag gave them. */
  keys: string | undefined
}

/** What is sent along to the daemon, '' for its own. */
export const keysOf = (shell: Shell, given: string | undefined): string =>
  given || configValue(shell.env, 'detachKeys') || ''

/** Until the output ends: 'end'; or the keys were typed: 'left'. */
export const join = async (taken: TakenOver, shell: Shell, joined: Joined): Promise<'end' | 'left'> => {
  const { socket } = taken
  const { stdin: input } = shell
  const terminal = joined.stdin && joined.tty && input.isTTY === true
  let left = false
  if (terminal) input.setRawMode?.(true)
  socket.on('error', () => {}) // the end of the output follows
  const leave = (): void => {
    left = true
    socket.destroy()
  }
  let source: Readable | undefined
  if (joined.stdin) {
    const keys = detachKeys(keysOf(shell, joined.keys) || standardKeys)
    source = joined.tty ? input.pipe(watchKeys(keys, leave)) : input
    source.pipe(socket)
  }
  const stop = (): unknown => socket.destroy()
  shell.signal.addEventListener('abort', stop)
  try {
    await demultiplex(socket, joined.stdout ? shell.stdout : undefined, joined.stderr ? shell.stderr : undefined, {
      raw: joined.tty,
    })
  } catch (error) {
    if (!shell.signal.aborted && !left) throw error
  } finally {
    shell.signal.removeEventListener('abort', stop)
    source?.unpipe(socket)
    if (source !== input) input.unpipe()
    if (terminal) input.setRawMode?.(false)
    if (joined.stdin) input.pause()
  }
  return left ? 'left' : 'end'
}

/** A program that wants a terminal and our input cannot have it from a pipe. */
export const requireTerminal = ({ stdin }: Shell, joined: { stdin: boolean; tty: boolean }): void => {
  if (joined.tty && joined.stdin && stdin.isTTY !== true) throw new Exit(1, 'the input device is not a TTY')
}

export const consoleSize = ({ stdout }: Shell): [number, number] | undefined =>
  stdout.isTTY === true && stdout.rows && stdout.columns ? [stdout.rows, stdout.columns] : undefined

/** The terminal's size, now and whenever it changes. `path`: /containers/ID/resize or /exec/ID/resize. */
export const followSize = async (engine: EngineClient, shell: Shell, path: string): Promise<() => void> => {
  const { stdout } = shell
  const tell = async (): Promise<void> => {
    const size = consoleSize(shell)
    if (!size) return
    const query = { h: String(size[0]), w: String(size[1]) }
    await engine.json(path, { method: 'POST', query }).catch(() => {}) // it may have ended
  }
  if (stdout.isTTY !== true) return () => {}
  await tell()
  stdout.on('resize', tell)
  return () => void stdout.off('resize', tell)
}

/** Signals that are the client's own business, or cannot be caught. */
const kept = [
  'SIGCHLD',
  'SIGPIPE',
  'SIGURG',
  'SIGKILL',
  'SIGSTOP',
  'SIGWINCH',
  'SIGPROF',
  'SIGSEGV',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
]
const passed = Object.keys(constants.signals).filter((name) => !kept.includes(name))

/** Signals sent to us go to the container instead, until what is returned is called. */
export const passSignals = (engine: EngineClient, shell: Shell, container: string): (() => void) =>
  shell.catchSignals?.(passed, (signal) => {
    engine
      .json(`/containers/${container}/kill`, { method: 'POST', query: { signal: signal.replace(/^SIG/, '') } })
      .catch((error: Error) => {
        if (!/is not running/.test(error.message)) err(shell, error.message)
      })
  }) ?? (() => {})
