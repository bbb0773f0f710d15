import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Part, wildcards } from './wildcards.ts'

const any = (): boolean => true
const inSegment = (char: string): boolean => char !== '/'
/** `*` within a segment, `#` any number of directories, `%` anything, `?` one character. */
const of = (pattern: string) =>
  wildcards(
    [...pattern].map((char): Part => {
      if (char === '*') return { many: inSegment }
      if (char === '%') return { many: any }
      if (char === '#') return { upTo: '/' }
      return { one: char === '?' ? any : (given) => given === char }
    }),
  )

test('what matches', () => {
  for (const [pattern, yes, no] of [
    ['', [''], ['a']],
    ['abc', ['abc'], ['ab', 'abcd', '']],
    ['a?c', ['abc', 'a/c', 'aéc', 'a😀c'], ['ac']],
    ['a*c', ['ac', 'abc', 'acc'], ['a/c', 'ab']],
    ['*a*b*', ['ab', 'xaxbx', 'aab'], ['ba', 'a', 'a/b']],
    ['%', ['', 'a/b/c'], []],
    ['#a', ['a', 'x/a', 'x/y/a', '/a'], ['xa', 'x/ab', 'a/']],
    ['a#b', ['ab', 'a/b', 'ax/b', 'ax/y/b'], ['axb', 'a/bc']],
    ['#a/#b', ['a/b', 'x/a/y/b', 'a/a/b'], ['a', 'b/a']],
  ] as const) {
    for (const text of yes) assert.ok(of(pattern).matches(text), `${pattern} ${text}`)
    for (const text of no) assert.ok(!of(pattern).matches(text), `${pattern} ${text}`)
  }
})

test('ends of matches', () => {
  assert.deepEqual(of('a*').ends([...'xaab'], 1), { ends: [2, 3, 4], open: true })
  assert.deepEqual(of('*b').ends([...'abab']), { ends: [2, 4], open: true })
  assert.deepEqual(of('').ends([...'ab'], 2), { ends: [2], open: true })
  assert.deepEqual(of('b').ends([...'ab']), { ends: [], open: false })
})

test('many stars take no longer than few', () => {
  const text = 'a'.repeat(200)
  assert.equal(of(`${'*a'.repeat(40)}b`).matches(text), false)
  assert.equal(of(`${'#a/'.repeat(40)}b`).matches('a/'.repeat(200)), false)
})
