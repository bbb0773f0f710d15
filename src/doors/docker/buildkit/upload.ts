/** A context that the client pipes in: moby.upload.v1.Upload, named by a URL on the host 'buildkit-session'. */
import { Readable } from 'node:stream'
import { BytesMessage } from './messages.ts'
import type { Session } from './session.ts'

export const uploadUrl = 'http://buildkit-session/'

export const isUpload = (context: string | undefined): context is string => context?.startsWith(uploadUrl) === true

export const uploaded = (session: Session, context: string, signal: AbortSignal): Readable => {
  const { pathname, host } = new URL(context)
  const stream = session.client.open('/moby.upload.v1.Upload/Pull', { urlpath: pathname, urlhost: host }, signal)
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for await (const message of stream.messages()) yield BytesMessage.decode(message).data
  }
  const data = Readable.from(chunks(), { objectMode: false })
  data.once('close', () => stream.cancel())
  return data
}
