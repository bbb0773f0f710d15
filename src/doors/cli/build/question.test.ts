import assert from 'node:assert/strict'
import { test } from 'node:test'
import { questionOf } from './question.ts'

test('--call and --check', () => {
  const asked = (call: string) => questionOf({ call })
  assert.equal(questionOf({}), undefined)
  assert.equal(asked('build'), undefined)
  assert.deepEqual(questionOf({ check: true }), { what: 'check', json: false, ignoresStatus: false })
  assert.deepEqual(asked('lint,format=json'), { what: 'check', json: true, ignoresStatus: false })
  assert.deepEqual(asked('format=text,outline,ignorestatus=1'), { what: 'outline', json: false, ignoresStatus: true })
  assert.throws(() => asked('outline,target=x'), /invalid print field: target=x/)
  assert.throws(() => asked('outline,targets'), /invalid print value: outline,targets/)
  assert.throws(() => asked('check,ignorestatus=x'), /invalid ignorestatus print value: x/)
  assert.throws(() => asked('nope'), /call "nope" is not known: build, check, outline or targets/)
})
