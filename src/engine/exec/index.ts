import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { type Context, emit, isRunning } from '../containers/context.ts'
import { controlMonitor } from '../containers/rotation.ts'
import { AttachHub } from '../runtime/attach.ts'
import { configText } from '../runtime/config.ts'
import { startMonitor } from '../runtime/monitor.ts'
import { OutputBuffer } from '../runtime/output.ts'
import type { Containers, Exec, Io } from '../types.ts'
import { execDirect } from './direct.ts'
import { execFailure, execProcess, runningRecord } from './process.ts'

export { execOnce } from './once.ts'

/** Ended ones can be asked for their exit code this long. */
const keptMs = 5 * 60_000
const mostKept = 4096
/** How long a change of a terminal's size waits for the program, as dockerd does. */
const readyMs = 10_000

interface Entry {
  exec: Exec
  /** When the run of the container began that it was made for. */
  run: number | undefined
  started: boolean
  /** It runs, or will not. */
  begun: PromiseWithResolvers<void>
  ended: PromiseWithResolvers<number>
  bundle: string | undefined
}
type Size = { width: number; height: number }

type Execs = Pick<
  Containers,
  'createExec' | 'checkExec' | 'startExec' | 'getExec' | 'execIds' | 'waitExec' | 'resizeExec'
>

interface Room {
  ctx: Context
  entries: Map<string, Entry>
}

const dropOld = (entries: Map<string, Entry>): void => {
  for (const [id, { exec }] of entries) {
    if (entries.size <= mostKept) return
    if (!exec.running) entries.delete(id)
  }
}
const over = ({ ctx, entries }: Room, entry: Entry, exitCode: number): void => {
  const { exec } = entry
  entry.exec = { ...exec, running: false, exitCode }
  if (entry.bundle !== undefined) rmSync(entry.bundle, { recursive: true, force: true })
  entry.begun.resolve()
  entry.ended.resolve(exitCode)
  const record = ctx.records.byId(exec.containerId)
  if (record) emit(ctx, record, 'exec_die', { execID: exec.id, exitCode: String(exitCode) })
  setTimeout(() => entries.delete(exec.id), keptMs).unref()
}

const resize = async (entry: Entry, { width, height }: Size): Promise<void> => {
  if (!entry.exec.running) throw new SlipwayError('conflict', `exec ${entry.exec.id} is not running`)
  if (entry.bundle !== undefined) controlMonitor(entry.bundle, `1 ${height} ${width}`)
}

const startDirect = async (room: Room, entry: Entry): Promise<Io> => {
  const { ctx } = room
  const { exec } = entry
  const record = runningRecord(ctx, exec.containerId)
  const { stdin, stdout, stderr } = exec.spec
  const direct = await execDirect(ctx, record, await execProcess(ctx, record, exec.spec), { stdin, stdout, stderr })
  entry.exec = { ...exec, running: true, pid: direct.pid }
  direct.exited.then(
    (exitCode) => over(room, entry, exitCode),
    (error) => {
      ctx.log.warn('exec failed', { id: exec.id, error: messageOf(error) })
      over(room, entry, 126)
    },
  )
  return {
    tty: false,
    output: direct.output,
    stdin: direct.stdin,
    resize: async () => {},
    // The program goes on, its output unheard.
    close: () => direct.output.leave(),
  }
}

/**
 * Behind a monitor: what has a terminal, and what nobody listens to, of which is known here that it runs. A program that
 * cannot be started is told on the output, or thrown as 'bad-request' where that is not heard.
 */
const startMonitored = async (
  room: Room,
  entry: Entry,
  { size, detach = false }: { size?: Size; detach?: boolean },
): Promise<Io> => {
  const { ctx } = room
  const { exec } = entry
  const { tty } = exec.spec
  const heard = !detach
  // Without a terminal there must be an input, which is ended at once: in place of none the monitor would give the machine's
  // /dev/null, and the runtime would give that to the program's user.
  const stdin = heard ? exec.spec.stdin : !tty
  const record = runningRecord(ctx, exec.containerId)
  const bundle = join(ctx.instance.runDir, 'execs', exec.id)
  mkdirSync(bundle, { recursive: true, mode: 0o700 })
  entry.bundle = bundle
  const processFile = join(bundle, 'process.json')
  const process = await execProcess(ctx, record, { ...exec.spec, consoleSize: size })
  writeFileSync(processFile, configText(process), { mode: 0o600 })
  const hub = new AttachHub(ctx.sys.packets, {
    tty,
    stdinOnce: true,
    resize: (to) => resize(entry, to),
    endsWithCode: true,
  })
  const io = hub.attach({ stdin, stdout: heard, stderr: heard })
  const options = { id: exec.id, bundle, log: undefined, tty, stdin, leaveStdinOpen: false }
  try {
    const connect = (): Promise<void> => hub.connect(join(bundle, 'attach'))
    const { pid, exitCode: told } = await startMonitor(
      ctx.sys.processes,
      ctx.paths,
      { ...options, exec: { containerId: record.id, processFile } },
      connect,
    )
    entry.exec = { ...exec, running: true, pid }
    if (!heard) io.stdin?.end()
    void told.then((exitCode) => {
      over(room, entry, exitCode ?? 137)
      hub.end()
    })
    if (size) await resize(entry, size).catch(() => {})
    const close: Io['close'] = (how) => {
      if (how === 'detached') emit(ctx, record, 'exec_detach', { execID: exec.id })
      io.close()
    }
    return { ...io, close }
  } catch (error) {
    hub.close()
    if (!isError(error, 'internal')) throw error
    const failure = await execFailure(ctx, record, process, messageOf(error))
    over(room, entry, failure.exitCode)
    if (detach) throw new SlipwayError('bad-request', failure.message)
    return failed(failure.message)
  }
}

const newEntry = (exec: Exec, run: number | undefined): Entry => ({
  exec,
  run,
  started: false,
  begun: Promise.withResolvers<void>(),
  ended: Promise.withResolvers<number>(),
  bundle: undefined,
})

/** It may be started, and can: in docker's words if not. */
const startable = (ctx: Context, entry: Entry): Entry => {
  const { id, containerId, running } = entry.exec
  const record = ctx.records.byId(containerId)
  // It was of a run that is over, though the container may run again.
  if (!entry.started && (!record || !isRunning(record) || record.startedAt !== entry.run))
    throw new SlipwayError('not-found', `No such exec instance: ${id}`)
  if (entry.started)
    throw new SlipwayError(
      'conflict',
      `Error: Exec command ${id} ${running ? 'is already running' : 'has already run'}`,
    )
  runningRecord(ctx, containerId)
  return entry
}

/** Programs run in running containers. Not on record: they end with the daemon that holds their streams. */
export const createExecs = (ctx: Context): Execs => {
  const entries = new Map<string, Entry>()
  const room: Room = { ctx, entries }
  const must = (id: string): Entry => {
    const entry = entries.get(id)
    if (!entry) throw new SlipwayError('not-found', `No such exec instance: ${id}`)
    return entry
  }
  return {
    async createExec(reference, spec) {
      const record = runningRecord(ctx, reference)
      if (spec.args.length === 0) throw new SlipwayError('bad-request', 'No exec command specified')
      dropOld(entries)
      const exec: Exec = {
        id: randomBytes(32).toString('hex'),
        containerId: record.id,
        spec,
        running: false,
        exitCode: undefined,
        pid: 0,
      }
      ctx.sys.cgroups.expectMove()
      entries.set(exec.id, newEntry(exec, record.startedAt))
      emit(ctx, record, `exec_create: ${spec.args.join(' ')}`, { execID: exec.id })
      return exec
    },
    checkExec: (id) => void startable(ctx, must(id)),
    async startExec(id, options = {}) {
      const entry = startable(ctx, must(id))
      const record = runningRecord(ctx, entry.exec.containerId)
      entry.started = true
      emit(ctx, record, `exec_start: ${entry.exec.spec.args.join(' ')}`, { execID: id })
      let io: Io
      try {
        io = await (entry.exec.spec.tty || options.detach
          ? startMonitored(room, entry, options)
          : startDirect(room, entry))
      } catch (error) {
        if (entry.exec.exitCode === undefined) over(room, entry, 126)
        throw error
      }
      entry.begun.resolve()
      // Nobody listens, but somebody has to read.
      if (options.detach) io.close()
      return io
    },
    getExec: (id) => {
      const exec = entries.get(id)?.exec
      return exec && ctx.records.byId(exec.containerId) ? exec : undefined
    },
    execIds: (containerId) =>
      [...entries.values()].flatMap(({ exec }) => (exec.containerId === containerId && exec.running ? [exec.id] : [])),
    waitExec: (id) => must(id).ended.promise,
    async resizeExec(id, size) {
      const entry = must(id)
      // A client may ask as soon as it is answered: the program starts after that.
      await Promise.race([entry.begun.promise, ctx.clock.sleep(readyMs)])
      await resize(entry, size)
    },
  }
}

/** What a client sees of a program that could not be started: the reason, as docker sends it. */
const failed = (message: string): Io => {
  const output = new OutputBuffer()
  output.push({ stream: 'stdout', data: Buffer.from(`${message}\r\n`) })
  output.end()
  return { tty: true, output, stdin: undefined, resize: async () => {}, close: () => output.leave() }
}
