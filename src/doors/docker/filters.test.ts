import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Filters } from './filters.ts'

const of = (value: object): Filters => Filters.parse(JSON.stringify(value), Object.keys(value))

test('what is on or off', () => {
  assert.equal(of({}).flag('dangling'), undefined)
  assert.equal(of({ dangling: ['true', '1'] }).flag('dangling'), true)
  assert.equal(of({ dangling: { 0: true } }).flag('dangling'), false)
  for (const [values, said] of [
    [['true', 'false'], 'true false'],
    [['T'], 'T'],
    [['maybe', 'true'], 'maybe true'],
  ] as const)
    assert.throws(() => of({ dangling: values }).flag('dangling'), { message: `invalid filter 'dangling=[${said}]'` })
})

test('one time only', () => {
  assert.equal(of({ until: ['1h'] }).time('until', 7_200_000), 3_600_000)
  assert.throws(() => of({ until: ['1h', '2h'] }).time('until', 0), { message: 'more than one until filter specified' })
})
