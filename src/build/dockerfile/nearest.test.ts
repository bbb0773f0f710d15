import assert from 'node:assert/strict'
import { test } from 'node:test'
import { meant, suggest } from './nearest.ts'

test('the first of those least away, at most two edits; nothing for a word that is right', () => {
  assert.equal(meant('FOO_BA', ['BAR', 'FOO_BAR', 'FOO_BAZ']), 'FOO_BAR')
  assert.equal(meant('abc', ['abcdef', 'x']), undefined)
  assert.equal(meant('abc', ['abd', 'abc']), undefined)
  assert.equal(suggest('no', 'CPOY', ['COPY'], true), 'no (did you mean COPY?)')
})

test("very long words are nobody's mistakes", () => {
  assert.equal(meant('a'.repeat(1_000_000), ['a'.repeat(1_000_001)]), undefined)
})
