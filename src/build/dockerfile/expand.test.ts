import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expand } from './expand.ts'

const env: Record<string, string> = { v: 'value', e: '', path: '/a/b/c.tar.gz', two: 'one two', x1: 'X' }
const lookup = (name: string): string | undefined => env[name]
const of = (text: string): string => expand(text, lookup).text

test('variables', () => {
  const cases: [string, string][] = [
    ['$v', 'value'],
    ['${v}', 'value'],
    ['a${v}b', 'avalueb'],
    ['$x1-$x12', 'X-'],
    ['$', '$'],
    ['$.', '$.'],
    ['a$', 'a$'],
    ['$missing', ''],
    ['\\$v', '$v'],
    ['\\${v}', '${v}'],
    ["'$v'", '$v'],
    ['"$v"', 'value'],
    ['"\\$v"', '$v'],
    ['"a\\nb"', 'a\\nb'],
    ['a\\nb', 'anb'],
    ['"a""b"', 'ab'],
  ]
  for (const [text, expected] of cases) assert.equal(of(text), expected, text)
})

test('defaults, alternatives and required values', () => {
  const cases: [string, string][] = [
    ['${v:-d}', 'value'],
    ['${e:-d}', 'd'],
    ['${e-d}', ''],
    ['${n:-d}', 'd'],
    ['${n-d}', 'd'],
    ['${n:-$v}', 'value'],
    ['${n:-${m:-deep}}', 'deep'],
    ['${n:-"a b"}', 'a b'],
    ['${n:-a\\}b}', 'a}b'],
    ['${v:+a}', 'a'],
    ['${e:+a}', ''],
    ['${e+a}', 'a'],
    ['${n+a}', ''],
    ['${v:?m}', 'value'],
    ['${e?m}', ''],
  ]
  for (const [text, expected] of cases) assert.equal(of(text), expected, text)
  assert.throws(() => of('${n:?gone}'), /^Error: n: gone$/)
  assert.throws(() => of('${n?}'), /n: is not allowed to be unset/)
  assert.throws(() => of('${e:?}'), /e: is not allowed to be empty/)
})

test('removal of prefixes and suffixes, replacement', () => {
  const cases: [string, string][] = [
    ['${path#*/}', 'a/b/c.tar.gz'],
    ['${path##*/}', 'c.tar.gz'],
    ['${path%.*}', '/a/b/c.tar'],
    ['${path%%.*}', '/a/b/c'],
    ['${path#nothing}', '/a/b/c.tar.gz'],
    ['${path%\\.gz}', '/a/b/c.tar'],
    ['${path/b/X}', '/a/X/c.tar.gz'],
    ['${path//\\//-}', '-a-b-c.tar.gz'],
    ['${path/a*z/Q}', '/Q'],
    ['${v/?/_}', '_alue'],
    ['${v//[/x}', 'value'],
    ['${v//*/x}', 'x'],
    ['${v/*/x}', 'x'],
    ['${v//a*u/-}', 'v-e'],
    ['${v//?/x}', 'xxxxx'],
    ['${v//*l/x}', 'xue'],
    ['${v//z*/x}', 'value'],
    ['${none///x}', 'x'],
    ['${v%l*}', 'va'],
    ['${v#*?}', 'alue'],
    [`\${v%%${'*a'.repeat(40)}}`, 'value'],
    [`\${v//${'*a'.repeat(40)}b/x}`, 'value'],
  ]
  for (const [text, expected] of cases) assert.equal(of(text), expected, text)
  // A long value and a pattern that is nowhere in it: gone through once, not from each of its characters.
  const long = 'ab'.repeat(50_000)
  for (const [pattern, expected] of [
    ['*a*a*c', long],
    ['a*c', long],
    ['a*b', 'x'],
    ['ab', 'x'.repeat(50_000)],
  ] as const)
    assert.equal(expand(`"\${long//${pattern}/x}"`, () => long).text, expected)
})

test('malformed expressions', () => {
  for (const text of ['${v', '${', '${}', '${{v}}', '${:v}', '${v:-d'])
    assert.throws(() => of(text), /syntax error/, text)
  for (const text of ['${v^}', '${v:!a}', '${v!}']) assert.throws(() => of(text), /unsupported modifier/, text)
  assert.throws(() => of("'a"), /single-quote/)
  assert.throws(() => of('"a'), /double-quote/)
})

test('words: variables split, quotes do not, empty quotes are none', () => {
  assert.deepEqual(expand('a $two "$two" \'\' b', lookup).words, ['a', 'one', 'two', 'one two', 'b'])
})

test('another escape character', () => {
  assert.equal(expand('`$v \\$v', lookup, { escape: '`' }).text, '$v \\value')
})

test('options: unset names stay, quotes stay, quotes are ordinary', () => {
  assert.equal(expand('$n ${n} ${n:-d} $v', lookup, { skipUnset: true }).text, '$n ${n} ${n:-d} value')
  assert.equal(expand('"$v" \'$v\'', lookup, { rawQuotes: true }).text, '"value" \'$v\'')
  assert.equal(expand('"$v" \'$v\'', lookup, { skipQuotes: true }).text, '"value" \'value\'')
  assert.equal(expand('a\\nb', lookup, { rawEscapes: true }).text, 'a\\nb')
})

test('which names were used', () => {
  const { matched, unmatched } = expand('$v $n ${m:-x} ${q}', lookup)
  assert.deepEqual([[...matched], [...unmatched]], [['v'], ['n', 'q']])
})
