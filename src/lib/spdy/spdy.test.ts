import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { duplexPair } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { constants, createDeflate, deflateSync, inflateSync } from 'node:zlib'
import { dictionary } from './dictionary.ts'
import { controlFrame, FrameParser, HeaderReader, HeaderWriter, uint32s } from './frames.ts'
import { SpdySession, type SpdyStream } from './index.ts'

const pair = (onStream: (stream: SpdyStream) => void) => {
  const [a, b] = duplexPair()
  return { client: new SpdySession(a, { server: false }), server: new SpdySession(b, { server: true, onStream }) }
}

test('the dictionary is that of the specification', () => {
  assert.equal(dictionary.length, 1423)
  // zlib writes the dictionary's Adler-32 behind its two header bytes.
  assert.equal(deflateSync('x', { dictionary }).readUInt32BE(2), 0xe3c6a7c2)
})

test('header blocks written by us are one valid zlib stream', () => {
  const writer = new HeaderWriter()
  const stream = Buffer.concat([writer.encode({ streamType: 'data', port: '80' }), writer.encode({ a: 'b' })])
  const plain = inflateSync(stream, { dictionary, finishFlush: constants.Z_SYNC_FLUSH })
  assert.equal(plain.readUInt32BE(0), 2)
  assert.match(plain.toString('latin1'), /streamtype\0\0\0\x04data\0\0\0\x04port\0\0\0\x0280\0\0\0\x01\0\0\0\x01a/)
})

test('reads blocks compressed over one context, as peers send them', async () => {
  const deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH })
  const compress = (bytes: Buffer): Promise<Buffer> =>
    new Promise((resolve) => deflate.write(bytes, () => resolve(deflate.read() as Buffer)))
  const block = (name: string, value: string): Buffer =>
    Buffer.concat([uint32s(1, name.length), Buffer.from(name), uint32s(value.length), Buffer.from(value)])
  const reader = new HeaderReader()
  for (const value of ['stdin', 'stdout', 'x'.repeat(40_000)]) {
    assert.deepEqual(await reader.decode(await compress(block('streamtype', value))), { streamtype: value })
  }
  reader.close()
})

test('cuts frames whatever way the bytes arrive', () => {
  const bytes = Buffer.concat([controlFrame(6, 0, uint32s(7)), controlFrame(7, 0, uint32s(0, 0))])
  const parser = new FrameParser()
  const frames = [...bytes].flatMap((byte) => parser.push(Buffer.from([byte])))
  assert.deepEqual(
    frames.map((f) => f.kind === 'control' && f.type),
    [6, 7],
  )
  assert.throws(() => new FrameParser().push(Buffer.from('80010001000000 00'.replace(' ', ''), 'hex')), /not SPDY/)
})

test('streams carry data both ways, half close, and many at once', async () => {
  const { client, server } = pair((stream) => {
    void (async () => {
      const got = await buffer(stream)
      stream.end(Buffer.concat([Buffer.from(`${stream.headers.port}:`), got]))
    })()
  })
  const payload = randomBytes(300_000)
  const answers = await Promise.all(
    [1, 2, 3].map(async (port) => {
      const stream = client.open({ port: String(port) })
      stream.end(payload)
      return buffer(stream)
    }),
  )
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.subarray(0, 2).toString(), `${i + 1}:`)
    assert.ok(answer.subarray(2).equals(payload))
  }
  client.close()
  await Promise.all([client.closed, server.closed])
})

test('a stream that is not read holds back its sender, and a reset ends it', async () => {
  const arrived: ((stream: SpdyStream) => void)[] = []
  const arrival = (): Promise<SpdyStream> => new Promise((resolve) => arrived.push(resolve))
  const first = arrival()
  const { client, server } = pair((stream) => {
    stream.on('error', () => {})
    arrived.shift()?.(stream)
  })
  const stream = client.open({})
  let written = 0
  const blocked = await new Promise<boolean>((resolve) => {
    const more = (): void => {
      if (written > 10_000_000) {
        resolve(false)
        return
      }
      const timer = setTimeout(() => resolve(true), 100)
      stream.write(Buffer.alloc(65536), () => {
        clearTimeout(timer)
        written += 65536
        more()
      })
    }
    more()
  })
  assert.ok(blocked, `still accepted after ${written} bytes`)
  stream.on('error', () => {})
  const accepted = await first
  const broken = new Promise((resolve) => accepted.once('close', resolve))
  stream.destroy()
  accepted.resume()
  await broken
  const second = arrival()
  const next = client.open({})
  const reply = await second
  reply.end('still usable')
  assert.equal(await text(next), 'still usable')
  server.destroy()
  await client.closed
})
