import type { Readable } from 'node:stream'

/** Reads a request or response to its end. Throws what `tooLarge` makes when there is more than `limit` bytes. */
export const readBody = async (stream: Readable, limit: number, tooLarge: () => Error): Promise<Buffer> => {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw tooLarge()
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)
}
