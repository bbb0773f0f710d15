import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import { request as requestSecurely } from 'node:https'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { createFakeCluster } from '../../../test/fake-cluster.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import type { Endpoint } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { createIngress } from './index.ts'

interface App {
  server: Server
  address: string
  requests: { url: string; headers: Record<string, unknown>; body: string }[]
}
const port = 20000 + (process.pid % 20000)

/** Applications differ by their loopback address, as pods do. */
const startApp = async (t: TestContext, address: string, delayMs = 0): Promise<App> => {
  const requests: App['requests'] = []
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.on('data', (chunk) => (body += chunk))
    incoming.on('end', () => {
      requests.push({ url: incoming.url!, headers: incoming.headers, body })
      setTimeout(() => response.end(`${address} ${body}`), delayMs)
    })
  })
  server.on('upgrade', (_incoming, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
    socket.pipe(socket)
  })
  server.listen(port, address)
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { server, address, requests }
}

const setUp = async (t: TestContext) => {
  const cluster = createFakeCluster()
  const put = (addresses: Record<string, Endpoint['conditions']>): void =>
    cluster.put(kinds.EndpointSlice, {
      metadata: { name: 'web-x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port, protocol: 'TCP' }],
      endpoints: Object.entries(addresses).map(([address, conditions]) => ({
        addresses: [address],
        conditions: conditions ?? {},
        targetRef: { kind: 'Pod', uid: `uid-${address}` },
      })),
    })
  cluster.put(kinds.Service, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { ports: [{ name: 'http', port: 80 }] },
  })
  const ingress = createIngress({
    informers: cluster.informers,
    client: cluster.client,
    log: silentLog,
    clock: systemClock,
    nodeAddress: '127.0.0.1',
    ports: { http: [0], https: [0] },
  })
  await ingress.start()
  t.after(() => ingress.close())
  assert.equal(ingress.ports(), undefined, 'no port is taken without an Ingress')
  const rules = [
    {
      host: 'web.example',
      http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }] },
    },
  ]
  cluster.put(kinds.Ingress, { metadata: { name: 'web', namespace: 'shop' }, spec: { rules } })
  while (!cluster.informers.of(kinds.Ingress).get('shop', 'web')?.status) await new Promise((go) => setTimeout(go, 5))
  return { cluster, ingress, put, http: ingress.ports()!.http, https: ingress.ports()!.https }
}

const ask = async (
  toPort: number,
  options: { path?: string; host?: string; method?: string; body?: string; headers?: Record<string, string> } = {},
) => {
  const outgoing = request({
    port: toPort,
    host: '127.0.0.1',
    path: options.path ?? '/',
    method: options.method ?? 'GET',
    headers: { host: options.host ?? 'web.example', ...options.headers },
  })
  outgoing.end(options.body)
  const [response] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode as number, text }
}

test('requests: body, forwarded headers, status, unknown host, nobody ready', async (t) => {
  const { cluster, put, http, https } = await setUp(t)
  const app = await startApp(t, '127.1.0.1')
  assert.equal((await ask(http)).status, 503)
  put({ '127.1.0.1': {} })
  const headers = { 'x-forwarded-for': '6.6.6.6', 'x-custom': 'kept', connection: 'x-secret', 'x-secret': 'between us' }
  const answer = await ask(http, { method: 'POST', body: 'hello', path: '/a/../b?c', headers })
  assert.deepEqual(answer, { status: 200, text: '127.1.0.1 hello' })
  const seen = app.requests[0]!
  assert.equal(seen.url, '/a/../b?c')
  assert.equal(seen.headers['x-forwarded-for'], '127.0.0.1')
  assert.equal(seen.headers['x-forwarded-proto'], 'http')
  assert.equal(seen.headers['x-forwarded-port'], String(http))
  assert.equal(seen.headers.host, 'web.example')
  assert.equal(seen.headers['x-custom'], 'kept')
  assert.equal(seen.headers['x-secret'], undefined)
  assert.equal((await ask(http, { host: 'nope.example' })).status, 404)
  const status = cluster.informers.of(kinds.Ingress).get('shop', 'web')!.status
  assert.deepEqual(status?.loadBalancer?.ingress?.[0], {
    ip: '127.0.0.1',
    ports: [
      { port: http, protocol: 'TCP' },
      { port: https, protocol: 'TCP' },
    ],
  })
})

test('an endpoint that cannot be reached is passed over, and removed ones get nothing more', async (t) => {
  const { put, http, ingress } = await setUp(t)
  const app = await startApp(t, '127.1.0.1')
  const other = await startApp(t, '127.1.0.2')
  put({ '127.1.0.1': {}, '127.1.0.2': {}, '127.1.0.9': {} })
  for (let i = 0; i < 9; i++) assert.equal((await ask(http, { method: 'POST', body: 'x' })).status, 200)
  assert.ok(app.requests.length > 2 && other.requests.length > 2)
  put({ '127.1.0.1': { ready: false, serving: true, terminating: true }, '127.1.0.2': {} })
  await ingress.drained('uid-127.1.0.1')
  const before = app.requests.length
  for (let i = 0; i < 4; i++) await ask(http)
  assert.equal(app.requests.length, before)
})

test('drained waits for what is under way', async (t) => {
  const { put, http, ingress } = await setUp(t)
  await startApp(t, '127.1.0.1', 150)
  put({ '127.1.0.1': {} })
  const slow = ask(http)
  await new Promise((go) => setTimeout(go, 50))
  put({})
  let drained = false
  const waiting = ingress.drained('uid-127.1.0.1').then(() => (drained = true))
  await new Promise((go) => setTimeout(go, 30))
  assert.equal(drained, false)
  assert.equal((await slow).status, 200)
  await waiting
})

test('an application restarted behind kept connections: no request fails', async (t) => {
  const { put, http } = await setUp(t)
  const first = await startApp(t, '127.1.0.3')
  put({ '127.1.0.3': {} })
  assert.equal((await ask(http)).status, 200)
  first.server.close()
  first.server.closeAllConnections()
  await startApp(t, '127.1.0.3')
  assert.equal((await ask(http)).status, 200)
})

test('upgrades go both ways; TLS has a certificate of last resort', async (t) => {
  const { put, http, https } = await setUp(t)
  await startApp(t, '127.1.0.1')
  put({ '127.1.0.1': {} })
  const socket = connect(http, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('GET /ws HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  const [head] = await once(socket, 'data')
  assert.match(String(head), /^HTTP\/1\.1 101 /)
  socket.write('ping')
  assert.equal(String((await once(socket, 'data'))[0]), 'ping')

  const outgoing = requestSecurely({
    port: https,
    host: '127.0.0.1',
    servername: 'web.example',
    headers: { host: 'web.example' },
    rejectUnauthorized: false,
  })
  outgoing.end()
  const [response] = await once(outgoing, 'response')
  assert.equal(response.statusCode, 200)
  assert.match(String((response.socket as TLSSocket).getPeerCertificate().subject.CN), /default certificate/)
})
