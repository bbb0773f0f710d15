import assert from 'node:assert/strict'
import { test } from 'node:test'
import { goMode, kindOf, permissionsOf } from './file-mode.ts'

test('types and special bits as Go has them', () => {
  const cases: [number, number, string][] = [
    [0o100644, 0o644, 'file'],
    [0o104755, 0o755 + 2 ** 23, 'file'],
    [0o041777, 2 ** 31 + 2 ** 20 + 0o777, 'directory'],
    [0o120777, 2 ** 27 + 0o777, 'symlink'],
    [0o010600, 2 ** 25 + 0o600, 'fifo'],
    [0o020620, 2 ** 26 + 2 ** 21 + 0o620, 'other'],
    [0o140755, 2 ** 24 + 0o755, 'other'],
  ]
  for (const [mode, go, kind] of cases) {
    assert.equal(goMode(mode), go, mode.toString(8))
    assert.equal(kindOf(go), kind)
    assert.equal(permissionsOf(go), mode & 0o7777)
  }
})
