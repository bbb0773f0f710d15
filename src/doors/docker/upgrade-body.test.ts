import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeChunks } from './upgrade-body.ts'

test('chunks of a body, whole and in part, and what follows them', () => {
  const take = (text: string): unknown[] => {
    const { body, rest, ended } = takeChunks(Buffer.from(text))
    return [body.toString(), rest.toString(), ended]
  }
  assert.deepEqual(take('0\r\n\r\ntyped'), ['', 'typed', true])
  assert.deepEqual(take('3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nmore'), ['abcde', 'more', true])
  assert.deepEqual(take('3\r\nabc\r\n5\r\nde'), ['abc', '5\r\nde', false])
  assert.deepEqual(take('3\r\nab'), ['', '3\r\nab', false])
  assert.deepEqual(take(''), ['', '', false])
})
