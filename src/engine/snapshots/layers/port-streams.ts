import type { MessagePort } from 'node:worker_threads'
import type { Turn } from '../../../lib/gzip.ts'
import { type ToWorker, window } from './protocol.ts'

/** Worker side: chunks the main thread sends, as they come; it is told how many more it may send. */
export async function* portSource(port: MessagePort): AsyncGenerator<Uint8Array> {
  const queue: ToWorker[] = []
  let wake: (() => void) | undefined
  port.on('message', (message: ToWorker) => {
    queue.push(message)
    wake?.()
  })
  port.postMessage({ credit: window })
  for (;;) {
    const message = queue.shift()
    if (!message) {
      await new Promise<void>((resolve) => (wake = resolve))
      continue
    }
    if (!('chunk' in message)) return
    port.postMessage({ credit: 1 })
    yield message.chunk
  }
}

/** Worker side: sends a chunk, which is the receiver's from then on, and waits while the main thread has not taken earlier ones. */
export const portSink = (port: MessagePort): ((chunk: Uint8Array) => Promise<void>) => {
  let credit = window
  let wake: (() => void) | undefined
  port.on('message', (message: ToWorker) => {
    if ('credit' in message) credit += message.credit
    wake?.()
  })
  return async (chunk) => {
    while (credit === 0) await new Promise<void>((resolve) => (wake = resolve))
    credit--
    // Given away where nothing else is in its memory: copying a whole layer is a tenth of the work.
    const { buffer, byteLength } = chunk
    port.postMessage({ chunk }, buffer.byteLength === byteLength ? [buffer as ArrayBuffer] : [])
  }
}

/** Worker side: a task runs when the main thread says so. */
export const portTurns = (port: MessagePort): Turn => {
  const waiting: (() => void)[] = []
  port.on('message', (message: ToWorker) => {
    if ('turn' in message) waiting.shift()?.()
  })
  return async (task) => {
    port.postMessage({ turn: 'wanted' })
    await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await task()
    } finally {
      port.postMessage({ turn: 'over' })
    }
  }
}
