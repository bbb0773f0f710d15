import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detachKeys, untilDetached } from './detach.ts'

test('keys as --detach-keys writes them', () => {
  assert.deepEqual([...detachKeys('')], [16, 17])
  assert.deepEqual([...detachKeys('ctrl-a,x,ctrl-@,ctrl-_')], [1, 120, 0, 31])
  for (const text of ['ctrl-A', 'ctrl-', 'xy', 'a,', 'é', 'ctrl-toString'])
    assert.throws(() => detachKeys(text), /^SlipwayError: Invalid detach keys \(.*\) provided$/, text)
})

const typed = async (keys: string, ...chunks: string[]): Promise<[string, boolean]> => {
  let left = false
  const stream = untilDetached(detachKeys(keys), () => {
    left = true
  })
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  return [Buffer.concat(await stream.toArray()).toString(), left]
}

test('what is typed goes through until the keys come in a row', async () => {
  assert.deepEqual(await typed('', 'ls\x10', '\x11rm'), ['ls', true])
  assert.deepEqual(await typed('', 'a\x10b\x11', '\x10'), ['a\x10b\x11\x10', false])
  assert.deepEqual(await typed('', '\x10\x10\x11'), ['\x10', true])
  assert.deepEqual(await typed('ctrl-c', 'x\x03y'), ['x', true])
})
