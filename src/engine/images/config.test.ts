import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { readConfig } from './config.ts'

const read = (more: object) =>
  readConfig(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] }, ...more }))

test('values that clients could not read are refused: they would list no image at all any more', () => {
  const bad: object[] = [
    { config: { Labels: { a: 5 } } },
    { config: { Labels: ['a'] } },
    { config: { Env: 'A=b' } },
    { config: { Env: [1] } },
    { config: { Cmd: 'sh' } },
    { config: { User: 5 } },
    { config: { ExposedPorts: ['80'] } },
    { config: { Healthcheck: { Interval: 'soon' } } },
    { config: 'x' },
    { history: [{ empty_layer: 'yes' }] },
    { history: {} },
    { created: 5 },
    { author: {} },
    { rootfs: { type: 1, diff_ids: [] } },
    { config: { Env: ['A=b', null] } },
    { history: [null] },
  ]
  for (const more of bad)
    assert.throws(
      () => read(more),
      (error) => isError(error, 'invalid') && /malformed: (json: cannot unmarshal|null)/.test(error.message),
      JSON.stringify(more),
    )
})

test('what is null, missing or unknown does no harm', () => {
  const config = { Labels: null, Env: null, Cmd: null, ExposedPorts: { '80/tcp': {} }, Healthcheck: null, Other: 5 }
  assert.equal(read({ config, history: null, created: null, more: [1] }).os, 'linux')
  assert.deepEqual(read({ rootfs: { type: 'layers', diff_ids: null } }).rootfs.diff_ids, [])
})
