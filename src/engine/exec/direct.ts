import { closeSync, fstatSync, readSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { OciProcess } from '../../spec/oci/index.ts'
import type { Child } from '../../sys/sys.ts'
import type { Context } from '../containers/context.ts'
import type { ContainerRecord } from '../containers/records.ts'
import { configText } from '../runtime/config.ts'
import { runtimeMessage } from '../runtime/monitor.ts'
import { OutputBuffer } from '../runtime/output.ts'
import { endingWords, endsWithin, execFailure } from './process.ts'

/** How long output may still trickle in from children that outlive the program. */
const graceMs = 200

interface DirectExec {
  pid: number
  output: OutputBuffer
  stdin: Writable | undefined
  exited: Promise<number>
  /** Kills the program and what it has started. */
  kill(): void
}

/** How the runtime's own last words begin; it says them on the program's stderr, besides in its log. */
const runtimeWords = /^(executable file `|open executable: |chdir `|exec `)/

/** It says a few things at most. */
const mostHeld = 4

/** Keeps back what looks like the runtime's words until it is known whose they were. */
export class HeldBack {
  readonly output: OutputBuffer
  readonly #held: Buffer[] = []
  #holds = true

  constructor(output: OutputBuffer) {
    this.output = output
  }

  push(data: Buffer): void {
    const begin = data.toString('latin1', 0, 32)
    this.#holds &&= this.#held.length < mostHeld && (runtimeWords.test(begin) || endingWords.test(begin))
    if (this.#holds) this.#held.push(data)
    else {
      this.release()
      this.output.push({ stream: 'stderr', data })
    }
  }
  /** They were the program's. */
  release(): void {
    for (const data of this.#held.splice(0)) this.output.push({ stream: 'stderr', data })
  }
}

const pump = (stream: Readable | undefined, push: (data: Buffer) => void): Promise<void> =>
  new Promise((resolve) => {
    if (!stream) return resolve()
    stream.on('data', push)
    stream.on('error', () => resolve())
    stream.on('close', () => resolve())
    stream.on('end', () => resolve())
  })

/** Waits for the ends of the pipes; a child left behind may hold them open, so not for ever. */
const drained = async (ctx: Context, ends: Promise<unknown>, output: OutputBuffer): Promise<void> => {
  let over = false
  void ends.then(() => {
    over = true
  })
  // While a slow reader holds it up there is still something to come.
  do await Promise.race([ends, ctx.clock.sleep(graceMs)])
  while (!over && output.full)
}

interface DirectOptions {
  stdin: boolean
  stdout: boolean
  stderr: boolean
}

/** The fast way, without a monitor: the runtime is our child and its standard streams are pipes to us. */
export const execDirect = async (
  ctx: Context,
  record: ContainerRecord,
  process: OciProcess,
  options: DirectOptions,
): Promise<DirectExec> => {
  const runtime = await ctx.sys.processes.ociRuntime()
  const { files, processes } = ctx.sys
  const document = files.inMemory(Buffer.from(configText(process)))
  // What the runtime itself has to say goes to a file, so that stderr is the program's alone.
  const log = files.inMemory(Buffer.alloc(0))
  const own = [`--root=${ctx.paths.oci}`, '--log=/proc/self/fd/4', '--log-format=json']
  const streams = (['stdin', 'stdout', 'stderr'] as const).map((name) => (options[name] ? 'pipe' : 'ignore'))
  const child = processes.spawn(
    [...runtime.enter, runtime.path, ...own, 'exec', '--process', '/proc/self/fd/3', record.id],
    { env: runtime.env, fds: [...streams, document, log] },
  )
  closeSync(document)
  const output: OutputBuffer = new OutputBuffer({
    full: () => [child.stdout, child.stderr].forEach((stream) => void stream?.pause()),
    drained: () => [child.stdout, child.stderr].forEach((stream) => void stream?.resume()),
  })
  child.stdin?.on('error', () => {})
  const stderr = new HeldBack(output)
  const ends = Promise.all([
    pump(child.stdout, (data) => output.push({ stream: 'stdout', data })),
    pump(child.stderr, (data) => stderr.push(data)),
  ])
  const exited = finish(ctx, record, process, child, log, ends, stderr)
  exited.catch(() => {})
  return { pid: child.pid, output, stdin: child.stdin, exited, kill: () => killTree(ctx, child) }
}

const finish = async (
  ctx: Context,
  record: ContainerRecord,
  process: OciProcess,
  child: Child,
  log: number,
  ends: Promise<unknown>,
  stderr: HeldBack,
): Promise<number> => {
  const { output } = stderr
  try {
    const { code } = await child.exited
    await drained(ctx, ends, output)
    const failure = code === 0 ? '' : contentOf(log)
    if (failure.trim() === '') {
      stderr.release()
      // The runtime's own end, when the container took the program along before it could be waited for.
      return code === 255 && (await endsWithin(ctx, record, 100)) ? 137 : code
    }
    const { exitCode, message } = await execFailure(ctx, record, process, messageIn(failure))
    output.push({ stream: 'stdout', data: Buffer.from(`${message}\r\n`) })
    return exitCode
  } finally {
    output.end()
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy()
    closeSync(log)
  }
}

const contentOf = (fd: number): string => {
  const content = Buffer.alloc(fstatSync(fd).size)
  return content.toString('utf8', 0, readSync(fd, content, 0, content.length, 0))
}

/** Lines of {"msg": …, "level": …}. */
const messageIn = (log: string): string => {
  const last = log.trim().split('\n').at(-1)!
  try {
    return (JSON.parse(last) as { msg: string }).msg
  } catch {
    return runtimeMessage(last)
  }
}

/** The runtime passes no SIGKILL on: the program is its child, and dies by our hand. */
const killTree = (ctx: Context, child: Child): void => {
  const { descendants, kill } = ctx.sys.processes
  for (const pid of descendants(child.pid)) kill(pid, 'SIGKILL')
  child.kill('SIGKILL')
}
