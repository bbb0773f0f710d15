import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPlatform, hostPlatform, parsePlatform } from './platform.ts'

test('a platform by its parts, by its architecture, by its system', () => {
  assert.equal(formatPlatform(parsePlatform('linux/arm64/v8')), 'linux/arm64')
  assert.equal(formatPlatform(parsePlatform('aarch64')), 'linux/arm64')
  assert.deepEqual(parsePlatform('LINUX'), hostPlatform())
  assert.equal(parsePlatform('macos').os, 'darwin')
})

test('what is no platform is refused in the words of containerd', () => {
  for (const text of ['', ' ', '/', 'linux/', 'a b'])
    assert.throws(() => parsePlatform(text), { code: 'invalid', message: /is an invalid component/ }, text)
  assert.throws(() => parsePlatform('nintendo64'), { message: /unknown operating system or architecture/ })
  assert.throws(() => parsePlatform('a/b/c/d'), { message: /cannot parse platform specifier/ })
})
