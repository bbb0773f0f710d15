/** Blobs in a directory on the client's machine: containerd.services.content.v1.Content on its session. */
import type { ContentStore } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Metadata } from './client.ts'
import {
  ContentInfoRequest,
  ContentInfoResponse,
  ReadContentRequest,
  ReadContentResponse,
  WriteContentRequest,
  WriteContentResponse,
  writeActions,
} from './messages.ts'
import type { Session } from './session.ts'
import { StatusError } from './status.ts'

const service = '/containerd.services.content.v1.Content'
const chunkSize = 1024 * 1024

/** `id` is what the client calls the store: 'export', or 'local:' and the directory. */
export const sessionStore = (session: Session, id: string, signal: AbortSignal): ContentStore => {
  const metadata: Metadata = { 'buildkit-attachable-store-id': id }
  const serve = (): void => {
    if (!session.serves(`${service}/Read`)) throw new SlipwayError('precondition', 'no content store in the session')
  }
  const has = async (digest: string): Promise<boolean> => {
    try {
      const types = [ContentInfoRequest, ContentInfoResponse] as const
      await session.client.unary(`${service}/Info`, types, { digest }, signal, metadata)
      return true
    } catch (error) {
      if (error instanceof StatusError && error.code === 'not-found') return false
      throw error
    }
  }
  return {
    async *read(digest) {
      serve()
      const stream = session.client.open(`${service}/Read`, metadata, signal)
      try {
        await stream.send(ReadContentRequest.encode({ digest }))
        stream.end()
        for await (const message of stream.messages()) yield ReadContentResponse.decode(message).data
      } finally {
        stream.cancel()
      }
    },
    async write({ digest, size }, data) {
      serve()
      if (await has(digest)) return
      const stream = session.client.open(`${service}/Write`, metadata, signal)
      const answers = stream.messages()
      const next = async (): Promise<void> => {
        const answer = await answers.next()
        if (answer.done) throw new SlipwayError('unavailable', `writing ${digest} ended early`)
        WriteContentResponse.decode(answer.value)
      }
      try {
        const about = { ref: `slipway-${digest}`, total: size, expected: digest }
        let offset = 0
        await stream.send(WriteContentRequest.encode({ action: writeActions.stat, ...about }))
        await next()
        for await (const chunk of data())
          for (let at = 0; at < chunk.length; at += chunkSize) {
            const piece = chunk.subarray(at, at + chunkSize)
            await stream.send(WriteContentRequest.encode({ action: writeActions.write, ...about, offset, data: piece }))
            offset += piece.length
            await next()
          }
        await stream.send(WriteContentRequest.encode({ action: writeActions.commit, ...about, offset }))
        await next()
        stream.end()
      } catch (error) {
        // Somebody else has written it meanwhile.
        if (!(error instanceof StatusError && error.code === 'already-exists')) throw error
      } finally {
        stream.cancel()
      }
    },
  }
}
