import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { matchesFields, parseFieldSelector } from './fields.ts'
import { labelMatcher } from './labels.ts'

test('label selectors', () => {
  const labels = { app: 'web', tier: 'front', n: '5' }
  const cases: [string, boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web,tier!=back', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['app in (web, db)', true],
    ['app notin (web)', false],
    ['missing notin (web)', true],
    ['app', true],
    ['!app', false],
    ['!missing', true],
    ['n>4,n<6', true],
    ['app in (a,b),tier=front', false],
    ['example.com/x=', false],
  ]
  for (const [selector, expected] of cases) assert.equal(labelMatcher(selector)(labels), expected, selector)
  assert.throws(
    () => labelMatcher('a b c'),
    (e) => isError(e, 'bad-request'),
  )
})
test('field selectors', () => {
  const parsed = parseFieldSelector('metadata.name=a,status.phase!=Running')
  const values = (phase: string) => (field: string) => (field === 'metadata.name' ? 'a' : phase)
  assert.ok(matchesFields(parsed, values('Pending')))
  assert.ok(!matchesFields(parsed, values('Running')))
  assert.deepEqual(parseFieldSelector('a=x\\,y')[0]?.value, 'x,y')
  assert.throws(
    () => parseFieldSelector('nonsense'),
    (e) => isError(e, 'bad-request'),
  )
})
