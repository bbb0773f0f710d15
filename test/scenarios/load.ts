/** A constant, bounded load of HTTP clients on this machine, and what became of each request. */
import { Agent, request } from 'node:http'

interface LoadOptions {
  url: string
  /** Clients that each ask one request after another. */
  clients: number
  /** Pause of a client between two requests, in ms. */
  pauseMs: number
  /** One connection a client, used again and again; else one a request. */
  keepAlive: boolean
  /** The load ends by itself after this long. */
  limitMs: number
}
interface Failure {
  startedAt: number
  endedAt: number
  error: string
}
export interface LoadResult {
  ok: number
  failures: Failure[]
  /** How often each body was seen. */
  bodies: Map<string, number>
  slowestMs: number
}

export const startLoad = (options: LoadOptions): { stop(): Promise<LoadResult>; so: () => LoadResult } => {
  const result: LoadResult = { ok: 0, failures: [], bodies: new Map(), slowestMs: 0 }
  const deadline = Date.now() + options.limitMs
  let stopped = false
  const client = async (): Promise<void> => {
    const agent = options.keepAlive ? new Agent({ keepAlive: true, maxSockets: 1 }) : new Agent({ keepAlive: false })
    while (!stopped && Date.now() < deadline) {
      const startedAt = Date.now()
      try {
        const { status, body } = await get(options.url, agent)
        if (status >= 500) throw new Error(`status ${status}: ${body.slice(0, 200)}`)
        result.ok++
        result.bodies.set(body, (result.bodies.get(body) ?? 0) + 1)
      } catch (error) {
        result.failures.push({
          startedAt,
          endedAt: Date.now(),
          error: error instanceof Error ? error.message : String(error),
        })
      }
      result.slowestMs = Math.max(result.slowestMs, Date.now() - startedAt)
      await new Promise((go) => setTimeout(go, options.pauseMs))
    }
    agent.destroy()
  }
  const clients = Promise.all(Array.from({ length: options.clients }, client))
  return {
    so: () => result,
    stop: async () => {
      stopped = true
      await clients
      return result
    },
  }
}

const get = (url: string, agent: Agent): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const req = request(url, { agent, timeout: 15_000 }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      res.on('error', reject)
    })
    req.on('timeout', () => req.destroy(new Error('no answer within 15 s')))
    req.on('error', reject)
    req.end()
  })
