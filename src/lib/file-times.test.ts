import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settlesAt, soonSettled } from './file-times.ts'

test('times of whole seconds may stand for two of them; those of the future are no danger', () => {
  assert.equal(settlesAt(10, 500_000_000, 10_600), 10_500 + soonSettled)
  assert.equal(settlesAt(10, 500_000_000, 10_400), 10_500 + soonSettled, 'clocks differ a little')
  assert.equal(settlesAt(10, 0, 10_600), 12_000)
  assert.equal(settlesAt(3600, 0, 10_600), 0)
})
