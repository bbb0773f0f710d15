import assert from 'node:assert/strict'
import { test } from 'node:test'
import { columnsOf, fitting } from './columns.ts'

test('letters, marks on them, wide ones', () => {
  const of: [string, number][] = [
    ['abc', 3],
    ['ü', 1],
    ['u\u0308', 1],
    ['日本', 4],
    ['ｶﾅ', 2],
    ['한글', 4],
    ['🚀x', 3],
    ['☃', 1],
    ['！', 2],
    ['', 0],
  ]
  for (const [text, columns] of of) assert.equal(columnsOf(text), columns, text)
})

test('what fits', () => {
  assert.equal(fitting('日本語', 5), '日本')
  assert.equal(fitting('u\u0308x', 1), 'u\u0308')
  assert.equal(fitting('🚀', 1), '')
  assert.equal(fitting('abc', 3), 'abc')
  assert.equal(fitting('abc', -1), '')
})
