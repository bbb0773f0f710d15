import { availableParallelism } from 'node:os'
import { Readable } from 'node:stream'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { SlipwayError } from '../../../errors.ts'
import { cancelled } from '../../../lib/cancel.ts'
import { gzipLanes } from '../../../lib/gzip.ts'
import { Semaphore } from '../../../lib/semaphore.ts'
import type { SpecialFiles } from '../../../sys/sys.ts'
import type { FromWorker, LayerJob, LayerResults, SpecialAnswer } from './protocol.ts'
import { performSpecial } from './special.ts'
import { fromWire, wireError } from './wire-error.ts'

interface JobOptions {
  signal?: AbortSignal | undefined
  /** Bytes for a job that reads from the port. */
  input?: AsyncIterable<Uint8Array> | undefined
  /** Takes the chunks of a job that writes to the port; the job goes on when the promise resolves. */
  output?: ((chunk: Buffer) => Promise<void>) | undefined
  /** Told of a file that is written how large it is by now. */
  grew?: ((bytes: number) => void) | undefined
}

const idleMs = 10_000
// A compiled release has no .ts files.
const entry = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** Threads for layers: as many jobs at once as there are processors (at least three: a push packs that many layers), the rest wait. Idle threads end. */
export class LayerPool {
  readonly #files: SpecialFiles
  readonly #slots: Semaphore
  /** Of all threads together. */
  readonly #compressing = new Semaphore(gzipLanes)
  #idle: { worker: Worker; timer: NodeJS.Timeout }[] = []
  #all = new Set<Worker>()

  constructor(files: SpecialFiles, size = Math.min(4, Math.max(3, availableParallelism()))) {
    this.#files = files
    this.#slots = new Semaphore(size)
  }

  /** An abort ends the thread at once: what it was making is left as it is and is the caller's to delete. */
  run<Job extends LayerJob>(job: Job, options: JobOptions = {}): Promise<LayerResults[Job['op']]> {
    return this.#slots.run(async () => {
      if (options.signal?.aborted) throw cancelled(options.signal)
      const worker = this.#take()
      try {
        const result = await this.#perform(worker, job, options)
        this.#give(worker)
        return result as LayerResults[Job['op']]
      } catch (error) {
        if (this.#all.has(worker) && error instanceof SlipwayError && error.code !== 'cancelled' && !options.input)
          this.#give(worker)
        else await this.#end(worker)
        throw error
      }
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => this.#end(worker)))
  }

  #perform(worker: Worker, job: LayerJob, options: JobOptions): Promise<unknown> {
    const { port1: port, port2: workerPort } = new MessageChannel()
    const { port1: answers, port2: workerAnswers } = new MessageChannel()
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const { signal } = options
    return new Promise<unknown>((resolve, reject) => {
      const onAbort = (): void => finish(() => reject(cancelled(signal!)))
      const onError = (error: unknown): void => finish(() => reject(error))
      const onExit = (): void => finish(() => reject(new SlipwayError('cancelled', 'layer worker ended')))
      const finish = (settle: () => void): void => {
        signal?.removeEventListener('abort', onAbort)
        worker.off('error', onError).off('exit', onExit)
        feed?.stop()
        turns.over()
        port.close()
        answers.close()
        settle()
      }
      const feed = options.input ? feeder(port, options.input, onError) : undefined
      const turns = lend(this.#compressing, port)
      port.on('message', (message: FromWorker) => {
        if ('special' in message) {
          const answer = this.#answer(message.special)
          answers.postMessage(answer)
          Atomics.store(flag, 0, 1)
          Atomics.notify(flag, 0)
        } else if ('chunk' in message) {
          const chunk = Buffer.from(message.chunk.buffer, message.chunk.byteOffset, message.chunk.byteLength)
          options.output?.(chunk).then(() => port.postMessage({ credit: 1 }), onError)
        } else if ('credit' in message) feed?.more(message.credit)
        else if ('turn' in message) turns[message.turn === 'wanted' ? 'ask' : 'back']()
        else if ('grew' in message) options.grew?.(message.grew)
        else if ('failed' in message) finish(() => reject(fromWire(message.failed)))
        else finish(() => resolve(message.done))
      })
      worker.on('error', onError).on('exit', onExit)
      signal?.addEventListener('abort', onAbort, { once: true })
      worker.postMessage({ job, port: workerPort, answers: workerAnswers, flag }, [workerPort, workerAnswers])
    })
  }

  #answer(special: Parameters<typeof performSpecial>[1]): SpecialAnswer {
    try {
      return { ok: true, xattrs: performSpecial(this.#files, special) }
    } catch (error) {
      return { ok: false, error: wireError(error) }
    }
  }

  #take(): Worker {
    const idle = this.#idle.pop()
    if (idle) {
      clearTimeout(idle.timer)
      idle.worker.ref()
      return idle.worker
    }
    const worker = new Worker(entry)
    this.#all.add(worker)
    return worker
  }

  #give(worker: Worker): void {
    worker.unref()
    const timer = setTimeout(() => {
      this.#idle = this.#idle.filter((idle) => idle.worker !== worker)
      void this.#end(worker)
    }, idleMs)
    timer.unref()
    this.#idle.push({ worker, timer })
  }

  async #end(worker: Worker): Promise<void> {
    this.#all.delete(worker)
    this.#idle = this.#idle.filter((idle) => idle.worker !== worker)
    await worker.terminate()
  }
}

/** Turns that a worker asks for; what it has of them when its job is over comes back. */
const lend = (turns: Semaphore, port: MessagePort) => {
  const over = new AbortController()
  const held: (() => void)[] = []
  const hold = async (): Promise<void> => {
    const back = new Promise<void>((resolve) => held.push(resolve))
    port.postMessage({ turn: 'yours' })
    await back
  }
  return {
    ask: () => void turns.run(hold, over.signal).catch(() => {}), // nobody waits for it any more
    back: () => held.shift()?.(),
    over: () => {
      over.abort()
      for (const back of held) back()
    },
  }
}

interface Feeder {
  more(credit: number): void
  stop(): void
}

/** Sends the input's chunks, never more than the worker has asked for. Stopped early, it destroys the input. */
const feeder = (port: MessagePort, input: AsyncIterable<Uint8Array>, fail: (error: unknown) => void): Feeder => {
  let credit = 0
  let wake: (() => void) | undefined
  let state: 'running' | 'ended' | 'stopped' = 'running'
  const run = async (): Promise<void> => {
    for await (const chunk of input) {
      while (credit === 0 && state === 'running') await new Promise<void>((resolve) => (wake = resolve))
      if (state === 'stopped') return
      credit--
      const copy = new Uint8Array(chunk)
      port.postMessage({ chunk: copy }, [copy.buffer])
    }
    state = 'ended'
    port.postMessage({ end: true })
  }
  run().catch((error: unknown) => {
    if (state === 'running') fail(error)
  })
  return {
    more(granted) {
      credit += granted
      wake?.()
    },
    stop() {
      if (state !== 'running') return
      state = 'stopped'
      wake?.()
      if (input instanceof Readable) input.destroy()
    },
  }
}
