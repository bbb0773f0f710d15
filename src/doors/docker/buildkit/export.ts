/** Results sent to the client: moby.filesync.v1.FileSend, as one stream of bytes or as a directory with fsutil's packets. */
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { type FileTree, type WalkedFile, walkTrees } from '../../../build/index.ts'
import { SlipwayError } from '../../../errors.ts'
import { encodeName } from '../../../lib/tar/index.ts'
import type { GrpcStream, Metadata } from './client.ts'
import { goMode } from './file-mode.ts'
import { BytesMessage, Packet, packetTypes } from './messages.ts'
import type { Session } from './session.ts'

const method = '/moby.filesync.v1.FileSend/DiffCopy'
const chunkSize = 256 * 1024

const openSend = (session: Session, exporter: number, metadata: Metadata, signal: AbortSignal): GrpcStream => {
  if (!session.serves(method)) throw new SlipwayError('precondition', 'method FileSend not supported by the client')
  return session.client.open(method, { 'buildkit-attachable-exporter-id': String(exporter), ...metadata }, signal)
}

/** Returns the number of bytes. */
export const sendStream = async (
  session: Session,
  exporter: number,
  data: Readable,
  metadata: Record<string, string>,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<void> => {
  const headers = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`exporter-md-${key}`, value]))
  const stream = openSend(session, exporter, headers, signal)
  // The client answers only at the end, or with an error.
  const answered = drain(stream)
  let refused = false
  answered.catch(() => {
    refused = true
    data.destroy()
  })
  let sent = 0
  try {
    for await (const chunk of data as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += chunkSize)
        await stream.send(BytesMessage.encode({ data: chunk.subarray(at, at + chunkSize) }))
      sent += chunk.length
      progress(sent)
    }
    stream.end()
  } catch (error) {
    throw await better(error, refused, answered, stream)
  }
  await answered
}

const drain = async (stream: GrpcStream): Promise<void> => {
  for await (const _ of stream.messages());
}

/** The whole of the trees: the client writes it over what it has. Owners are left out, as the client is not root. */
export const sendTrees = async (
  session: Session,
  exporter: number,
  trees: readonly FileTree[],
  time: bigint | undefined,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<void> => {
  const stream = openSend(session, exporter, {}, signal)
  const sender = new Sender(stream, progress)
  const answers = sender.answer()
  let refused = false
  answers.catch(() => {
    refused = true
    stream.cancel()
  })
  try {
    for (const file of walkTrees(trees)) await sender.tell(file, time)
    await stream.send(Packet.encode({ type: packetTypes.stat }))
  } catch (error) {
    throw await better(error, refused, answers, stream)
  }
  await answers
}

/** What stopped a sending: the client's reason if it was the first to stop, else our own. */
const better = async (
  error: unknown,
  refused: boolean,
  answered: Promise<unknown>,
  stream: GrpcStream,
): Promise<unknown> => {
  stream.cancel()
  const reason = await answered.then(
    () => undefined,
    (why: unknown) => why,
  )
  return refused && reason !== undefined ? reason : error
}

class Sender {
  readonly #stream: GrpcStream
  /** Where each file's data is, by id; undefined for what has no data. */
  readonly #files: (string | undefined)[] = []
  readonly #progress: (bytes: number) => void
  #sent = 0

  constructor(stream: GrpcStream, progress: (bytes: number) => void) {
    this.#stream = stream
    this.#progress = progress
  }

  /** Entries in the order clients check: each name after its parent, siblings bytewise with '/' below everything. */
  async tell({ path, absolute, stat, link, target }: WalkedFile, time: bigint | undefined): Promise<void> {
    this.#files.push(stat.isFile() ? absolute : undefined)
    await this.#stream.send(
      Packet.encode({
        type: packetTypes.stat,
        stat: {
          path,
          mode: goMode(Number(stat.mode)),
          uid: Number(stat.uid),
          gid: Number(stat.gid),
          size: stat.isFile() && link === undefined ? Number(stat.size) : 0,
          modTime: time ?? stat.mtimeNs,
          linkname: target ?? link ?? '',
          devmajor: Number((stat.rdev >> 8n) & 0xfffn),
          devminor: Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n)),
        },
      }),
    )
  }

  /** Serves the client's requests until it has all it wants. */
  async answer(): Promise<void> {
    for await (const message of this.#stream.messages()) {
      const { type, ID, data } = Packet.decode(message)
      if (type === packetTypes.request) await this.#file(ID)
      else if (type === packetTypes.error)
        throw new SlipwayError('internal', `error from receiver: ${Buffer.from(data).toString()}`)
      else if (type === packetTypes.fin) {
        await this.#stream.send(Packet.encode({ type: packetTypes.fin }))
        this.#stream.end()
      }
    }
  }

  async #file(id: number): Promise<void> {
    const path = this.#files[id]
    if (path === undefined) throw new SlipwayError('bad-request', `invalid file id ${id}`)
    const file = await open(encodeName(path))
    try {
      const buffer = Buffer.alloc(chunkSize)
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkSize)
        if (bytesRead === 0) break
        await this.#stream.send(
          Packet.encode({ type: packetTypes.data, ID: id, data: Buffer.from(buffer.subarray(0, bytesRead)) }),
        )
        this.#sent += bytesRead
        this.#progress(this.#sent)
      }
    } finally {
      await file.close()
    }
    await this.#stream.send(Packet.encode({ type: packetTypes.data, ID: id }))
  }
}
