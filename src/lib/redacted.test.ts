import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redacted } from './redacted.ts'

test('who and with which password', () => {
  assert.equal(redacted('https://a:b@host/x@y?z'), 'https://xxxxx:xxxxx@host/x@y?z')
  assert.equal(redacted('ssh://token@host/x'), 'ssh://xxxxx@host/x')
  for (const plain of ['https://host/a@b', 'git@host:x', '/a:b@c', '']) assert.equal(redacted(plain), plain)
})
