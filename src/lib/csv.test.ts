import assert from 'node:assert/strict'
import { test } from 'node:test'
import { csv } from './csv.ts'

test('fields, some in quotes; what is no record', () => {
  assert.deepEqual(csv(''), [''])
  assert.deepEqual(csv('a=b,c'), ['a=b', 'c'])
  assert.deepEqual(csv('a,'), ['a', ''])
  assert.deepEqual(csv('"a,b",c,"d""e",""'), ['a,b', 'c', 'd"e', ''])
  for (const text of ['a"b', '"a', '"a"b,c']) assert.throws(() => csv(text), /parse error: bare " in non-quoted field/)
})
