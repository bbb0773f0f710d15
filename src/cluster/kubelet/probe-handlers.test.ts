import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { after, test } from 'node:test'
import type { Probe } from '../../spec/kube/generated/types.ts'
import { container } from './fixture.ts'
import { attempt, httpProbe, type ProbeOutcome } from './probe-handlers.ts'

const closers: (() => void)[] = []
after(() => {
  for (const close of closers) close()
})
const listen = async (server: Server): Promise<number> => {
  closers.push(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
const serve = (listener: RequestListener): Promise<number> => listen(createServer(listener))
const get = (port: number, path = '/', more: object = {}): Promise<ProbeOutcome> =>
  httpProbe('127.0.0.1', container(), { port, path, ...more }, 500)
const probed = (probe: Probe): Promise<ProbeOutcome> =>
  attempt(
    { containerId: 'id', container: container(), podIP: () => '127.0.0.1', exec: async () => assert.fail() },
    probe,
    500,
    new AbortController().signal,
  )

test('HTTP: 2xx and 3xx are good; redirects on the same host are followed', async () => {
  const port = await serve((request, response) => {
    const [, status, to] = /^\/(\d+)(?:\/(.*))?/.exec(request.url!)!
    response.writeHead(Number(status), to ? { location: decodeURIComponent(to) } : {}).end()
  })
  assert.deepEqual(await get(port, '/200'), { ok: true, output: 'HTTP probe failed with statuscode: 200' })
  assert.equal((await get(port, '/399')).ok, true)
  assert.deepEqual(await get(port, '/503'), { ok: false, output: 'HTTP probe failed with statuscode: 503' })
  assert.equal((await get(port, '/302/%2F500')).ok, false)
  assert.equal((await get(port, `/302/${encodeURIComponent('http://elsewhere.test/')}`)).ok, true)
  assert.equal((await get(port, '302/%2F302')).ok, true) // round in circles: enough is enough
})

test('HTTP: headers, and nobody waits longer than the timeout', async () => {
  let agent: string | undefined
  const port = await serve((request, response) => {
    agent = `${request.headers['user-agent']} ${request.headers.host} ${request.headers['x-a']}`
    if (request.url === '/ok') response.end()
  })
  await get(port, '/ok', {
    httpHeaders: [
      { name: 'Host', value: 'web.test' },
      { name: 'X-A', value: 'b' },
    ],
  })
  assert.equal(agent, 'kube-probe/1.33 web.test b')
  const late = await get(port, '/never')
  assert.match(late.output, /context deadline exceeded/)
  assert.equal(late.ok, false)
})

test('TCP', async () => {
  const port = await serve(() => {})
  assert.equal((await probed({ tcpSocket: { port } })).ok, true)
  const refused = await probed({ tcpSocket: { port: 1 } })
  assert.equal(refused.ok, false)
  assert.match(refused.output, /^dial tcp 127\.0\.0\.1:1: /)
})

test('gRPC health: serving or not, by service', async () => {
  const server = createHttp2()
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const service = Buffer.concat(chunks).subarray(7).toString()
      const unknown = service === 'unknown' || headers[':path'] !== '/grpc.health.v1.Health/Check'
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': unknown ? '5' : '0' }))
      stream.end(unknown ? '' : Buffer.from([0, 0, 0, 0, 2, 8, service === 'down' ? 2 : 1]))
    })
  })
  const port = await listen(server)
  assert.equal((await probed({ grpc: { port } })).ok, true)
  assert.equal((await probed({ grpc: { port, service: 'web' } })).ok, true)
  assert.match((await probed({ grpc: { port, service: 'down' } })).output, /responded with status 2/)
  assert.match((await probed({ grpc: { port, service: 'unknown' } })).output, /grpc-status 5/)
  assert.match((await probed({ grpc: { port: 1 } })).output, /failed to connect/)
})
