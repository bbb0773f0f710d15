import { once } from 'node:events'
import type { ApiServer } from '../../../cluster/types.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { PodLogOptions } from '../../../spec/kube/client.ts'
import type { Exchange } from '../exchange.ts'
import { badRequest } from '../refusals.ts'
import { chooseContainer, isScheduled, podForStream } from './pod.ts'

const number = (query: URLSearchParams, key: string, minimum: number): number | undefined => {
  const text = query.get(key)
  if (text === null || text === '') return undefined
  if (!/^-?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`)
  if (Number(text) < minimum) {
    throw badRequest(
      `PodLogOptions "" is invalid: ${key}: Invalid value: ${text}: must be greater than or equal to ${minimum}`,
    )
  }
  return Number(text)
}
const flag = (query: URLSearchParams, key: string): boolean => /^(|1|t|true)$/i.test(query.get(key) ?? 'false')

const optionsOf = (query: URLSearchParams): Omit<PodLogOptions, 'container' | 'signal'> => ({
  follow: flag(query, 'follow'),
  previous: flag(query, 'previous'),
  timestamps: flag(query, 'timestamps'),
  tailLines: number(query, 'tailLines', 0),
  sinceSeconds: number(query, 'sinceSeconds', 1),
  sinceTime: query.get('sinceTime') || undefined,
  limitBytes: number(query, 'limitBytes', 1),
})

/** After this long without a line the answer begins, so that a follower knows it is connected. In ms. */
const beginAfter = 200

/** GET …/pods/NAME/log: plain text, each piece sent as it comes. */
export const serveLogs = async (
  api: ApiServer,
  exchange: Exchange,
  key: { namespace: string; name: string },
  clock: Clock,
): Promise<void> => {
  const { response, query, user, signal } = exchange
  const options = optionsOf(query)
  const pod = await podForStream(api, user, key, 'log')
  const container = chooseContainer(pod, query.get('container') || undefined)
  const begin = (): void => {
    if (response.headersSent) return
    response.writeHead(200, { 'cache-control': 'no-cache, private', 'content-type': 'text/plain' })
    response.flushHeaders()
  }
  if (isScheduled(pod)) {
    const chunks = api
      .nodes()
      .logs(pod, { ...options, container, signal })
      [Symbol.asyncIterator]()
    let next = chunks.next()
    // What fails at once (no such container run yet) is answered as a Status, so the header waits for the first piece.
    await Promise.race([next, clock.sleep(beginAfter)])
    begin()
    try {
      for (let piece = await next; !piece.done; piece = await next) {
        if (!response.write(piece.value)) await once(response, 'drain', { signal })
        next = chunks.next()
      }
    } finally {
      await chunks.return?.()
    }
  }
  begin()
  response.end()
}
