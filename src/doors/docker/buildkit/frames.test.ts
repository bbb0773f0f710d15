import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frameOf, Unframer } from './frames.ts'

test('messages come out whole, however the bytes are cut', () => {
  const messages = ['one', '', 'x'.repeat(70_000), 'last'].map((text) => Buffer.from(text))
  const stream = Buffer.concat(messages.map(frameOf))
  for (const size of [1, 3, 5, 7, 1000, stream.length]) {
    const unframer = new Unframer()
    const found: string[] = []
    for (let at = 0; at < stream.length; at += size)
      for (const message of unframer.push(stream.subarray(at, at + size))) found.push(message.toString())
    assert.deepEqual(found, messages.map(String), `in pieces of ${size}`)
  }
})

test('compressed and oversized messages are refused', () => {
  assert.throws(() => new Unframer().push(Buffer.from([1, 0, 0, 0, 0])), { code: 'unsupported' })
  assert.throws(() => new Unframer().push(Buffer.from([0, 255, 0, 0, 0])), { code: 'bad-request' })
})
