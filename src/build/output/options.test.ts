import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMultiPlatform } from './options.ts'

test('several platforms, or one that is to be shown as if', () => {
  const asked = (text: string, platforms: number): boolean =>
    isMultiPlatform({ BUILDKIT_MULTI_PLATFORM: text }, platforms)
  assert.deepEqual([isMultiPlatform({}, 1), isMultiPlatform({}, 2)], [false, true])
  assert.deepEqual(
    [asked('', 1), asked('', 2), asked('0', 1), asked('1', 1), asked('true', 2)],
    [false, true, false, true, true],
  )
  assert.throws(() => asked('foo', 1), /invalid boolean value for multi-platform: foo/)
  assert.throws(() => asked('0', 2), /conflicting config: returning multiple target platforms is not allowed/)
})
