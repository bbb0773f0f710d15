import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annotationsOf, checkSwitches, isMultiPlatform, platformWarnings } from './options.ts'

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

test('results of other platforms than were asked for', () => {
  const [amd64, arm64] = [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]
  assert.deepEqual(platformWarnings([], [amd64]), [])
  assert.deepEqual(platformWarnings(['linux/arm64/v8', 'amd64'], [amd64, arm64]), [])
  assert.deepEqual(platformWarnings(['linux/amd64', 'amd64'], [amd64]), ['Duplicate platform result requested "amd64"'])
  assert.deepEqual(platformWarnings(['linux/arm64'], [amd64]), [
    'Requested platform "linux/arm64" does not match result platform "linux/amd64"',
  ])
  assert.deepEqual(platformWarnings(['linux/arm64', 'linux/arm/v7'], [amd64, arm64]), [
    'Requested platforms linux/arm/v7,linux/arm64 do not match result platforms linux/amd64,linux/arm64',
  ])
})

test('annotations for one platform, however it is written', () => {
  const attrs = { 'annotation-manifest-descriptor[linux/arm64/v8].k': 'v', 'annotation.all': 'a' }
  assert.deepEqual(annotationsOf(attrs, 'manifest-descriptor', 'linux/arm64'), { k: 'v' })
  assert.equal(annotationsOf(attrs, 'manifest-descriptor', 'linux/amd64'), undefined)
  assert.deepEqual(annotationsOf(attrs, 'manifest', 'linux/amd64'), { all: 'a' })
})

test('switches', () => {
  checkSwitches({ push: '', 'oci-mediatypes': 'T', name: 'maybe' })
  assert.throws(
    () => checkSwitches({ push: 'true', 'oci-mediatypes': 'maybe' }),
    /^SlipwayError: non-bool value specified for oci-mediatypes: strconv\.ParseBool: parsing "maybe": invalid syntax$/,
  )
})
