import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlipwayError } from '../../../errors.ts'
import { exitCodeOf, failureText } from './failure.ts'

test('where, what, the excerpt, what to do', () => {
  const error = new SlipwayError('invalid', 'no such key', {
    at: { file: '/a/compose.yaml', line: 3, column: 5 },
    hint: 'Write another.',
    details: { source: '>  3 | kye: 1\n     | ^' },
  })
  assert.equal(failureText(error), '/a/compose.yaml:3:5: no such key\n>  3 | kye: 1\n     | ^\nWrite another.')
})

test('a message that says where already does not say it twice', () => {
  const at = { file: 'f', line: 1 }
  assert.equal(failureText(new SlipwayError('invalid', 'f:1: bad', { at })), 'f:1: bad')
})

test('what is not ours shows its stack', () => {
  assert.match(failureText(new TypeError('x is not a function')), /^slipway: TypeError: x is not a function\n +at /)
})

test('exit codes', () => {
  assert.equal(exitCodeOf(new SlipwayError('cancelled', 'canceled')), 130)
  assert.equal(exitCodeOf(new SlipwayError('not-found', 'x')), 1)
  assert.equal(exitCodeOf(new Error('x')), 1)
})
