import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import packet from 'dns-packet'
import { systemClock } from '../clock.ts'
import { createForwarder, serveDns } from './index.ts'
import { parseResolvConf } from './resolv-conf.ts'
import { emptyAnswer, fitted, questionOf, rcodeOf, readdressed, timeToLive } from './wire.ts'

const query = (name: string, id = 7, size?: number): Buffer =>
  packet.encode({
    type: 'query',
    id,
    flags: 256,
    questions: [{ name, type: 'A' }],
    additionals:
      size === undefined ? [] : [{ type: 'OPT', name: '.', udpPayloadSize: size, flags: 0, options: [] } as never],
  })
const response = (asked: Buffer, count = 1, ttl = 60): Buffer => {
  const { id, questions } = packet.decode(asked)
  return packet.encode({
    type: 'response',
    id: id!,
    questions: questions!,
    answers: Array.from({ length: count }, (_, i) => ({
      name: questions![0]!.name,
      type: 'A',
      ttl,
      data: `10.0.${i >> 8}.${i & 255}`,
    })),
  })
}

test('messages are passed on with another id, name case and age', () => {
  const asked = query('Web.Example.ORG', 77)
  assert.deepEqual(questionOf(asked), { name: 'web.example.org', type: 1, class: 1, end: asked.length })
  const aged = packet.decode(readdressed(response(query('web.example.org')), asked, 10))
  assert.equal(aged.id, 77)
  assert.equal(aged.questions![0]!.name, 'Web.Example.ORG')
  assert.equal((aged.answers![0] as { ttl: number }).ttl, 50)
  assert.equal(timeToLive(response(asked, 2, 33)), 33)
  assert.equal(rcodeOf(emptyAnswer(asked, 3)), 3)
})

test('what is too long for UDP is cut, unless the client takes it', () => {
  const asked = query('a.b')
  assert.ok(packet.decode(fitted(response(asked, 60), asked)).flag_tc)
  const roomy = query('a.b', 1, 4096)
  assert.ok(!packet.decode(fitted(response(roomy, 60), roomy)).flag_tc)
})

test('torn messages are no questions', () => {
  for (const text of ['', 'short', '\0\0\0\0\0\x01\0\0\0\0\0\0\x3fabc', '\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\0\0\0'])
    assert.equal(questionOf(Buffer.from(text, 'latin1')), undefined)
})

const server = async (answer: (asked: Buffer) => Promise<Buffer>) => {
  const udp = createSocket('udp4').bind(0, '127.0.0.1')
  await once(udp, 'listening')
  const tcp = createServer().listen(udp.address().port, '127.0.0.1')
  await once(tcp, 'listening')
  const seen: string[] = []
  const end = serveDns({ udp, tcp }, async (asked) => {
    seen.push(questionOf(asked)!.name)
    return await answer(asked)
  })
  return { address: `127.0.0.1#${udp.address().port}`, seen, end }
}

test('the forwarder caches, joins, retries over TCP and goes on to the next server', async (t) => {
  const big = await server(async (asked) => response(asked, 200))
  const broken = await server(async (asked) => emptyAnswer(asked, 2))
  t.after(() => [big, broken].map(({ end }) => end()))
  const forwarder = createForwarder(systemClock)
  const [first, second] = await Promise.all([
    forwarder.forward(query('big.example', 1), [big.address]),
    forwarder.forward(query('big.example', 2), [big.address]),
  ])
  assert.equal(packet.decode(first).answers!.length, 200)
  assert.equal(packet.decode(second).id, 2)
  assert.equal(packet.decode(await forwarder.forward(query('big.example', 3), [big.address])).id, 3)
  assert.deepEqual(big.seen, ['big.example', 'big.example'], 'once over UDP, once over TCP')

  const both = await forwarder.forward(query('x.example'), [broken.address, big.address])
  assert.equal(rcodeOf(both), 0)
  assert.equal(rcodeOf(await forwarder.forward(query('x.example'), [broken.address])), 2)
  assert.equal(rcodeOf(await forwarder.forward(query('x.example'), [])), 2)
})

test('resolv.conf', () => {
  assert.deepEqual(parseResolvConf('# x\nnameserver 1.1.1.1\ndomain a\nsearch b c\noptions ndots:2 trust-ad\n'), {
    servers: ['1.1.1.1'],
    searches: ['b', 'c'],
    options: ['ndots:2', 'trust-ad'],
  })
})
