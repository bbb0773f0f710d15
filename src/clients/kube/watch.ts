import type { IncomingMessage } from 'node:http'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { WatchEvent } from '../../spec/kube/client.ts'
import type { ObjectMetaHolder } from '../../spec/kube/kinds.ts'
import { errorOfStatus, type Status } from '../../spec/kube/status.ts'

/** The lines of a streamed answer, without their ends. */
async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  let parts: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end))
      yield Buffer.concat(parts).toString('utf8')
      parts = []
      from = end + 1
    }
    if (from < chunk.length) parts.push(chunk.subarray(from))
  }
}

/** Reads a watch to its end. Throws what an ERROR event stands for ('expired' when too old); ends quietly on abort. */
export async function* readWatch<T extends ObjectMetaHolder>(
  response: IncomingMessage,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  try {
    for await (const line of lines(response)) {
      if (line === '') continue
      const { type, object } = JSON.parse(line) as { type: string; object: T }
      if (type === 'ERROR') throw errorOfStatus(object as unknown as Status)
      if (type === 'BOOKMARK') yield { type, resourceVersion: object.metadata.resourceVersion! }
      else yield { type: type as 'ADDED' | 'MODIFIED' | 'DELETED', object }
    }
  } catch (error) {
    if (signal.aborted) return
    if (isError(error)) throw error
    throw new SlipwayError('unavailable', `the watch broke: ${messageOf(error)}`, { cause: error })
  } finally {
    response.destroy()
  }
}
