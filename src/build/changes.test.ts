import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changedConfig } from './changes.ts'

test('changes of a configuration, and in docker words what is none', () => {
  const changed = changedConfig({ Env: ['A=1'] }, ['ENV B=2', 'cmd ["x"]', 'LABEL a=b'])
  assert.deepEqual([changed.Env, changed.Cmd, changed.Labels], [['A=1', 'B=2'], ['x'], { a: 'b' }])
  for (const [change, message] of [
    ['FROM x', 'FROM is not a valid change command'],
    ['bogus', 'bogus is not a valid change command'],
    ['ENV', 'ENV requires at least one argument'],
    ['HEALTHCHECK --bad CMD x', 'unknown flag: --bad'],
    ['ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger"],
  ] as const)
    assert.throws(() => changedConfig({}, ['USER u', change]), { message })
})
