import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from './nearest.ts'

const names = ['image', 'init', 'ports', 'depends_on', 'environment']
test('the word that was meant', () => {
  assert.equal(nearest('imagee', names), 'image')
  assert.equal(nearest('prots', names), 'ports')
  assert.equal(nearest('depends-on', names), 'depends_on')
  assert.equal(nearest('Environment', names), 'environment')
  assert.equal(nearest('no-cach', ['no-cache']), 'no-cache')
})
test('nothing when none is close', () => {
  assert.equal(nearest('zzz', names), undefined)
  assert.equal(nearest('x', names), undefined)
})
