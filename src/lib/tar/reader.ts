import type { TarEntry } from './entry.ts'
import { type TarLimits, TarParser } from './parser.ts'

export interface ReadMember {
  entry: TarEntry
  /** The content; holes of sparse files come as zeros. What is not read is skipped when the next member is asked for. */
  body: AsyncIterable<Buffer>
}

type Event = { entry: TarEntry } | { chunk: Buffer; position: number } | { end: TarEntry }

const zeros = Buffer.alloc(64 * 1024)

/** The members of an archive, one after the other, as the source gives them. 'invalid' for a damaged archive. */
export async function* readTar(source: AsyncIterable<Uint8Array>, limits: TarLimits = {}): AsyncGenerator<ReadMember> {
  const events = readEvents(source, limits)
  try {
    let next = await events.next()
    while (!next.done) {
      const event = next.value
      if (!('entry' in event)) {
        next = await events.next() // what the consumer did not read
        continue
      }
      yield { entry: event.entry, body: bodyOf(event.entry, events) }
      next = await events.next()
    }
  } finally {
    await events.return(undefined)
  }
}

async function* bodyOf(entry: TarEntry, events: AsyncGenerator<Event>): AsyncGenerator<Buffer> {
  let at = 0
  const holes = function* (to: number): Generator<Buffer> {
    for (; at < to; at += Math.min(zeros.length, to - at)) yield zeros.subarray(0, Math.min(zeros.length, to - at))
  }
  for (;;) {
    const next = await events.next()
    if (next.done || !('chunk' in next.value)) break
    yield* holes(next.value.position)
    at += next.value.chunk.length
    yield next.value.chunk
  }
  yield* holes(entry.size)
}

async function* readEvents(source: AsyncIterable<Uint8Array>, limits: TarLimits): AsyncGenerator<Event> {
  let events: Event[] = []
  const parser = new TarParser(
    {
      entry: (entry) => events.push({ entry }),
      data: (chunk, position) => events.push({ chunk, position }),
      end: (entry) => events.push({ end: entry }),
    },
    limits,
  )
  for await (const chunk of source) {
    let damage: unknown
    try {
      parser.push(chunk)
    } catch (error) {
      damage = error
    }
    const ready = events
    events = []
    // What came before the damage is told first: how an archive begins does not depend on how much is read at once.
    yield* ready
    if (damage !== undefined) throw damage
    // The rest is read and dropped, so that whoever writes the stream is not left hanging.
  }
  parser.finish()
}
