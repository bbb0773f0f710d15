import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDockerignore } from './dockerignore.ts'
import { globExpression, hasWildcards, unescapeGlob } from './glob.ts'
import { modeChange } from './mode.ts'
import { compilePatterns } from './patterns.ts'

test('filepath.Match', () => {
  const cases: [string, string, boolean][] = [
    ['abc', 'abc', true],
    ['*', 'abc', true],
    ['*c', 'abc', true],
    ['a*', 'ab/c', false],
    ['a*/b', 'abc/b', true],
    ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
    ['a*b?c*x', 'abxbbxdbxebxczzx', true],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['ab[^e-g]', 'abc', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'ab', false],
    ['a?b', 'a☺b', true],
    ['a[^a]b', 'a☺b', true],
    ['a?b', 'a/b', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['[x\\-]', 'z', false],
    ['*x', 'xxx', true],
    ['.*', '.hidden', true],
    ['a.c', 'abc', false],
    ['[z-a]', 'm', false],
  ]
  for (const [pattern, path, expected] of cases)
    assert.equal(globExpression(pattern).test(path), expected, `${pattern} ${path}`)
  for (const pattern of ['[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', '[', '[^', '[^bc', 'a[', 'a\\'])
    assert.throws(() => globExpression(pattern), /syntax error in pattern/, pattern)
  assert.deepEqual(['a', 'a*', 'a\\*', '[a'].map(hasWildcards), [false, true, false, true])
  assert.equal(unescapeGlob('a\\*\\\\b'), 'a*\\b')
})

test('.dockerignore lines', () => {
  const text = '\uFEFF# comment\n#x\n #not a comment\n\n  a/b/  \n/root\n! /c \n./d/../e\r\n'
  assert.deepEqual(parseDockerignore(text), ['#not a comment', 'a/b', 'root', '!c', 'e'])
})

test('patterns: the last match wins, a directory takes what is below it', () => {
  const cases: [string[], string, boolean][] = [
    [['a'], 'a', true],
    [['a'], 'a/b/c', true],
    [['a'], 'b/a', false],
    [['*'], 'a/b', true],
    [['*.md'], 'x.md', true],
    [['*.md'], 'd/x.md', false],
    [['**.md'], 'd/e/x.md', true],
    [['**.md'], 'x.md', true],
    [['**/*.md'], 'x.md', true],
    [['**/*.md'], 'd/e/x.md', true],
    [['**/x'], 'x', true],
    [['**/x'], 'a/x', true],
    [['**/x'], 'ax', false],
    [['**'], 'anything/at/all', true],
    [['a/**'], 'a/b/c', true],
    [['a/**'], 'a', false],
    [['a/**/z'], 'a/z', true],
    [['a/**/z'], 'a/b/c/z', true],
    [['a/**/z'], 'b/z', false],
    [['*', '!keep'], 'keep', false],
    [['*', '!keep'], 'keep/inside', false],
    [['*', '!keep', 'keep/not'], 'keep/not', true],
    [['!keep', '*'], 'keep', true],
    [['a', '!a/b'], 'a/b', false],
    [['a', '!a/b'], 'a/c', true],
    [['[a-c]x'], 'bx', true],
    [['a?c'], 'a/c', false],
    [['a.c'], 'abc', false],
    [['a+(b)'], 'a+(b)', true],
    [['foo\\*'], 'foo*', true],
    [['foo\\*'], 'foobar', false],
    [['[\\]a]'], ']', true],
    [['a?b'], 'a\u{1F600}b', true],
    [['[\u{1F600}-\u{1F610}]'], '\u{1F605}', true],
    [['a\\\\'], 'a\\', true],
    [['a.|)$(}+{b-c/@#'], 'a.|)$(}+{b-c/@#', true],
    [['/a/'], 'a', true],
  ]
  for (const [patterns, path, expected] of cases)
    assert.equal(compilePatterns(patterns).matches(path), expected, `${patterns.join(' ')} on ${path}`)
  assert.throws(() => compilePatterns(['!']), /illegal exclusion pattern/)
  assert.throws(() => compilePatterns(['[']), /syntax error in pattern/)
})

test('which ignored directories have to be walked', () => {
  const below = (patterns: string[], path: string): boolean => compilePatterns(patterns).mayExceptBelow(path)
  assert.equal(below(['node_modules'], 'node_modules'), false)
  assert.equal(below(['*', '!src/a'], 'src'), true)
  assert.equal(below(['*', '!src/a'], 'other'), false)
  assert.equal(below(['*', '!**/*.go'], 'any/where'), true)
  assert.equal(below(['*', '!src'], 'src/deep'), true)
  assert.equal(below(['!src/a', 'src'], 'src'), false, 'undone by a later line')
  assert.equal(below(['src', '!src/a', 'src/b'], 'src'), true)
})

test('--chmod', () => {
  const cases: [string, number, boolean, number][] = [
    ['755', 0o600, false, 0o755],
    ['0644', 0o777, true, 0o644],
    ['4755', 0, false, 0o4755],
    ['u=rwX,go=rX', 0o600, false, 0o644],
    ['u=rwX,go=rX', 0o700, false, 0o755],
    ['u=rwX,go=rX', 0o600, true, 0o755],
    ['+x', 0o644, false, 0o755],
    ['a-w', 0o777, false, 0o555],
    ['go=', 0o777, false, 0o700],
    ['g=u', 0o700, false, 0o770],
    ['u+s', 0o755, false, 0o4755],
    ['+t', 0o777, true, 0o1777],
    ['u-s', 0o4755, false, 0o755],
  ]
  for (const [text, mode, directory, expected] of cases)
    assert.equal(modeChange(text)(mode, directory).toString(8), expected.toString(8), `${text} on ${mode.toString(8)}`)
})

test('whatever was asked for before, a path is selected or not', () => {
  const lines = ['*', '!a', 'a/b', '!a/b/c', '**/x', '!d/**', 'd/e']
  const paths = ['a', 'b', 'a/b', 'a/b/c', 'a/b/c/d', 'a/x', 'd', 'd/e', 'd/e/f', 'd/x', 'x', 'b/a/x']
  const asked = compilePatterns(lines)
  for (const first of paths)
    for (const then of paths) {
      asked.matches(first)
      assert.equal(asked.matches(then), compilePatterns(lines).matches(then), `${then} after ${first}`)
    }
})

test('many stars take no longer than few', () => {
  const long = 'a'.repeat(200)
  assert.equal(compilePatterns([`${'*a'.repeat(30)}b`]).matches(long), false)
  assert.equal(compilePatterns([`**/${'x/**/'.repeat(12)}b`]).matches(`${'x/'.repeat(100)}c`), false)
  assert.equal(compilePatterns(['**/x/**/[a-c]?/*.t*t']).matches('1/x/2/3/bz/a.txt'), true)
  assert.equal(globExpression('*a*[b-d]*\\*?').test('xaxcx*é'), true)
  assert.equal(globExpression('*a*b*c').test('a/b/c'), false)
})
