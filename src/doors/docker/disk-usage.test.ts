import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wantedKinds } from './disk-usage.ts'

test('system df of some kinds only, since 1.42', () => {
  assert.deepEqual([...wantedKinds(['image', 'volume'], [1, 42])], ['image', 'volume'])
  assert.equal(wantedKinds([], [1, 50]).size, 4)
  assert.equal(wantedKinds(['image'], [1, 41]).size, 4)
  assert.throws(() => wantedKinds(['nonsense'], [1, 50]), /unknown object type: nonsense/)
})
