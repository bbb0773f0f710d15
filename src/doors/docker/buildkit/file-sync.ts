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
import { frameOf, Unframer } from './frames.ts'
import { Packet, packetTypes, type Stat } from './messages.ts'
import type { Session } from './session.ts'

const method = '/moby.filesync.v1.FileSync/DiffCopy'
const mostEntries = 5_000_000
/** So much less than what is still to come is not waited for. */
const fewBytes = 16 * 1024

/** `name` is what the client calls it: 'context', 'dockerfile' or a named context. */
export const remoteDirectory = (session: Session, name: string): RemoteDirectory => ({
  key: `${session.sharedKey}:${name}`,
  open({ exclude, follow, before }, signal) {
    if (!session.serves(method)) throw new SlipwayError('precondition', 'no local sources enabled')
    const metadata = { 'dir-name': [name], 'exclude-patterns': exclude, followpaths: follow ?? [] }
    const { client } = session
    return new Transfer(client.open(method, encoded(metadata), signal), before, () => client.rest(1))
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

/** Bytes that come in many small pieces. */
class Collected {
  #bytes = Buffer.allocUnsafeSlow(64 * 1024)
  size = 0

  add(piece: Uint8Array): void {
    if (this.size + piece.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (this.size + piece.length))
      larger.set(this.bytes())
      this.#bytes = larger
    }
    this.#bytes.set(piece, this.size)
    this.size += piece.length
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.size)
  }
}

type Sink = (chunk: Uint8Array | undefined) => void

class Transfer implements RemoteTransfer {
  readonly same: Promise<boolean>
  readonly #stream: GrpcStream
  readonly #rest: () => void
  readonly entries = new AsyncQueue<RemoteEntry[]>(mostEntries)
  readonly #sinks = new Map<number, Sink>()
  readonly #done: Promise<void>
  readonly #before: Buffer
  /** How much of `before` has been told again; beyond that nothing has come while this is undefined. */
  #matched = 0
  #unframer: Unframer | undefined
  #decide: (same: boolean) => void = () => {}
  /** The stream of messages up to the end of the entries; undefined when nobody will ask for it. */
  readonly #told: Collected | undefined
  #count = 0
  #asked = 0
  #finishing = false

  constructor(stream: GrpcStream, before: Uint8Array | undefined, rest: () => void) {
    this.#stream = stream
    this.#rest = rest
    this.#before = before ? Buffer.from(before.buffer, before.byteOffset, before.length) : Buffer.alloc(0)
    this.#told = before && new Collected()
    this.same = new Promise((resolve) => {
      this.#decide = resolve
    })
    if (this.#before.length === 0) this.#differ()
    this.#done = this.#stream
      .receive((chunk) => this.#take(chunk))
      .then(() => this.#stream.end())
      .catch((error: unknown) => {
        this.#decide(false)
        this.entries.close(error)
        throw error
      })
    this.#done.catch(() => {}) // seen by finish()
  }

  known(): RemoteEntry[] {
    return new Unframer().push(this.#before).flatMap((message, id) => {
      const { stat } = Packet.decode(message)
      return stat ? [entryOf(stat as Stat, id)] : []
    })
  }

  told(): Uint8Array {
    return this.#told && this.#told.size > 0 ? this.#told.bytes() : this.#before
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

  /** True when the client has said its last. */
  #take(chunk: Buffer): boolean {
    if (!this.#unframer) {
      const end = this.#matched + chunk.length
      if (end <= this.#before.length && chunk.compare(this.#before, this.#matched, end) === 0) {
        this.#matched = end
        if (end + fewBytes < this.#before.length) this.#rest()
        if (end === this.#before.length) {
          this.#unframer = new Unframer()
          this.#decide(true)
        }
        return false
      }
      this.#differ()
    }
    return this.#messages(this.#unframer!.push(chunk))
  }

  #differ(): void {
    this.#decide(false)
    this.#unframer = new Unframer()
    this.#messages(this.#unframer.push(this.#before.subarray(0, this.#matched)))
  }

  #messages(messages: readonly Buffer[]): boolean {
    const batch: RemoteEntry[] = []
    let [ended, over] = [false, false]
    for (const message of messages) {
      const { type, stat, ID, data } = Packet.decode(message)
      if (type === packetTypes.stat) {
        this.#told?.add(frameOf(message))
        if (stat) batch.push(entryOf(stat as Stat, this.#count++))
        else ended = true
      } else if (type === packetTypes.data) this.#data(ID, data)
      else if (type === packetTypes.error) throw new SlipwayError('internal', `error from sender: ${data.toString()}`)
      else if (type === packetTypes.fin) over = true
    }
    if (this.#count > mostEntries) throw new SlipwayError('invalid', 'the build context has too many files')
    if (batch.length > 0) this.entries.push(batch)
    if (ended) this.entries.close()
    return over
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
