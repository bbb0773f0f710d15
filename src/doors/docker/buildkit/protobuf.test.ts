import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  bigint,
  bool,
  bytes,
  int,
  list,
  message,
  messageMap,
  name,
  nested,
  string,
  stringMap,
  strings,
} from './protobuf.ts'

const Inner = message({ name: string(1), on: bool(2) })
const Outer = message({
  text: string(1),
  count: int(2),
  inner: nested(3, () => Inner),
  many: list(4, () => Inner),
  words: strings(5),
  map: stringMap(7),
  time: bigint(8),
  data: bytes(9),
  byName: messageMap(16, () => Inner),
})

test('what is written is read again', () => {
  const value = {
    text: 'grün',
    count: 300,
    inner: { name: 'a', on: true },
    many: [
      { name: 'b', on: false },
      { name: '', on: true },
    ],
    words: ['x', '', 'y'],
    map: { k: 'v', empty: '' },
    time: 1_795_158_526_737_123_456n,
    data: Buffer.from([0, 255]),
    byName: { one: { name: 'c', on: true } },
  }
  const read = Outer.decode(Outer.encode(value))
  assert.deepEqual({ ...read, map: { ...read.map }, byName: { ...read.byName } }, value)
})

test('the wire format of the specification: 150 as field 1 is 08 96 01, and defaults are left out', () => {
  assert.equal(
    message({ a: int(1) })
      .encode({ a: 150 })
      .toString('hex'),
    '089601',
  )
  assert.equal(
    message({ b: string(2) })
      .encode({ b: 'testing' })
      .toString('hex'),
    '120774657374696e67',
  )
  assert.equal(Outer.encode({ text: '', count: 0, words: [], map: {} }).length, 0)
  assert.equal(Outer.encode({ inner: {} }).toString('hex'), '1a00')
})

test('absent fields have their defaults, unknown ones are skipped', () => {
  const read = Outer.decode(Buffer.from('f8010af201026869', 'hex'))
  assert.equal(read.text, '')
  assert.equal(read.inner, undefined)
  assert.deepEqual(read.words, [])
})

test('negative and large integers', () => {
  const Numbers = message({ a: int(1), b: bigint(2) })
  const read = Numbers.decode(Numbers.encode({ a: -5, b: -1n }))
  assert.deepEqual(read, { a: -5, b: -1n })
  assert.equal(Numbers.decode(Numbers.encode({ a: 2 ** 52 + 1 })).a, 2 ** 52 + 1)
})

test('what is cut off or nested without end is refused', () => {
  const whole = Outer.encode({ text: 'hello' })
  assert.throws(() => Outer.decode(whole.subarray(0, 4)), { code: 'bad-request' })
  assert.throws(() => Outer.decode(Buffer.from('08ffffffffffffffffffffff', 'hex')), { code: 'bad-request' })
  const Self: ReturnType<typeof message<{ self: ReturnType<typeof nested> }>> = message({ self: nested(1, () => Self) })
  let deep = Buffer.alloc(0)
  for (let i = 0; i < 100; i++) deep = Buffer.concat([Buffer.from([10, ...varint(deep.length)]), deep])
  assert.throws(() => Self.decode(deep), { code: 'bad-request' })
})

const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, Math.floor(value / 128)])

test('the bytes of a name stay, though they are no UTF-8', () => {
  const Named = message({ path: name(1) })
  const wire = Buffer.from([0x0a, 3, 0x61, 0xff, 0xe4])
  assert.deepEqual(Named.encode(Named.decode(wire)), wire)
})
