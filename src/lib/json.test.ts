import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalJson, cloneJson, deepFreeze, equalJson } from './json.ts'

test('a copy shares nothing and leaves out what JSON would', () => {
  const original = { a: [{ b: 1 }], c: undefined }
  const copy = cloneJson(original)
  assert.deepEqual(Object.keys(copy), ['a'])
  copy.a[0]!.b = 2
  assert.equal(original.a[0]!.b, 1)
  const evil = cloneJson(JSON.parse('{"__proto__": {"polluted": true}}')) as { polluted?: boolean }
  assert.equal(evil.polluted, undefined)
})
test('equality looks at data only', () => {
  assert.ok(equalJson({ a: 1, b: undefined }, { a: 1 }))
  assert.ok(equalJson([{ a: [] }], [{ a: [] }]))
  for (const [a, b] of [
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { b: 1 }],
    [[1], { 0: 1 }],
    [null, {}],
    [[1], [1, 2]],
    [{}, { a: null }],
  ])
    assert.ok(!equalJson(a, b), JSON.stringify([a, b]))
})
test('canonical text does not depend on order', () => {
  assert.equal(canonicalJson({ b: [1, { d: 1, c: 2 }], a: undefined }), canonicalJson({ b: [1, { c: 2, d: 1 }] }))
})
test('frozen all the way down', () => {
  const object = deepFreeze({ a: { b: [1] } })
  assert.throws(() => object.a.b.push(2), TypeError)
})
