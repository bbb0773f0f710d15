/** exec and attach, whatever protocol carries them. */
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { ExecSession } from '../../../spec/kube/client.ts'
import { failure, statusOf } from '../../../spec/kube/status.ts'

/** The client's ends of a program's streams. */
export interface CommandStreams {
  stdin: Readable | undefined
  stdout: Writable | undefined
  stderr: Writable | undefined
  onResize(listener: (size: { width: number; height: number }) => void): void
  /** Tells how it ended, after all output, and closes the connection. */
  finish(status: ExitStatus): Promise<void>
  /** Aborted when the client has gone. */
  signal: AbortSignal
}
/** What is said on the error channel: a Status, and its text for protocols older than v4. */
interface ExitStatus {
  succeeded: boolean
  status: unknown
  text: string
}

const exitStatus = ({ exitCode, message }: { exitCode: number; message?: string }): ExitStatus => {
  if (exitCode === 0) return { succeeded: true, status: { metadata: {}, status: 'Success' }, text: '' }
  const text = `command terminated with non-zero exit code: ${message ?? `exit code ${exitCode}`}`
  const status = {
    metadata: {},
    status: 'Failure',
    message: text,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  }
  return { succeeded: false, status, text }
}
/** The program could not be started, or its connection broke. */
const failedStatus = (error: unknown): ExitStatus => {
  const known = statusOf(error)
  const status =
    known.reason === 'InternalError' && !known.message.startsWith('Internal error occurred: ')
      ? failure(500, 'InternalError', `Internal error occurred: error executing command in container: ${known.message}`)
      : known
  return { succeeded: false, status, text: messageOf(error) }
}

/** Copies `from` to `to` and remembers whether it is waiting for more to come. */
class Pump {
  waiting = true
  readonly done: Promise<void>

  constructor(from: Readable | undefined, to: Writable | undefined) {
    this.done = from ? this.#run(from, to) : Promise.resolve()
    void this.done.then(() => {
      this.waiting = true
    })
  }

  async #run(from: Readable, to: Writable | undefined): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        this.waiting = false
        if (to && !to.destroyed) await new Promise<void>((sent) => to.write(chunk, () => sent()))
        this.waiting = true
      }
    } catch {
      // A stream that breaks has ended; how the program fares is told by its exit.
    }
  }
}

/** After the exit, output may still be on its way; a background child may hold the stream open for ever. In ms. */
const graceAfterExit = 1000

const drained = async (pumps: Pump[], clock: Clock, signal: AbortSignal): Promise<void> => {
  let ended = false
  const all = Promise.all(pumps.map((p) => p.done)).then(() => {
    ended = true
  })
  for (let quiet = 0; !ended && !signal.aborted && quiet < graceAfterExit; ) {
    await Promise.race([all, clock.sleep(100)])
    quiet = pumps.every((p) => p.waiting) ? quiet + 100 : 0
  }
}

/** Joins the client's streams to the program's until it has exited or the client has gone. */
export const serveCommand = async (
  streams: CommandStreams,
  start: () => Promise<ExecSession>,
  clock: Clock,
): Promise<void> => {
  const { signal } = streams
  let session: ExecSession
  try {
    session = await start()
  } catch (error) {
    await streams.finish(failedStatus(error))
    return
  }
  const gone = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  gone.catch(() => {})
  try {
    streams.onResize((size) => session.resize(size))
    if (streams.stdin && session.stdin) {
      // Fails when the program closes its input first, which is its right.
      pipeline(streams.stdin, session.stdin).catch(() => streams.stdin?.resume())
    }
    const pumps = [new Pump(session.stdout, streams.stdout), new Pump(session.stderr, streams.stderr)]
    const ending = session.exited.then(exitStatus, failedStatus)
    const status = await Promise.race([ending, gone])
    await drained(pumps, clock, signal)
    await streams.finish(status)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    session.close()
  }
}
