import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { createCgroups } from './cgroups.ts'
import { processes } from './processes.ts'

test('nobody gets all processes of the machine by a path or a pid that was lost', () => {
  const cgroups = createCgroups()
  for (const path of ['', '/', '//', '.', '/.', '/..', '/a/..', '/../..'])
    for (const act of [cgroups.pids, cgroups.thaw, cgroups.remove])
      assert.throws(() => act(path), { details: { errno: 'EINVAL' } }, JSON.stringify(path))
  assert.deepEqual(cgroups.pids('/slipway-of-no-instance/x'), [])
  // Signal 0, should it ever not be refused.
  for (const pid of [0, 1, -1, -0, Number.NaN, Number('x'), 1.5])
    assert.throws(
      () => processes.kill(pid, 0),
      (error) => isError(error, 'internal'),
      String(pid),
    )
  assert.equal(processes.kill(process.pid, 0), true)
  assert.deepEqual(processes.descendants(0), [])
})
