/** A small client of the Docker Engine API on a unix socket. */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type ErrorCode, SlipwayError } from '../../errors.ts'
import { type IncomingMessage, requestOnSocket } from '../../lib/http/node.ts'
import { linesOf } from '../../lib/lines.ts'
import { type TakenOver, takeOver } from './streams.ts'

export interface EngineCall {
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | undefined
  /** undefined and '' are left out; lists stand several times. */
  query?: Record<string, string | boolean | readonly string[] | undefined> | undefined
  headers?: Record<string, string> | undefined
  /** JSON, or a stream of bytes. */
  body?: object | Readable | undefined
  signal?: AbortSignal | undefined
}
/** A line of a progress stream (docker's jsonmessage). */
export interface EngineLine {
  id?: string
  status?: string
  stream?: string
  /** A bar as text, for those that draw none themselves. */
  progress?: string
  progressDetail?: { current?: number; total?: number }
  aux?: unknown
}
export interface EngineClient {
  /** The answer's JSON. */
  json<T>(path: string, call?: EngineCall): Promise<T>
  /** Every line as it comes; an error among them is thrown. */
  lines(path: string, call: EngineCall, each: (line: EngineLine) => void): Promise<void>
  /** The answer's bytes. */
  stream(path: string, call?: EngineCall): Promise<IncomingMessage>
  /** A connection that is taken over for a container's streams. */
  takeOver(path: string, call?: Pick<EngineCall, 'query' | 'body'>): Promise<TakenOver>
}

const version = 'v1.50'

export const createEngineClient = (socketPath: string): EngineClient => {
  const open = async (path: string, call: EngineCall): Promise<IncomingMessage> => {
    const answer = await send(socketPath, `/${version}${path}${queryOf(call.query)}`, call)
    if (answer.statusCode! < 400) return answer
    throw refusal(answer.statusCode!, await textOf(answer))
  }
  return {
    json: async <T>(path: string, call: EngineCall = {}) => {
      const text = await textOf(await open(path, call))
      return (text.trim() === '' ? undefined : JSON.parse(text)) as T
    },
    stream: (path, call = {}) => open(path, call),
    takeOver: (path, call = {}) =>
      takeOver(socketPath, `/${version}${path}${queryOf(call.query)}`, call.body, async (answer) =>
        refusal(answer.statusCode!, await textOf(answer)),
      ),
    async lines(path, call, each) {
      const answer = await open(path, call)
      try {
        for await (const text of linesOf(answer)) {
          if (text.trim() === '') continue
          const line = JSON.parse(text) as EngineLine & { error?: string }
          if (line.error !== undefined) throw new SlipwayError('internal', line.error)
          each(line)
        }
      } catch (error) {
        throw interrupted(error, call.signal)
      }
      if (!answer.complete) throw interrupted(undefined, call.signal)
    },
  }
}

const send = (socketPath: string, path: string, call: EngineCall): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const { body, signal } = call
    const streamed = body !== undefined && 'pipe' in body
    const type = body === undefined ? {} : { 'Content-Type': streamed ? 'application/x-tar' : 'application/json' }
    const method = call.method ?? 'GET'
    const req = requestOnSocket(
      // A connection each: one whose upload was refused, or whose answer nobody reads to the end, is no good for another.
      { socketPath, path, method, agent: false, headers: { ...type, ...call.headers }, ...(signal && { signal }) },
      resolve,
    )
    req.on('error', (cause) => reject(interrupted(cause, signal)))
    if (!streamed) req.end(body === undefined ? undefined : JSON.stringify(body))
    // An answer may come before all is sent: a refusal, which says more than the broken pipe.
    else pipeline(body as Readable, req).catch((error: unknown) => req.destroyed || req.destroy(error as Error))
  })

const interrupted = (cause: unknown, signal: AbortSignal | undefined): SlipwayError => {
  if (cause instanceof SlipwayError) return cause
  if (signal?.aborted) return new SlipwayError('cancelled', 'canceled', { cause })
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new SlipwayError('unavailable', `cannot talk to the slipway daemon${why}`, {
    cause,
    hint: 'Is it running? See: slipway daemon status',
  })
}

const queryOf = (query: EngineCall['query']): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    for (const each of Array.isArray(value) ? (value as string[]) : [value])
      if (each !== undefined && each !== '' && each !== false) search.append(name, each === true ? '1' : String(each))
  const text = search.toString()
  return text === '' ? '' : `?${text}`
}

const textOf = async (answer: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

const codes: Record<number, ErrorCode> = {
  400: 'bad-request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  409: 'conflict',
  429: 'too-many-requests',
  501: 'unsupported',
  503: 'unavailable',
}

/** The message carries the hint on a line of its own already; where it comes from is said as docker does. */
const refusal = (status: number, body: string): SlipwayError => {
  let message = body.trim()
  try {
    message = (JSON.parse(body) as { message?: string }).message ?? message
  } catch {
    // not ours: shown as it is
  }
  return new SlipwayError(
    codes[status] ?? 'internal',
    `Error response from daemon: ${message.trim() || `status ${status}`}`,
  )
}
