import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import type { BuildRecord } from '../types.ts'
import { matcher } from './filter.ts'

const record = (ref: string, more: Partial<BuildRecord>): BuildRecord => ({
  ...{ ref, attrs: {}, exporters: [], startedAt: 0, completedAt: 1000, error: undefined, externalError: undefined },
  ...{ response: {}, steps: { total: 0, completed: 0, cached: 0 }, warnings: 0, pinned: false, attachments: [] },
  ...more,
})
const now = 10 * 60_000
const all = [
  record('good', { startedAt: now - 60_000, completedAt: now - 30_000 }),
  record('bad', { error: { code: 2, message: 'no' }, attrs: { context: 'https://example.test/app.git#main' } }),
  record('stopped', { error: { code: 1, message: 'context canceled' } }),
  record('runs', { startedAt: now - 1000, completedAt: undefined }),
]
const fitting = (...filters: string[]): string =>
  all
    .filter(matcher(filters, now))
    .map(({ ref }) => ref)
    .join(' ')

test('conditions of one filter hold together, of several filters one', () => {
  assert.equal(fitting(), 'good bad stopped runs')
  assert.equal(fitting('status==error'), 'bad')
  assert.equal(fitting('status==canceled', 'status==running'), 'stopped runs')
  assert.equal(fitting('ref~=^[gb],status!=error'), 'good')
  assert.equal(fitting('repository~=example'), 'bad')
  assert.equal(fitting('startedAt>=2m'), 'good runs')
  assert.equal(fitting('duration>=30s'), 'good')
  assert.equal(fitting('completedAt<1970-01-01T00:00:02Z'), 'bad stopped')
})

test('what is no filter is refused', () => {
  for (const filter of ['', 'what==x', 'status>1', 'startedAt>=soon', 'ref~=(', 'duration'])
    assert.throws(
      () => matcher([filter], now),
      (error) => isError(error, 'bad-request'),
      filter,
    )
})
