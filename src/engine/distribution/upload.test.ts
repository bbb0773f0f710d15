/** Blobs that are sent while they are written, to registries of every temper. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { isError, SlipwayError } from '../../errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { parseReference, sha256 } from '../../spec/oci/index.ts'
import { createDistribution } from './index.ts'

const clock = { ...systemClock, sleep: async () => {} }
const distribution = createDistribution(clock)
after(() => distribution.close())

const MiB = 1 << 20
const blob = Buffer.from(Array.from({ length: 9 * MiB }, (_, i) => (i * 7919) % 251))
const whole = { digest: sha256(blob), size: blob.length }

type Handle = (request: IncomingMessage, response: ServerResponse, body: () => Promise<void>) => Promise<void> | void

/** A registry that keeps one upload; `handle` sees a request first and may answer it. */
const registry = async (handle: Handle = () => {}) => {
  const seen: string[] = []
  const state = { parts: [] as Buffer[], stored: undefined as Buffer | undefined }
  const received = (): Buffer => Buffer.concat(state.parts)
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const size = request.headers['content-length'] ?? 'stream'
    seen.push(`${request.method}${request.method === 'PATCH' ? ` ${request.headers['content-range'] ?? size}` : ''}`)
    const body = async (): Promise<void> => {
      for await (const chunk of request as AsyncIterable<Buffer>) state.parts.push(chunk)
    }
    await handle(request, response, body)
    if (response.writableEnded || response.destroyed) return
    await body()
    const url = new URL(request.url!, 'http://registry')
    const place = { Location: '/v2/repo/app/blobs/uploads/1', Range: `0-${received().length - 1}` }
    if (request.method === 'HEAD') response.writeHead(state.stored ? 200 : 404).end()
    else if (request.method === 'PUT') {
      assert.equal(url.searchParams.get('digest'), sha256(received()))
      state.stored = received()
      response.writeHead(201).end()
    } else response.writeHead(request.method === 'GET' ? 204 : 202, place).end()
  }
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, state, host: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** The blob as somebody writes it: `grow` adds to it. */
const growing = () => {
  let [size, read, failure] = [0, 0, undefined as unknown]
  const wake: (() => void)[] = []
  const tell = (): void => {
    for (const go of wake.splice(0)) go()
  }
  const reaches = async (bytes: number) => {
    while (failure === undefined && size < Math.min(bytes, blob.length)) await new Promise<void>((go) => wake.push(go))
    if (failure !== undefined) throw failure
    return { size, ...(size === blob.length && { whole }) }
  }
  return {
    grow: (bytes: number) => {
      size = Math.min(blob.length, size + bytes)
      tell()
    },
    fail: (error: unknown) => {
      failure = error
      tell()
    },
    read: () => read,
    /** The rest, no faster than it is read. */
    finish: async (): Promise<void> => {
      while (size < blob.length) {
        await until(() => read === size)
        size = Math.min(blob.length, size + MiB)
        tell()
      }
    },
    source: {
      reaches,
      async *bytes(start: number, end = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array> {
        for (let at = start; at < end; ) {
          const { size: there } = await reaches(at + 1)
          const piece = blob.subarray(at, Math.min(at + 64 * 1024, there, end))
          if (piece.length === 0) return
          yield piece
          at += piece.length
          read = Math.max(read, at)
        }
      },
    },
  }
}

const nothing = (): void => {}
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((go) => setTimeout(go, 2))
}
const uploads = (host: string, signal?: AbortSignal) =>
  distribution.write(parseReference(`${host}/repo/app:1`), [], { auth: {}, signal })

test('it is sent as it grows, in one request', async () => {
  const { seen, state, host } = await registry()
  const { grow, finish, source } = growing()
  grow(2 * MiB)
  const told: number[] = []
  const sent = uploads(host).putGrowing(source, [], (bytes) => told.push(bytes))
  await until(() => told.at(-1) === 2 * MiB)
  assert.equal(state.stored, undefined)
  await finish()
  assert.deepEqual(await sent, { result: 'uploaded' })
  assert.ok(state.stored!.equals(blob))
  assert.deepEqual(seen, ['POST', 'PATCH stream', 'PUT'])
})

test('one that is whole at once is asked for first', async () => {
  const { seen, state, host } = await registry()
  const { grow, source } = growing()
  grow(9 * MiB)
  state.stored = blob
  assert.deepEqual(await uploads(host).putGrowing(source, [], nothing), { result: 'exists' })
  assert.deepEqual(seen, ['HEAD'])
})

test('a connection that breaks costs what had not arrived', async () => {
  let breaks = 1
  const { seen, state, host } = await registry(async (request, response) => {
    if (request.method !== 'PATCH' || breaks-- <= 0) return
    for await (const chunk of request as AsyncIterable<Buffer>) {
      state.parts.push(chunk)
      if (Buffer.concat(state.parts).length > 3 * MiB) break
    }
    response.destroy()
  })
  const { grow, source } = growing()
  grow(5 * MiB)
  const sent = uploads(host).putGrowing(source, [], nothing)
  await until(() => seen.includes('GET'))
  grow(4 * MiB)
  await sent
  assert.ok(state.stored!.equals(blob))
  assert.match(
    seen.slice(seen.indexOf('GET') + 1).find((each) => each !== 'HEAD')!,
    new RegExp(`^PATCH [1-9]\\d*-${blob.length - 1}$`),
  )
})

test('what a registry has forgotten begins anew; what takes no streams gets it when its length is known', async () => {
  for (const [status, lost] of [
    [502, true],
    [411, false],
  ] as const) {
    const { seen, state, host } = await registry(async (request, response, body) => {
      if (request.method === 'GET') return void response.writeHead(404).end()
      if (request.method !== 'PATCH' || request.headers['content-length'] !== undefined) return
      await body()
      state.parts = []
      response.writeHead(status).end()
    })
    const { grow, finish, source } = growing()
    grow(2 * MiB)
    const sent = uploads(host).putGrowing(source, [], nothing)
    await until(() => seen.includes('PATCH stream'))
    await finish()
    await sent
    assert.ok(state.stored!.equals(blob))
    const again = lost ? ['GET', 'HEAD', 'POST'] : ['POST']
    assert.deepEqual(seen, ['POST', 'PATCH stream', ...again, `PATCH ${blob.length}`, 'PUT'])
  }
})

test('what the registry turns out to have is not sent to the end', async () => {
  const { seen, state, host } = await registry(async (request) => {
    // It takes its time over what it is sent.
    if (request.method === 'PATCH') await new Promise((go) => request.once('close', go))
  })
  const { grow, source } = growing()
  grow(2 * MiB)
  const sent = uploads(host).putGrowing(source, [], nothing)
  await until(() => seen.includes('PATCH stream'))
  state.stored = blob
  grow(7 * MiB)
  assert.deepEqual(await sent, { result: 'exists' })
  assert.deepEqual(seen, ['POST', 'PATCH stream', 'HEAD', 'DELETE'])
})

test('a registry that is slow is waited for', async () => {
  const taken: Buffer[] = []
  const { host } = await registry(async (request) => {
    if (request.method !== 'PATCH') return
    taken.push((request.read() as Buffer | null) ?? Buffer.alloc(0))
    await new Promise((go) => request.once('close', go))
  })
  const stop = new AbortController()
  const { grow, source, read } = growing()
  grow(8 * MiB)
  const sent = uploads(host, stop.signal).putGrowing(source, [], nothing)
  await until(() => taken.length > 0)
  for (let before = -1; before !== read(); ) {
    before = read()
    await new Promise((go) => setTimeout(go, 100))
  }
  // The rest is in the system's buffers of the two sockets.
  assert.ok(read() < 8 * MiB, `${read()} bytes were read for a server that takes none`)
  stop.abort()
  await assert.rejects(sent, (error) => isError(error, 'cancelled'))
})

test('a blob whose writing fails: the error is that, and nothing is tried again', async () => {
  const { seen, state, host } = await registry()
  const { grow, fail, source } = growing()
  grow(2 * MiB)
  const sent = uploads(host).putGrowing(source, [], nothing)
  await until(() => Buffer.concat(state.parts).length > MiB)
  fail(new SlipwayError('no-space', 'no space left on device'))
  await assert.rejects(sent, (error) => isError(error, 'no-space'))
  assert.deepEqual(seen, ['POST', 'PATCH stream'])
})

test('a token that has run out is renewed, and the stream sent again', async () => {
  let realm = ''
  let given = 0
  const { seen, state, host } = await registry((request, response) => {
    if (request.url!.startsWith('/token'))
      return void response.end(JSON.stringify({ token: `T${++given}`, expires_in: 300 }))
    const valid = request.method === 'PATCH' || request.method === 'PUT' ? 'Bearer T2' : 'Bearer T1'
    if (request.headers.authorization === valid) return
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${realm}"` }).end('{}')
  })
  realm = `http://${host}/token`
  const { grow, source } = growing()
  grow(2 * MiB)
  const sent = uploads(host).putGrowing(source, [], nothing)
  await until(() => seen.filter((each) => each.startsWith('PATCH')).length === 2)
  grow(7 * MiB)
  await sent
  assert.ok(state.stored!.equals(blob))
})
