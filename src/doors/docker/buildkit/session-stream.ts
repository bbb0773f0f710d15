/**
 * moby.buildkit.v1.Control/Session: how BuildKit's own clients (buildctl, by `docker buildx dial-stdio`) open a session: the
 * connection on which they serve is a call of the API, whose messages are its bytes.
 */
import type * as http2 from 'node:http2'
import { Duplex } from 'node:stream'
import { SlipwayError } from '../../../errors.ts'
import type { Arrivals } from './arrivals.ts'
import { frameOf, Unframer } from './frames.ts'
import { BytesMessage } from './messages.ts'
import type { Methods } from './server.ts'
import { type Session, sessionOf } from './session.ts'

export const sessionStream = (sessions: Arrivals<Session>): Methods => ({
  '/moby.buildkit.v1.Control/Session': {
    converse: async (headers, stream, begin) => {
      const session = sessionOf(headers, () => {
        begin()
        return bytesOf(stream)
      })
      if (sessions.has(session.id)) throw new SlipwayError('already-exists', `session ${session.id} already exists`)
      sessions.add(session.id, session)
      await new Promise<void>((closed) => session.client.onClose(closed))
      sessions.remove(session.id, session)
    },
  },
})

/** The bytes inside the messages of a call, both ways. */
const bytesOf = (stream: http2.ServerHttp2Stream): Duplex => {
  const unframer = new Unframer()
  const duplex = new Duplex({
    read: () => void stream.resume(),
    write: (chunk: Buffer, _encoding, done) =>
      void stream.write(frameOf(BytesMessage.encode({ data: chunk })), () => done()),
    final: (done) => done(),
    destroy(error, done) {
      stream.close()
      done(error)
    },
  })
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const message of unframer.push(chunk))
        if (!duplex.push(Buffer.from(BytesMessage.decode(message).data))) stream.pause()
    } catch (error) {
      duplex.destroy(error as Error)
    }
  })
  stream.once('end', () => duplex.push(null))
  stream.once('close', () => duplex.destroy())
  return duplex
}
