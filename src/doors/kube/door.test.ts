import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { createApiServer } from '../../cluster/api/index.ts'
import { isError } from '../../errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { openDatabase } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import { ConfigMap } from '../../spec/kube/kinds.ts'
import { createKubeDoor, loadCertificates } from './index.ts'

const directory = mkdtempSync(join(tmpdir(), 'slipway-door-'))
const certificates = loadCertificates({ directory: join(directory, 'pki'), clock: systemClock })
const api = createApiServer({
  db: openDatabase(':memory:'),
  clock: systemClock,
  log: silentLog,
  options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: 'node' },
})
const seen: string[] = []
const watched: typeof api = {
  handle: (request) => {
    seen.push(`${request.user.name} ${request.verb} ${request.resource}`)
    return api.handle(request)
  },
  resources: () => api.resources(),
  client: (user) => api.client(user),
  connectNodes: (nodes) => api.connectNodes(nodes),
  nodes: () => api.nodes(),
  openapi: () => api.openapi(),
  statusOf: (error) => api.statusOf(error),
  close: () => api.close(),
}
const door = createKubeDoor({
  api: watched,
  log: silentLog,
  clock: systemClock,
  tls: certificates,
  verifyToken: async (token) =>
    token === 'good' ? { name: 'token-user', groups: ['system:authenticated'] } : undefined,
})
const socketPath = join(directory, 'kube.sock')
const { port, url } = await door.listen({ tcp: { host: '127.0.0.1', port: 0 }, socket: socketPath })
const client = api.client({ name: 'test', groups: ['system:masters', 'system:authenticated'] })
after(async () => {
  await door.close()
  await api.close()
  rmSync(directory, { recursive: true, force: true })
})

interface Asked {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  /** By TLS without a certificate, as the administrator, or by the unix socket. */
  as?: 'nobody' | 'admin' | 'local'
}
const open = async (
  path: string,
  { method = 'GET', headers = {}, body, as = 'local' }: Asked = {},
): Promise<IncomingMessage> => {
  const admin = as === 'admin' ? { cert: certificates.adminCert, key: certificates.adminKey } : {}
  const options = { method, path, headers, agent: false as const }
  const request =
    as === 'local'
      ? httpRequest({ ...options, socketPath })
      : httpsRequest({ ...options, host: '127.0.0.1', port, ca: certificates.ca, ...admin })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}
const ask = async (path: string, asked?: Asked) => {
  const response = await open(path, asked)
  const bytes = await buffer(response)
  const json = (): Record<string, never> => JSON.parse(bytes.toString()) as Record<string, never>
  return { code: response.statusCode, headers: response.headers, bytes, text: bytes.toString(), json }
}
const maps = '/api/v1/namespaces/default/configmaps'

test('who asks: certificate, token, socket, nobody, somebody else', async () => {
  const askers: [Asked, string][] = [
    [{ as: 'admin' }, 'kubernetes-admin'],
    [{ as: 'nobody', headers: { authorization: 'Bearer good' } }, 'token-user'],
    [{ as: 'local' }, 'system:admin'],
    [{ as: 'local', headers: { 'impersonate-user': 'bob', 'impersonate-group': ['ops', 'dev'] } }, 'bob'],
  ]
  for (const [asked, name] of askers) {
    seen.length = 0
    await ask(maps, asked)
    assert.equal(seen.at(-1), `${name} list configmaps`)
  }
  for (const headers of [{}, { authorization: 'Bearer bad' }]) {
    const refused = await ask(maps, { as: 'nobody', headers: headers as Record<string, string> })
    assert.equal(refused.code, 401)
    assert.equal(refused.json().reason, 'Unauthorized')
  }
  assert.equal((await ask('/livez', { as: 'nobody' })).text, 'ok')
  assert.equal((await ask(maps, { headers: { 'impersonate-group': 'ops' } })).code, 400)
  assert.equal(statSync(socketPath).mode & 0o777, 0o600)
})

test('what cannot be served is told in the words of Kubernetes', async () => {
  const unknown = await ask('/apis/none/v1/things')
  assert.deepEqual([unknown.code, unknown.text], [404, '404 page not found\n'])
  const missing = await ask(`${maps}/none`)
  assert.deepEqual([missing.code, missing.json().reason], [404, 'NotFound'])
  assert.equal((await ask(maps, { method: 'PUT', body: '{}' })).code, 405)
  assert.equal((await ask(maps, { headers: { accept: 'application/vnd.kubernetes.protobuf' } })).code, 406)
  assert.equal((await ask(maps, { method: 'POST', body: 'x', headers: { 'content-type': 'text/csv' } })).code, 415)
  assert.equal(
    (await ask(`${maps}/a`, { method: 'PATCH', body: '{}', headers: { 'content-type': 'application/json' } })).code,
    415,
  )
  assert.equal(
    (await ask(maps, { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } })).code,
    400,
  )
  assert.equal((await ask(`${maps}?limit=x`)).code, 400)
  assert.equal((await ask(`${maps}?dryRun=Some`, { method: 'POST', body: '{}' })).code, 400)
  const large = await ask(maps, { method: 'POST', body: Buffer.alloc(3 * 1024 * 1024 + 1, ' '), as: 'admin' })
  assert.deepEqual([large.code, large.json().reason], [413, 'RequestEntityTooLarge'])
})

test('bodies in JSON and YAML, answers in JSON and YAML, large ones compressed', async () => {
  const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {sure: "yes", when: 2020-01-01}\n'
  const made = await ask(maps, {
    method: 'POST',
    body: yaml,
    headers: { 'content-type': 'application/yaml' },
  })
  assert.equal(made.code, 201, made.text)
  const shown = await ask(`${maps}/from-yaml`, { headers: { accept: 'application/yaml' } })
  assert.match(shown.text, /when: ("|')?2020-01-01/)
  const data = { big: 'x'.repeat(200_000) }
  const big = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data }
  assert.equal((await ask(maps, { method: 'POST', body: JSON.stringify(big) })).code, 201)
  const zipped = await ask(`${maps}/big`, { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(zipped.headers['content-encoding'], 'gzip')
  assert.equal(JSON.parse(gunzipSync(zipped.bytes).toString()).data.big.length, 200_000)
  assert.equal(
    (await ask(`${maps}/from-yaml`, { headers: { 'accept-encoding': 'gzip' } })).headers['content-encoding'],
    undefined,
  )
})

test('discovery is cached by its ETag', async () => {
  const first = await ask('/apis')
  const etag = first.headers.etag!
  assert.equal((await ask('/apis', { headers: { 'if-none-match': etag } })).code, 304)
  assert.equal((await ask('/apis', { headers: { 'if-none-match': '"other"' } })).code, 200)
})

test('a watch sends each event at once and ends with its client; HTTP/2 carries many on one connection', async () => {
  const session = connectHttp2(url!, { ca: certificates.ca, cert: certificates.adminCert, key: certificates.adminKey })
  const events: string[] = []
  const streams = Array.from({ length: 20 }, (_, i) => {
    const stream = session.request({ ':path': `${maps}?watch=true&fieldSelector=metadata.name%3Dw${i}` })
    stream.on('data', (chunk: Buffer) => events.push(...chunk.toString().trim().split('\n')))
    return stream
  })
  await Promise.all(streams.map((stream) => once(stream, 'response')))
  for (let i = 0; i < 20; i++) {
    await client.create(ConfigMap, { metadata: { name: `w${i}`, namespace: 'default' } } as never)
  }
  for (let i = 0; i < 50 && events.length < 20; i++) await systemClock.sleep(10)
  const names = events.map(
    (line) => (JSON.parse(line) as { object: { metadata: { name: string } } }).object.metadata.name,
  )
  assert.equal(new Set(names).size, 20)
  for (const stream of streams) stream.close()
  assert.equal((await ask('/readyz')).text, 'ok')
  session.close()
  await once(session, 'close')
})

test('a watch with a time limit ends by itself', async () => {
  const begun = Date.now()
  await text(await open(`${maps}?watch=true&timeoutSeconds=1&resourceVersion=0`))
  assert.ok(Date.now() - begun >= 900)
})

test('an upgrade to something else is no upgrade', async () => {
  const asked = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAARAAAAAAAIAAAAA' }
  assert.equal((await ask('/livez', { headers: asked })).text, 'ok')
  assert.equal((await ask('/livez', { headers: asked, as: 'admin' })).text, 'ok')
})

test('more addresses may be listened on; one in use is a conflict; closing ends watches', async () => {
  const second = createKubeDoor({ api, log: silentLog, clock: systemClock, tls: certificates })
  await assert.rejects(second.listen({ tcp: { host: '127.0.0.1', port: port! } }), (e) => isError(e, 'conflict'))
  const one = await second.listen({ tcp: { host: '127.0.0.1', port: 0 } })
  const two = await second.listen({ tcp: { host: '127.0.0.2', port: one.port! } })
  assert.equal(two.url, `https://127.0.0.2:${one.port}`)
  const session = connectHttp2(one.url!, {
    ca: certificates.ca,
    cert: certificates.adminCert,
    key: certificates.adminKey,
  })
  session.on('error', () => {})
  const stream = session.request({ ':path': `${maps}?watch=true` })
  stream.on('error', () => {})
  await once(stream, 'response')
  stream.resume()
  const begun = Date.now()
  await second.close()
  assert.ok(Date.now() - begun < 1000, `closing took ${Date.now() - begun} ms`)
})
