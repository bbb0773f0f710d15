import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authOf, configOf } from './registry-auth.ts'

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

test('credentials in headers; what is malformed counts as nothing', () => {
  const told = { identityToken: undefined, registryToken: undefined }
  assert.deepEqual(authOf(encode({ username: 'u', password: 'p' })), { username: 'u', password: 'p', ...told })
  const auth = Buffer.from('u:p:w').toString('base64')
  assert.deepEqual(authOf(encode({ auth })), { username: 'u', password: 'p:w', ...told })
  assert.equal(authOf(encode({ identitytoken: 't' }))?.identityToken, 't')
  for (const nothing of [undefined, '', 'garbage!!', encode(null), encode('x'), encode({}), encode([1])])
    assert.equal(authOf(nothing), undefined, String(nothing))
  const all = configOf(encode({ one: { username: 'u', password: '' }, two: null }))
  assert.deepEqual(all, [
    ['one', { username: 'u', password: '', ...told }],
    ['two', undefined],
  ])
  assert.deepEqual(configOf('garbage!!'), [])
})
