import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { ApiResponse } from '../../cluster/types.ts'
import { statusOf } from '../../spec/kube/status.ts'

type Events = Extract<ApiResponse, { kind: 'watch' }>['events']

/** Streams watch events as lines of JSON, each flushed at once; waits for a slow client. Returns when the watch has ended. */
export const streamWatch = async (
  response: ServerResponse,
  events: Events,
  contentType: string,
  signal: AbortSignal,
): Promise<void> => {
  response.writeHead(200, { 'cache-control': 'no-cache, private', 'content-type': contentType })
  response.flushHeaders()
  const write = async (event: { type: string; object: unknown }): Promise<void> => {
    if (!response.write(JSON.stringify(event) + '\n')) await once(response, 'drain', { signal })
  }
  try {
    for await (const event of events) {
      if (signal.aborted) break
      await write(event)
    }
  } catch (error) {
    // Begun already: what went wrong can only be told as an event.
    if (!signal.aborted) await write({ type: 'ERROR', object: statusOf(error) })
  } finally {
    if (!response.destroyed) response.end()
  }
}
