/**
 * Directories of the client: moby.filesync.v1.FileSync/DiffCopy with fsutil's packets. The client tells what it has (STAT, in
 * order, ended by one without a stat); we ask for files by their place in that list (REQ) and get their data (DATA, ended by
 * an empty one); FIN from us and then from the client ends it.
 */

import type { RemoteDirectory, RemoteEntry, RemoteTransfer } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { AsyncQueue } from '../../../lib/async-queue.ts'
import type { GrpcStream, Metadata } from './client.ts'
import { kindOf, permissionsOf } from './file-mode.ts'
import { Packet, packetTypes, type Stat } from './messages.ts'
import type { Session } from './session.ts'

const method = '/moby.filesync.v1.FileSync/DiffCopy'
const mostEntries = 5_000_000

/** `name` is what the client calls it: 'context', 'dockerfile' or a named context. */
export const remoteDirectory = (session: Session, name: string): RemoteDirectory => ({
  key: `${session.sharedKey}:${name}`,
  open({ exclude, follow }, signal) {
    if (!session.serves(method)) throw new SlipwayError('precondition', 'no local sources enabled')
    const metadata = { 'dir-name': [name], 'exclude-patterns': exclude, followpaths: follow ?? [] }
    return new Transfer(session.client.open(method, encoded(metadata), signal))
  },
})

/** Header values are ASCII; `-encoded` tells that they had to be escaped. */
const encoded = (metadata: Record<string, readonly string[]>): Metadata => {
  const out: Metadata = {}
  for (const [key, values] of Object.entries(metadata)) {
    if (values.length === 0) continue
    const plain = values.every((value) => /^[\x20-\x7e]*$/.test(value))
    out[key] = plain ? [...values] : values.map((value) => encodeURIComponent(value))
    if (!plain) out[`${key}-encoded`] = ['1']
  }
  return out
}

type Sink = (chunk: Uint8Array | undefined) => void

class Transfer implements RemoteTransfer {
  readonly entries: AsyncQueue<RemoteEntry[]>
  readonly #stream: GrpcStream
  readonly #sinks = new Map<number, Sink>()
  readonly #done: Promise<void>
  #asked = 0
  #finishing = false

  constructor(stream: GrpcStream) {
    this.#stream = stream
    this.entries = new AsyncQueue(mostEntries)
    this.#done = this.#receive().catch((error: unknown) => {
      this.entries.close(error)
      throw error
    })
    this.#done.catch(() => {}) // seen by finish()
  }

  read(entry: RemoteEntry, sink: Sink): void {
    this.#asked++
    this.#sinks.set(entry.id, sink)
    // Not waited for: a request is a few bytes.
    this.#send({ type: packetTypes.request, ID: entry.id })
  }

  async finish(): Promise<void> {
    this.#finishing = true
    this.#finishWhenDone()
    await this.#done
  }

  close(): void {
    this.#stream.cancel()
  }

  #send(packet: Parameters<typeof Packet.encode>[0]): void {
    this.#stream.send(Packet.encode(packet)).catch(() => {}) // #receive() fails as well, and says why
  }

  #finishWhenDone(): void {
    if (!this.#finishing || this.#asked > 0) return
    this.#finishing = false
    this.#send({ type: packetTypes.fin })
  }

  async #receive(): Promise<void> {
    let count = 0
    let ended = false
    for await (const messages of this.#stream.batches()) {
      const batch: RemoteEntry[] = []
      for (const message of messages) {
        const { type, stat, ID, data } = Packet.decode(message)
        if (type === packetTypes.stat && stat) batch.push(entryOf(stat as Stat, count++))
        else if (type === packetTypes.stat) ended = true
        else if (type === packetTypes.data) this.#data(ID, data)
        else if (type === packetTypes.error) throw new SlipwayError('internal', `error from sender: ${data.toString()}`)
        else if (type === packetTypes.fin) {
          this.#stream.end()
          return
        }
      }
      if (count > mostEntries) throw new SlipwayError('invalid', 'the build context has too many files')
      if (batch.length > 0) this.entries.push(batch)
      if (ended) this.entries.close()
    }
    throw new SlipwayError('unavailable', 'the transfer of files ended early')
  }

  #data(id: number, data: Uint8Array): void {
    const sink = this.#sinks.get(id)
    if (!sink) throw new SlipwayError('bad-request', `data of a file that was not asked for: ${id}`)
    if (data.length > 0) {
      sink(data)
      return
    }
    this.#sinks.delete(id)
    this.#asked--
    sink(undefined)
    this.#finishWhenDone()
  }
}

const entryOf = (stat: Stat, id: number): RemoteEntry => ({
  id,
  path: stat.path,
  kind: kindOf(stat.mode),
  mode: permissionsOf(stat.mode),
  size: stat.size,
  mtimeNs: stat.modTime,
  link: stat.linkname,
  xattrs: stat.xattrs,
})
