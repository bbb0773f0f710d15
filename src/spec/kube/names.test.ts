import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  generatedName,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isPortName,
  isQualifiedName,
} from './names.ts'

const accepts = (check: (text: string) => string[], good: string[], bad: string[]): void => {
  for (const text of good) assert.deepEqual(check(text), [], text)
  for (const text of bad) assert.ok(check(text).length > 0, text)
}
test('grammars of names', () => {
  accepts(isDns1123Label, ['a', 'a-1', '1a'], ['', 'A', '-a', 'a-', 'a.b', 'a'.repeat(64)])
  accepts(isDns1035Label, ['a', 'a-1'], ['1a', ''])
  accepts(isDns1123Subdomain, ['a.b-c.d'], ['a..b', 'a_b', '.a'])
  accepts(isQualifiedName, ['a', 'A.b_c', 'example.com/x'], ['', '/x', 'a/', 'a/b/c', 'Ex.com/a b'])
  accepts(isLabelValue, ['', 'a', 'A-b_c.d'], ['-a', 'a b', 'a'.repeat(64)])
  accepts(isPortName, ['http', 'a-1'], ['80', 'a--b', '-a', 'abcdefghijklmnop', 'A'])
})
test('generated names', () => {
  assert.match(generatedName('web-', Math.random), /^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  assert.equal(generatedName('x'.repeat(80), () => 0).length, 63)
})
