import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { noteCgroup, notedCgroup, stepCgroup } from './step-cgroup.ts'

test('the cgroup of a step is what was noted of it, and never anything else', () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-step-'))
  try {
    const bundle = join(dir, 'step-1')
    mkdirSync(bundle)
    assert.equal(notedCgroup(bundle, '/slipway-1'), '/slipway-1/step-1')
    noteCgroup(bundle, stepCgroup('user/group', 'step-1'))
    assert.equal(notedCgroup(bundle, '/slipway-1'), '/user/group/step-1')
    // Cut off: everybody is in the root cgroup, and others are in the parent.
    for (const text of ['', '/', '/user/group', '/user/group/step', '\0\0\0', 'step-1']) {
      writeFileSync(join(bundle, 'cgroup'), text)
      assert.equal(notedCgroup(bundle, '/slipway-1'), '/slipway-1/step-1', JSON.stringify(text))
    }
    assert.equal(stepCgroup('/../..', 'step-1'), '/step-1')
  } finally {
    rmSync(dir, { recursive: true })
  }
})
