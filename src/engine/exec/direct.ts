import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { messageOf } from '../../errors.ts'
import type { OciProcess } from '../../spec/oci/index.ts'
import type { Child } from '../../sys/sys.ts'
import type { Context } from '../containers/context.ts'
import type { ContainerRecord } from '../containers/records.ts'
import { configText } from '../runtime/config.ts'
import { runtimeMessage } from '../runtime/monitor.ts'
import { OutputBuffer } from '../runtime/output.ts'
import { execFailure } from './process.ts'

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

/** Keeps back what looks like the runtime's words until it is known whose they were. */
class HeldBack {
  readonly output: OutputBuffer
  #held: Buffer | undefined
  #first = true

  constructor(output: OutputBuffer) {
    this.output = output
  }

  push(data: Buffer): void {
    const looksLike = this.#first && runtimeWords.test(data.toString('latin1', 0, 32))
    this.#first = false
    if (looksLike) this.#held = data
    else {
      this.release()
      this.output.push({ stream: 'stderr', data })
    }
  }
  /** They were the program's. */
  release(): void {
    if (this.#held) this.output.push({ stream: 'stderr', data: this.#held })
    this.#held = undefined
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
  const dir = join(ctx.instance.runDir, 'execs', randomBytes(8).toString('hex'))
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  writeFileSync(join(dir, 'process.json'), configText(process), { mode: 0o600 })
  // What the runtime itself has to say goes to a file, so that stderr is the program's alone.
  const own = [`--root=${ctx.paths.oci}`, `--log=${join(dir, 'log')}`, '--log-format=json']
  const child = ctx.sys.processes.spawn(
    [...runtime.enter, runtime.path, ...own, 'exec', '--process', join(dir, 'process.json'), record.id],
    {
      env: runtime.env,
      fds: [options.stdin ? 'pipe' : 'ignore', options.stdout ? 'pipe' : 'ignore', options.stderr ? 'pipe' : 'ignore'],
    },
  )
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
  const exited = finish(ctx, record, process.args[0]!, child, dir, ends, stderr)
  exited.catch(() => {})
  return { pid: child.pid, output, stdin: child.stdin, exited, kill: () => killTree(ctx, child) }
}

const finish = async (
  ctx: Context,
  record: ContainerRecord,
  program: string,
  child: Child,
  dir: string,
  ends: Promise<unknown>,
  stderr: HeldBack,
): Promise<number> => {
  const { output } = stderr
  try {
    const { code } = await child.exited
    await drained(ctx, ends, output)
    const failure = code === 0 ? '' : readFileSync(join(dir, 'log'), { encoding: 'utf8', flag: 'a+' })
    if (failure.trim() === '') {
      stderr.release()
      return code
    }
    const { exitCode, message } = execFailure(ctx, record, program, messageIn(failure))
    output.push({ stream: 'stdout', data: Buffer.from(`${message}\r\n`) })
    return exitCode
  } finally {
    output.end()
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy()
    // Nobody has to wait for that; a recovering daemon removes what is left.
    void rm(dir, { recursive: true, force: true }).catch((error: unknown) =>
      ctx.log.warn('an exec leaves its files', { dir, error: messageOf(error) }),
    )
  }
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
