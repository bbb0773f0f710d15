import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Conditions } from './conditions.ts'

test('resolves at once, later, or not at all', async () => {
  const conditions = new Conditions()
  let n = 0
  await conditions.until(() => true)
  const one = conditions.until(() => n >= 1)
  const two = conditions.until(() => n >= 2)
  const ending = new AbortController()
  const never = conditions.until(() => false, ending.signal)
  n = 1
  conditions.check()
  await one
  ending.abort(new Error('enough'))
  await assert.rejects(never, /enough/)
  n = 2
  conditions.check()
  await two
  await assert.rejects(
    conditions.until(() => true, ending.signal),
    /enough/,
  )
})
