import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { after, test } from 'node:test'
import { isError } from '../../errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { mediaTypes, parseReference, sha256 } from '../../spec/oci/index.ts'
import { parseChallenges } from './challenge.ts'
import { createDistribution } from './index.ts'
import { originsOf } from './origins.ts'
import { retryAfter } from './patience.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-distribution-'))
after(() => rmSync(dir, { recursive: true }))

interface Seen {
  method: string
  url: string
  authorization: string | undefined
  range: string | undefined
}
/** A server on loopback; what it was asked is in `seen`. */
const serve = async (handle: (request: IncomingMessage, response: ServerResponse) => void) => {
  const seen: Seen[] = []
  const listener: RequestListener = (request, response) => {
    const { authorization, range } = request.headers
    seen.push({ method: request.method!, url: request.url!, authorization, range })
    handle(request, response)
  }
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, host: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}
/** Sleeps at once, and remembers for how long. */
const slept: number[] = []
const clock = { ...systemClock, sleep: async (ms: number) => void slept.push(ms) }
const distribution = createDistribution(clock)
after(() => distribution.close())
const read = (host: string, auth = {}) => distribution.read(parseReference(`${host}/repo/app:1`), { auth })
const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: {}, layers: [] })
const sendManifest = (response: ServerResponse) =>
  response.setHeader('Content-Type', mediaTypes.ociManifest).end(manifest)

test('a token is fetched with the credentials, used, and kept', async () => {
  let realm = ''
  const { seen, host } = await serve((request, response) => {
    if (request.url!.startsWith('/token')) return response.end(JSON.stringify({ access_token: 'T', expires_in: 300 }))
    if (request.headers.authorization === 'Bearer T') return sendManifest(response)
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${realm}",service="s, x",scope="ignored"` }).end()
  })
  realm = `http://${host}/token?a=b`
  const auth = { username: 'u', password: 'p:w' }
  assert.equal((await read(host, auth).manifest('1')).digest, sha256(manifest))
  await read(host, auth).manifest('1')
  const token = new URL(seen[1]!.url, 'http://x')
  assert.deepEqual(Object.fromEntries(token.searchParams), {
    a: 'b',
    service: 's, x',
    scope: 'repository:repo/app:pull',
    account: 'u',
  })
  assert.equal(seen[1]!.authorization, `Basic ${Buffer.from('u:p:w').toString('base64')}`)
  assert.deepEqual(
    seen.map((each) => each.url.split('?')[0]),
    ['/v2/repo/app/manifests/1', '/token', '/v2/repo/app/manifests/1', '/v2/repo/app/manifests/1'],
  )
  // Another user gets another token.
  await read(host, { username: 'v', password: 'x' }).manifest('1')
  assert.equal(seen.filter((each) => each.url.startsWith('/token')).length, 2)
})

test('what a token server has to say is said', async () => {
  let [realm, status, body] = ['', 401, '']
  const { host } = await serve((request, response) => {
    if (request.url!.startsWith('/token')) return response.writeHead(status).end(body)
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${realm}"` }).end()
  })
  realm = `http://${host}/token`
  const refused = (text: RegExp) => assert.rejects(read(host, { username: 'u' }).manifest('1'), text)
  await refused(/pull access denied/)
  body = '{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}'
  await refused(/^SlipwayError: unauthorized: incorrect username or password$/)
  ;[status, body] = [400, '{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}']
  await refused(/toomanyrequests: pull rate limit/)
  ;[status, body] = [200, '{}']
  await refused(/authorization server did not include a token in the response/)
})

test('no credentials go along with a redirect to another server', async () => {
  const blob = Buffer.from('blob')
  const storage = await serve((_, response) => response.end(blob))
  const registry = await serve((request, response) => {
    if (!request.headers.authorization) return response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end()
    response.writeHead(307, { Location: `http://${storage.host}/bucket/blob?signed=1` }).end()
  })
  const got = await read(registry.host, { username: 'u', password: 'p' }).smallBlob({
    mediaType: '',
    digest: sha256(blob),
    size: 4,
  })
  assert.deepEqual(got, blob)
  assert.ok(registry.seen[1]!.authorization)
  assert.deepEqual(storage.seen, [
    { method: 'GET', url: '/bucket/blob?signed=1', authorization: undefined, range: undefined },
  ])
  const loop = await serve((request, response) => response.writeHead(302, { Location: request.url! }).end())
  await assert.rejects(read(loop.host).manifest('1'), /too many redirects/)
})

const blob = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256))
const descriptor = { mediaType: mediaTypes.ociLayer, digest: sha256(blob), size: blob.length }

test('a download goes on where the connection broke', async () => {
  const { seen, host } = await serve((request, response) => {
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (from > 0) response.writeHead(206, { 'Content-Range': `bytes ${from}-${blob.length - 1}/${blob.length}` })
    const end = Math.min(blob.length, from + 120_000)
    response.write(blob.subarray(from, end), () =>
      setTimeout(() => (end === blob.length ? response.end() : response.destroy()), 20),
    )
  })
  const file = join(dir, 'resumed')
  await read(host).download(descriptor, file, () => {})
  assert.deepEqual(readFileSync(file), blob)
  assert.deepEqual(
    seen.map((each) => each.range),
    [undefined, 'bytes=120000-', 'bytes=240000-'],
  )
})

test('a server that cannot resume, or resumes elsewhere, costs time but not the content', async () => {
  const plain = await serve((_, response) => response.end(blob))
  const file = join(dir, 'restarted')
  writeFileSync(file, blob.subarray(0, 1000))
  await read(plain.host).download(descriptor, file, () => {})
  assert.deepEqual(readFileSync(file), blob)
  for (const status of [206, 416]) {
    const odd = await serve((request, response) => {
      if (request.headers.range) response.writeHead(status, { 'Content-Range': 'bytes 5-9/10' }).end('xxxxx')
      else response.end(blob)
    })
    writeFileSync(file, 'garbage')
    await read(odd.host).download(descriptor, file, () => {})
    assert.deepEqual(readFileSync(file), blob)
  }
})

test('wrong content is refused and not kept', async () => {
  const wrong = Buffer.from(blob)
  wrong[5] = wrong[5]! ^ 1
  const file = join(dir, 'wrong')
  const bad = await serve((_, response) => response.end(wrong))
  await assert.rejects(
    read(bad.host).download(descriptor, file, () => {}),
    (error) => isError(error, 'invalid') && /verification failed/.test(error.message),
  )
  assert.equal(readFileSync(file).length, 0)
  const long = await serve((_, response) => response.end(Buffer.concat([blob, blob])))
  await assert.rejects(
    read(long.host).download(descriptor, file, () => {}),
    /sent more than/,
  )
  const other = await serve((_, response) => sendManifest(response))
  for (const digest of [`sha256:${'a'.repeat(64)}`, `sha512:${'a'.repeat(128)}`])
    await assert.rejects(read(other.host).manifest(digest), /manifest verification failed/)
  await read(other.host).manifest(`sha512:${hash('sha512', manifest)}`)
  const both = await serve((_, response) => response.end(JSON.stringify({ manifests: [], layers: [], config: {} })))
  await assert.rejects(read(both.host).manifest('1'), /both an image and an index/)
})

test('a busy registry is asked again when it says so', async () => {
  let left = 2
  const { host } = await serve((_, response) =>
    left-- > 0 ? response.writeHead(429, { 'Retry-After': '7' }).end() : sendManifest(response),
  )
  slept.length = 0
  await read(host).manifest('1')
  assert.deepEqual(slept, [7000, 7000])
  const always = await serve((_, response) =>
    response
      .writeHead(429, { 'Retry-After': '7' })
      .end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'),
  )
  await assert.rejects(
    read(always.host).manifest('1'),
    (error) => isError(error, 'too-many-requests') && /slow down/.test(error.message),
  )
  assert.equal(retryAfter('Thu, 01 Jan 1970 00:01:00 GMT', 10_000), 50_000)
  assert.equal(retryAfter('soon', 0), undefined)
})

test('a token server that is busy is asked again, too', async () => {
  let [realm, left] = ['', 2]
  const { host } = await serve((request, response) => {
    if (request.url!.startsWith('/token'))
      return left-- > 0
        ? response.writeHead(429, { 'Retry-After': '3' }).end()
        : response.end(JSON.stringify({ token: 'T' }))
    if (request.headers.authorization === 'Bearer T') return sendManifest(response)
    response.writeHead(401, { 'WWW-Authenticate': `bearer realm=${realm}` }).end()
  })
  realm = `http://${host}/token`
  slept.length = 0
  await read(host).manifest('1')
  assert.deepEqual(slept, [3000, 3000])
})

test('answers in gzip that nobody asked for', async () => {
  const { seen, host } = await serve((request, response) => {
    response.setHeader('Content-Encoding', 'gzip')
    if (request.url!.includes('/manifests/')) return response.end(gzipSync(manifest))
    const packed = gzipSync(blob)
    if (!request.headers.range) return response.write(packed.subarray(0, -10), () => response.destroy())
    // The rest of what it had compressed, which is no rest of the content.
    response.writeHead(206, { 'Content-Range': request.headers.range.replace('=', ' ') + '999/1000' })
    response.end(packed.subarray(-10))
    served = true
  })
  let served = false
  assert.equal((await read(host).manifest('1')).digest, sha256(manifest))
  await assert.rejects(
    read(host).download(descriptor, join(dir, 'packed'), () => {}),
    (error) => isError(error, 'unavailable'),
  )
  assert.ok(served && seen.length > 3)
  const whole = await serve((_, response) => response.setHeader('Content-Encoding', 'gzip').end(gzipSync(blob)))
  rmSync(join(dir, 'packed'), { force: true })
  await read(whole.host).download(descriptor, join(dir, 'packed'), () => {})
  assert.deepEqual(readFileSync(join(dir, 'packed')), blob)
})

test('an answer that is cut off', async () => {
  const { host } = await serve((_, response) => {
    response.writeHead(200, { 'Content-Length': 5000 }).write('{"schema', () => response.destroy())
  })
  await assert.rejects(
    read(host).manifest('1'),
    (error) => isError(error, 'unavailable') && /unexpected EOF$/.test(error.message),
  )
})

test('refusals in docker words', async () => {
  const answer = (status: number, body: string) => serve((_, response) => response.writeHead(status).end(body))
  const rejects = async (
    status: number,
    body: string,
    code: 'not-found' | 'unauthorized' | 'unavailable',
    message: RegExp,
  ) => {
    const { host } = await answer(status, body)
    await assert.rejects(read(host).manifest('1'), (error) => isError(error, code) && message.test(error.message))
  }
  await rejects(
    404,
    '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
    'not-found',
    /^manifest for 127.0.0.1:\d+\/repo\/app:1 not found: manifest unknown: manifest unknown$/,
  )
  await rejects(404, '<html>', 'not-found', /not found: manifest unknown: manifest unknown$/)
  await rejects(
    404,
    '{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}',
    'not-found',
    /^repository 127.0.0.1:\d+\/repo\/app not found: name unknown: repository name not known to registry$/,
  )
  await rejects(
    401,
    '',
    'unauthorized',
    /^pull access denied for 127.0.0.1:\d+\/repo\/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied$/,
  )
  await rejects(502, 'bad gateway', 'unavailable', /unexpected status code 502 Bad Gateway$/)
})

test('documents of servers that know nothing of images; other kinds of things are named', async () => {
  const of = async (document: object, type: string): Promise<string> => {
    const { host } = await serve((_, response) =>
      response.setHeader('Content-Type', type).end(JSON.stringify({ schemaVersion: 2, ...document })),
    )
    return (await read(host).manifest('1')).mediaType
  }
  const image = { config: { mediaType: mediaTypes.dockerConfig }, layers: [] }
  assert.equal(await of(image, 'application/json'), mediaTypes.dockerManifest)
  assert.equal(await of({ ...image, config: {} }, 'text/plain; charset=utf-8'), mediaTypes.ociManifest)
  assert.equal(await of({ manifests: [] }, 'application/octet-stream'), mediaTypes.ociIndex)
  for (const [document, type, hint] of [
    [{ schemaVersion: 1, fsLayers: [] }, 'application/json', /old schema 1/],
    [{ blobs: [] }, 'application/vnd.oci.artifact.manifest.v1+json', /another kind of artifact/],
    [{ blobs: [] }, 'application/json', /another kind of artifact/],
  ] as const)
    await assert.rejects(of(document, type), (error) => isError(error, 'unsupported') && hint.test(error.hint ?? ''))
})

test('a refusal in JSON is no other protocol', async () => {
  const said = '{"errors":[{"code":"NAME_INVALID","message":"invalid repository name"}]}'
  const { host } = await serve((_, response) =>
    response.writeHead(400, { 'Content-Type': 'application/json; charset=utf-8' }).end(said),
  )
  await assert.rejects(read(host).manifest('1'), /name invalid: invalid repository name$/)
})

test('a kept connection that the server has just closed costs nothing', async () => {
  const sockets = new Set<unknown>()
  const { seen, host } = await serve((request, response) => {
    const again = sockets.has(request.socket)
    sockets.add(request.socket)
    if (again) request.socket.destroy()
    else sendManifest(response)
  })
  for (let i = 0; i < 3; i++) await read(host).manifest('1')
  assert.ok(seen.length > 3, 'connections were kept')
})

test('an upload goes in one piece, and on from where the registry is, from the start, or elsewhere', async () => {
  const data = Buffer.alloc(100_000, 'x')
  const blob = { mediaType: 'text/plain', digest: sha256(data), size: data.length }
  /** `patches` handle one PATCH each, in order; `status` is the answer to the question how far it has come. */
  const upload = async (
    patches: ((request: IncomingMessage, response: ServerResponse) => void)[],
    status: { code: number; range?: string } = { code: 404 },
  ): Promise<string[]> => {
    const asked: string[] = []
    const { host } = await serve((request, response) => {
      const { method, url } = request
      asked.push([method, url!.replace(/.*\/blobs\//, ''), request.headers['content-range'] ?? ''].join(' ').trim())
      if (method === 'HEAD') response.writeHead(404).end()
      else if (method === 'PATCH') patches.shift()!(request, response)
      else if (method === 'GET')
        response.writeHead(status.code, { Location: 'uploads/on', ...(status.range && { Range: status.range }) }).end()
      else if (method === 'POST') response.writeHead(202, { Location: 'new' }).end()
      else response.writeHead(200).end()
    })
    const file = join(dir, 'uploaded')
    writeFileSync(file, data)
    const target = parseReference(`${host}/repo/app:1`)
    await distribution.write(target, [], {}).put(blob, { file }, [], () => {})
    return asked.slice(1).map((line) => line.replace(/digest=.*|sha256:.*/, 'digest'))
  }
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume().on('end', () => response.writeHead(202, { Location: 'took' }).end())
  }
  const cut = (request: IncomingMessage): void => void request.once('data', () => request.socket.destroy())
  const whole = ['POST uploads/', 'PATCH uploads/new', 'PUT uploads/took?digest']
  assert.deepEqual(await upload([take]), whole)
  assert.deepEqual(await upload([cut, take], { code: 204, range: '0-999' }), [
    ...['POST uploads/', 'PATCH uploads/new', 'GET uploads/new'],
    ...['PATCH uploads/uploads/on 1000-99999', 'PUT uploads/uploads/took?digest'],
  ])
  assert.deepEqual(await upload([cut, take]), [
    ...['POST uploads/', 'PATCH uploads/new', 'GET uploads/new', 'HEAD digest'],
    ...whole,
  ])
  const refuse = (request: IncomingMessage, response: ServerResponse): void =>
    void request.resume().on('end', () => response.writeHead(416).end())
  assert.deepEqual(await upload([cut, refuse, take], { code: 204, range: '0-999' }), [
    ...['POST uploads/', 'PATCH uploads/new', 'GET uploads/new', 'PATCH uploads/uploads/on 1000-99999'],
    ...whole,
  ])
  const send = (request: IncomingMessage, response: ServerResponse): void =>
    void request.resume().on('end', () => response.writeHead(307, { Location: 'else' }).end())
  assert.deepEqual(await upload([send, take]), [
    ...['POST uploads/', 'PATCH uploads/new', 'PATCH uploads/else', 'PUT uploads/took?digest'],
  ])
})

test('a registry that stumbles, says less than it should, or will not say what it has', async () => {
  const data = Buffer.from('small')
  const blob = { mediaType: 'text/plain', digest: sha256(data), size: data.length }
  const upload = async (answers: Record<string, number[]>, location = true): Promise<string> => {
    const asked: string[] = []
    const { host } = await serve((request, response) => {
      const { method } = request
      request.resume().on('end', () => {
        asked.push(method!)
        const status = answers[method!]?.shift() ?? { HEAD: 404, POST: 202, PATCH: 202, PUT: 201 }[method!]!
        if (location || method === 'POST') response.setHeader('Location', '/place')
        response.writeHead(status).end()
      })
    })
    const uploads = distribution.write(parseReference(`${host}/repo/app:1`), [], {})
    await uploads.put(blob, { data }, [], () => {})
    await uploads.manifest('1', mediaTypes.ociManifest, Buffer.from(manifest))
    return asked.join(' ')
  }
  const usual = 'HEAD POST PATCH PUT PUT'
  for (const status of [405, 501]) assert.equal(await upload({ HEAD: [status] }), usual)
  for (const status of [200, 201, 204]) assert.equal(await upload({ PATCH: [status], PUT: [status, status] }), usual)
  assert.equal(await upload({}, false), usual)
  assert.equal(
    await upload({ HEAD: [500], POST: [502], PUT: [201, 504, 500] }),
    'HEAD HEAD POST POST PATCH PUT PUT PUT PUT',
  )
  await assert.rejects(upload({ POST: [500, 500, 500] }), (error) => isError(error, 'unavailable'))
  await assert.rejects(upload({ HEAD: [400] }), (error) => isError(error, 'unavailable'))
})

test('an abort is an abort', async () => {
  const { host } = await serve(() => {})
  const stop = new AbortController()
  const pending = distribution.read(parseReference(`${host}/x:1`), { signal: stop.signal }).manifest('1')
  setTimeout(() => stop.abort(), 20)
  await assert.rejects(pending, (error) => isError(error, 'cancelled'))
})

test('ways to a registry', () => {
  const ways = (domain: string, settings = {}) =>
    originsOf(domain, { certificates: [dir], ...settings }).map(
      ({ url, trust, mirror }) => `${url.origin}${trust.insecure ? ' unverified' : ''}${mirror ? ' mirror' : ''}`,
    )
  assert.deepEqual(ways('docker.io'), ['https://registry-1.docker.io'])
  assert.deepEqual(ways('docker.io', { mirrors: { 'docker.io': ['http://m:5000'] } }), [
    'http://m:5000 mirror',
    'https://registry-1.docker.io',
  ])
  assert.deepEqual(ways('localhost:5000'), ['http://localhost:5000', 'https://localhost:5000 unverified'])
  assert.deepEqual(ways('127.0.0.2:5000')[0], 'http://127.0.0.2:5000')
  assert.deepEqual(ways('127.example.org'), ['https://127.example.org'])
  assert.deepEqual(ways('reg:5000', { insecure: ['reg:5000'] }), ['https://reg:5000 unverified', 'http://reg:5000'])
})

test('hosts.toml says where to go, for what, and with which headers', () => {
  const host = join(dir, 'hosts.example:5000')
  mkdirSync(host)
  const toml = `server = "https://up.example"
[host."http://one.example"]
  capabilities = ["pull"]
  skip_verify = true
  [host."http://one.example".header]
    x-a = ["b", "c"]
[host."https://two.example/v2/proxied"]
  override_path = true
  capabilities = ["pull", "resolve", "push"]
[host."https://three.example/us"]
[host."https://four.example/us/v2"]
`
  writeFileSync(join(host, 'hosts.toml'), toml)
  const found = originsOf('hosts.example:5000', { certificates: [dir], mirrors: { '*': ['http://unused'] } })
  assert.deepEqual(
    found.map(({ url, mirror, wholePath, resolves, pushes, headers }) => [
      url.href,
      mirror,
      wholePath,
      resolves,
      pushes,
      headers,
    ]),
    [
      ['http://one.example/', true, undefined, false, false, { 'x-a': 'b, c' }],
      ['https://two.example/v2/proxied/', true, true, true, true, undefined],
      ['https://three.example/us/', true, undefined, undefined, undefined, undefined],
      ['https://four.example/us/v2/', true, true, undefined, undefined, undefined],
      ['https://up.example/', false, undefined, undefined, undefined, undefined],
    ],
  )
  assert.equal(found[0]!.trust.insecure, true)
  mkdirSync(join(dir, '_default'))
  writeFileSync(join(dir, '_default/hosts.toml'), '[host."https://all.example"]')
  assert.deepEqual(
    originsOf('other.example', { certificates: [dir] }).map(({ url }) => url.href),
    ['https://all.example/', 'https://other.example/'],
  )
  rmSync(join(dir, '_default'), { recursive: true })
})

test('insecure registries by name, by port and by address block', () => {
  const insecure = (domain: string, list: string[]) =>
    originsOf(domain, { certificates: [dir], insecure: list }).some(({ trust }) => trust.insecure)
  assert.ok(
    insecure('reg:5000', ['reg']) && insecure('reg:5000', ['reg:5000']) && insecure('10.1.2.3:5000', ['10.0.0.0/8']),
  )
  assert.ok(!insecure('reg:5001', ['reg:5000']) && !insecure('11.1.2.3', ['10.0.0.0/8']) && !insecure('x.reg', ['reg']))
})

test('challenges', () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/b?c=\\"d",service="x, y" , error=invalid, Basic realm="z"'),
    [
      { scheme: 'bearer', parameters: { realm: 'https://a/b?c="d', service: 'x, y', error: 'invalid' } },
      { scheme: 'basic', parameters: { realm: 'z' } },
    ],
  )
  assert.deepEqual(parseChallenges(''), [])
})
