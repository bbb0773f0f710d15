import { randomUUID } from 'node:crypto'
import { Agent, type IncomingMessage, request as send, type ServerResponse } from 'node:http'

const backend = new URL(process.env.BACKEND_URL ?? 'http://localhost:5000')
// One pool of connections to the backend, used again and again.
const agent = new Agent({ keepAlive: true, keepAliveMsecs: 10_000, maxSockets: 128, maxFreeSockets: 16 })

const mostBytes = 256 * 1024
const read = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size > mostBytes) throw new Error('the request is too large')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

/** Headers that concern one connection only. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'host', 'content-length'])
const forwarded = (headers: IncomingMessage['headers']): Record<string, string | string[]> =>
  Object.fromEntries(Object.entries(headers).filter(([name, value]) => value !== undefined && !hopByHop.has(name))) as Record<string, string | string[]>

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
}
const ask = (method: string, path: string, headers: Record<string, string | string[]>, body: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const upstream = send(
      {
        agent,
        host: backend.hostname,
        port: backend.port || 80,
        method,
        path,
        headers: { ...headers, host: backend.host, 'content-length': body.length },
        timeout: 15_000,
      },
      (response) => {
        read(response).then((answer) => resolve({ status: response.statusCode ?? 502, headers: response.headers, body: answer }), reject)
      },
    )
    upstream.on('timeout', () => upstream.destroy(new Error('the backend takes too long')))
    upstream.on('error', reject)
    upstream.end(body)
  })
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Passes a request on. A connection that breaks is tried again: reading is harmless, and an order carries a key by which
 * the backend recognises it.
 */
export const proxy = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const method = request.method ?? 'GET'
  const headers = forwarded(request.headers)
  if (method === 'POST') headers['idempotency-key'] ??= randomUUID()
  try {
    const body = await read(request)
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await ask(method, request.url ?? '/', headers, body)
        if (answer.status === 503 && attempt < 4) {
          await pause(100 * attempt)
          continue
        }
        response.writeHead(answer.status, { ...forwarded(answer.headers), 'content-length': answer.body.length })
        response.end(answer.body)
        return
      } catch (error) {
        if (attempt >= 5) throw error
        await pause(30 * 2 ** attempt)
      }
    }
  } catch (error) {
    const text = JSON.stringify({ error: `the backend does not answer: ${(error as Error).message}` })
    response.writeHead(502, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
    response.end(text)
  }
}
