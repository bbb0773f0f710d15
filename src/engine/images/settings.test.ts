import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isError } from '../../errors.ts'
import { imageSettings, parseSettings } from './settings.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-settings-'))
after(() => rmSync(dir, { recursive: true }))

test('a changed file counts at once, a broken one is said', () => {
  const settings = imageSettings(dir)
  const file = join(dir, 'registries.json')
  writeFileSync(file, '{"insecure": ["r:1"], "bootstrap": {"enabled": false}}')
  assert.deepEqual(settings().registries?.insecure, ['r:1'])
  assert.equal(settings().bootstrap?.enabled, false)
  assert.equal(settings().registries?.certificates?.[0], join(dir, 'certs.d'))
  writeFileSync(file, '{"mirrors": {"docker.io": ["https://m"]}}')
  assert.deepEqual(settings().registries?.mirrors, { 'docker.io': ['https://m'] })
  assert.equal(settings().registries?.insecure, undefined)
  writeFileSync(file, '{')
  assert.throws(settings, (error) => isError(error, 'invalid') && error.message.startsWith(`${file}: not JSON`))
})

test('what cannot be meant is refused with its name', () => {
  for (const [text, message] of [
    ['[]', 'f: must be an object'],
    ['{"mirror": {}}', 'f: "mirror" is not known; there are mirrors, insecure, certificates, bootstrap'],
    ['{"mirrors": ["x"]}', 'f: "mirrors" must be an object of lists of addresses'],
    ['{"insecure": "x"}', 'f: "insecure" must be a list of hosts or address blocks'],
    ['{"bootstrap": {"on": true}}', 'f: "bootstrap.on" is not known; there are enabled, cache'],
    ['{"bootstrap": {"enabled": 1}}', 'f: "bootstrap.enabled" must be true or false'],
  ] as const)
    assert.throws(
      () => parseSettings(text, 'f'),
      (error) => isError(error, 'invalid') && error.message === message,
      text,
    )
})
