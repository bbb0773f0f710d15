import assert from 'node:assert/strict'
import { test } from 'node:test'
import { credentialsOf, defaultRegistryKey, registryOfKey } from './config.ts'

test('registries by their keys', () => {
  assert.equal(registryOfKey(defaultRegistryKey), 'docker.io')
  assert.equal(registryOfKey('docker.io'), 'docker.io')
  assert.equal(registryOfKey('https://r.example.org:5000/v2/'), 'r.example.org:5000')
})
test('credentials in each of their forms', () => {
  const auth = Buffer.from('me:a:b').toString('base64')
  assert.deepEqual(credentialsOf({ auth }), { username: 'me', password: 'a:b' })
  assert.deepEqual(credentialsOf({ auth, password: 'c' }), { username: 'me', password: 'c' })
  assert.deepEqual(credentialsOf({ auth, identitytoken: 't' }), { identityToken: 't' })
})
