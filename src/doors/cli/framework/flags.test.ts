import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durationMs, flagHelp, list, parseFlags, text, toggle, wholeNumber } from './flags.ts'

const known = [
  toggle('-d, --detach', 'Detached'),
  text('-t, --timeout', 'SECONDS', 'Grace'),
  list('--scale', 'SERVICE=NUM', 'Scale'),
  text('--pull', 'POLICY', 'Pull', ['always', 'never']),
  toggle('-q, --quiet', 'Quiet'),
]
const parse = (...argv: string[]) => parseFlags(argv, known, { interspersed: true, command: 'slipway up' })
const fails = (argv: string[], message: RegExp): void => void assert.throws(() => parse(...argv), { message })

test('values: after a space, an equals sign, or at once', () => {
  for (const argv of [['-t', '5'], ['-t5'], ['-t=5'], ['--timeout', '5'], ['--timeout=5']])
    assert.deepEqual(parse(...argv).flags, { timeout: '5' })
  assert.deepEqual(parse('-qdt', '5', 'web').flags, { quiet: true, detach: true, timeout: '5' })
  assert.deepEqual(parse('--scale', 'a=1', '--scale=b=2').flags, { scale: ['a=1', 'b=2'] })
  assert.deepEqual(parse('--detach=false').flags, { detach: false })
})

test('arguments between flags, after --, and the first that ends the flags', () => {
  assert.deepEqual(parse('web', '-d', 'db').args, ['web', 'db'])
  assert.deepEqual(parse('--', '-d').args, ['-d'])
  assert.deepEqual(parse('-').args, ['-'])
  const exec = parseFlags(['-d', 'web', 'ls', '-q'], known, { interspersed: false, command: 'slipway exec' })
  assert.deepEqual(exec, { flags: { detach: true }, args: ['web', 'ls', '-q'] })
})

test('what is wrong, as docker says it', () => {
  fails(['--detahc'], /^unknown flag: --detahc$/)
  fails(['-x'], /^unknown shorthand flag: 'x' in -x$/)
  fails(['-t'], /^flag needs an argument: 't' in -t$/)
  fails(['--timeout'], /^flag needs an argument: --timeout$/)
  fails(['--pull', 'maybe'], /^invalid argument "maybe" for "--pull" flag: must be one of always, never$/)
  fails(
    ['--quiet=perhaps'],
    /^invalid argument "perhaps" for "-q, --quiet" flag: strconv.ParseBool: parsing "perhaps": invalid syntax$/,
  )
  assert.throws(() => parse('--detahc'), { hint: "Did you mean --detach? See 'slipway up --help'." })
})

test('durations and numbers', () => {
  assert.equal(durationMs('10', 't'), 10_000)
  assert.equal(durationMs('1m30s', 't'), 90_000)
  assert.equal(durationMs('1.5s', 't'), 1500)
  assert.equal(durationMs('500ms', 't'), 500)
  assert.throws(() => durationMs('soon', 't'), { message: 'invalid argument "soon" for "--t" flag: not a duration' })
  assert.throws(() => durationMs('5x3s', 't'))
  assert.equal(wholeNumber('12', 'n'), 12)
  assert.throws(() => wholeNumber('-1', 'n'))
})

test('help lines up', () => {
  assert.equal(
    flagHelp(known.slice(0, 3)),
    '  -d, --detach              Detached\n  -t, --timeout SECONDS     Grace\n      --scale SERVICE=NUM   Scale',
  )
})
