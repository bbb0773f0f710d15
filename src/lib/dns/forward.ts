import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Clock } from '../clock.ts'
import { emptyAnswer, isResponse, isTruncated, questionOf, rcodeOf, readdressed, timeToLive } from './wire.ts'

interface Forwarder {
  /** The answer of the first server that has one; SERVFAIL when none has. Never rejects. */
  forward(query: Buffer, servers: readonly string[]): Promise<Buffer>
}

const tryMs = [1200, 1800]
const mostCached = 4096
const longestTtl = 300
/** Negative answers: pods ask for names that are about to exist. */
const longestNegativeTtl = 5

/**
 * Asks other servers, remembers answers by their time to live, and asks once for what many want at the same time. Each
 * question leaves from a port of its own with a random id.
 */
export const createForwarder = (clock: Clock): Forwarder => {
  const cache = new Map<string, { response: Buffer; storedAt: number; until: number }>()
  const pending = new Map<string, Promise<Buffer | undefined>>()

  const remember = (key: string, response: Buffer): void => {
    const rcode = rcodeOf(response)
    const ttl = timeToLive(response)
    if ((rcode !== 0 && rcode !== 3) || ttl === undefined || ttl === 0) return
    const negative = rcode === 3 || response.readUInt16BE(6) === 0
    const seconds = Math.min(ttl, negative ? longestNegativeTtl : longestTtl)
    if (cache.size >= mostCached) cache.delete(cache.keys().next().value!)
    cache.set(key, { response, storedAt: clock.now(), until: clock.now() + seconds * 1000 })
  }

  const ask = async (query: Buffer, servers: readonly string[], key: string): Promise<Buffer | undefined> => {
    let refused: Buffer | undefined
    for (const timeoutMs of tryMs) {
      for (const server of servers) {
        let response = await askUdp(query, server, timeoutMs)
        if (response && isTruncated(response)) response = (await askTcp(query, server, timeoutMs)) ?? response
        if (!response) continue
        const rcode = rcodeOf(response)
        if (rcode === 0 || rcode === 3) {
          remember(key, response)
          return response
        }
        refused ??= response
      }
      if (refused) return refused
    }
    return undefined
  }

  return {
    async forward(query, servers) {
      const question = questionOf(query)
      if (!question || servers.length === 0) return emptyAnswer(query, question ? 2 : 1)
      // Everything behind the question (EDNS options, the DO bit) and the flags change the answer.
      const key = `${servers.join()} ${question.name} ${question.type} ${question.class} ${query.toString('latin1', 2, 4)} ${query.toString('latin1', question.end)}`
      const known = cache.get(key)
      if (known && known.until > clock.now())
        return readdressed(known.response, query, Math.floor((clock.now() - known.storedAt) / 1000))
      if (known) cache.delete(key)
      let asking = pending.get(key)
      if (!asking) {
        asking = ask(query, servers, key).finally(() => pending.delete(key))
        pending.set(key, asking)
      }
      const response = await asking
      return response ? readdressed(response, query, 0) : emptyAnswer(query, 2, 0)
    },
  }
}

const withId = (query: Buffer): Buffer => {
  const copy = Buffer.from(query)
  copy.writeUInt16BE(randomInt(65536), 0)
  return copy
}

const matches = (response: Buffer, query: Buffer): boolean => {
  if (response.length < 12 || !isResponse(response) || response.readUInt16BE(0) !== query.readUInt16BE(0)) return false
  const asked = questionOf(query)!
  const answered = questionOf(response)
  return answered !== undefined && answered.name === asked.name && answered.type === asked.type
}

/** "10.0.0.1" or "10.0.0.1#5353". */
const endpointOf = (server: string): { host: string; port: number } => {
  const [host = '', port] = server.split('#')
  return { host, port: port === undefined ? 53 : Number(port) }
}

const askUdp = (original: Buffer, server: string, timeoutMs: number): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const query = withId(original)
    const { host, port } = endpointOf(server)
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    let done = false
    const finish = (response: Buffer | undefined): void => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.close()
      resolve(response)
    }
    const timer = setTimeout(finish, timeoutMs, undefined)
    socket.on('error', () => finish(undefined))
    socket.on('message', (response) => {
      if (matches(response, query)) finish(response)
    })
    // Connected: answers of others never arrive, and a closed port is an error at once.
    socket.connect(port, host, (error?: Error) => (error ? finish(undefined) : !done && socket.send(query)))
  })

const askTcp = (original: Buffer, server: string, timeoutMs: number): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const query = withId(original)
    const socket = connect(endpointOf(server))
    const chunks: Buffer[] = []
    const finish = (response: Buffer | undefined): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(response)
    }
    const timer = setTimeout(finish, timeoutMs, undefined)
    socket.on('error', () => finish(undefined))
    socket.on('close', () => finish(undefined))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      const all = Buffer.concat(chunks)
      if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) return
      const response = all.subarray(2, 2 + all.readUInt16BE(0))
      finish(matches(response, query) ? response : undefined)
    })
    const length = Buffer.alloc(2)
    length.writeUInt16BE(query.length)
    socket.write(Buffer.concat([length, query]))
  })
