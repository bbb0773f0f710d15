import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shellQuote, shellWords, UnclosedQuote } from './shell-words.ts'

const cases: [line: string, words: string[]][] = [
  ['a  b\tc', ['a', 'b', 'c']],
  [`"two words" 'and $three' a\\ b`, ['two words', 'and $three', 'a b']],
  ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
  [`''`, ['']],
  ['a"b"\'c\'', ['abc']],
  ['a \\\n b', ['a', 'b']],
  ['  ', []],
]
for (const [line, words] of cases)
  test(`words of ${JSON.stringify(line)}`, () => assert.deepEqual(shellWords(line), words))
test('open quotes are errors', () => {
  for (const line of ['"a', "'a", 'a\\']) assert.throws(() => shellWords(line), UnclosedQuote)
})
test("quoting and splitting are each other's reverse", () => {
  const words = ['plain', 'two words', "it's", '$HOME', '', 'a\\b', '"', 'x=1']
  assert.deepEqual(shellWords(shellQuote(words)), words)
})
