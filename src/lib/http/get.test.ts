import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { dialFailure, get } from './get.ts'

const serve = async (handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
const text = async (url: string, headers: Record<string, string> = {}): Promise<string> => {
  const parts: Buffer[] = []
  for await (const part of (await get(new URL(url), { headers })).body as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts).toString()
}

test('redirects are followed; credentials stay with the server they are for', async () => {
  const told = (request: IncomingMessage, response: ServerResponse): unknown =>
    response.end(`${request.url} ${request.headers.authorization ?? '-'}`)
  const other = await serve(told)
  const one = await serve((request, response) => {
    const to = { '/near': '/end', '/far': `${other}/end` }[request.url!]
    return to ? response.writeHead(302, { Location: to }).end() : told(request, response)
  })
  assert.equal(await text(`${one}/near`, { Authorization: 'x' }), '/end x')
  assert.equal(await text(`${one}/far`, { Authorization: 'x' }), '/end -')
  assert.equal(await text(`${one.replace('//', '//u:p@')}/end`), `/end Basic ${Buffer.from('u:p').toString('base64')}`)
  const round = await serve((_, response) => response.writeHead(302, { Location: '/' }).end())
  await assert.rejects(get(new URL(round)), /stopped after 10 redirects/)
  const file = await serve((_, response) => response.writeHead(302, { Location: 'file:///etc/passwd' }).end())
  await assert.rejects(get(new URL(file)), /unsupported address file:/)
})

test('any port; failures in the words of other programs; a proxy of the environment', async () => {
  const refused = new URL('http://127.0.0.1:1/')
  const error = await get(refused).then(
    () => assert.fail('nobody listens there'),
    (why: unknown) => why,
  )
  assert.equal(dialFailure(refused, error), 'dial tcp 127.0.0.1:1: connect: connection refused')
  const proxy = await serve((request, response) => response.end(`for ${request.url}`))
  const before = process.env.http_proxy
  process.env.http_proxy = proxy
  try {
    assert.equal(await text('http://files.test/a'), 'for http://files.test/a')
  } finally {
    if (before === undefined) delete process.env.http_proxy
    else process.env.http_proxy = before
  }
})

test('what went wrong on the way to a server of TLS, as Go says it', async () => {
  const of = (more: object): string =>
    dialFailure(new URL('https://reg.example:5000/v2/'), Object.assign(new Error('words of Node'), more))
  const x509 = 'tls: failed to verify certificate: x509:'
  for (const code of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'])
    assert.equal(of({ code }), `${x509} certificate signed by unknown authority`)
  assert.equal(of({ code: 'CERT_HAS_EXPIRED' }), `${x509} certificate has expired or is not yet valid`)
  assert.equal(
    of({ code: 'ERR_TLS_CERT_ALTNAME_INVALID', cert: { subjectaltname: 'DNS:a.example, IP Address:192.0.2.1' } }),
    `${x509} certificate is valid for a.example, 192.0.2.1, not reg.example`,
  )
  assert.equal(of({ code: 'EOTHER' }), 'words of Node')
  const plain = new URL((await serve((_, response) => response.end())).replace('http:', 'https:'))
  const failed = await get(plain).then(
    () => assert.fail('it speaks no TLS'),
    (why: unknown) => why,
  )
  assert.equal(dialFailure(plain, failed), 'http: server gave HTTP response to HTTPS client')
})
