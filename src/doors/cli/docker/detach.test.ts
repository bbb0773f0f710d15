import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detachKeys, watchKeys } from './detach.ts'

const typed = async (keys: string, ...chunks: string[]): Promise<{ passed: string; left: boolean }> => {
  let left = false
  const watch = watchKeys(detachKeys(keys), () => {
    left = true
  })
  for (const chunk of chunks) watch.write(Buffer.from(chunk))
  watch.end()
  const passed: Buffer[] = []
  for await (const chunk of watch) passed.push(chunk as Buffer)
  return { passed: Buffer.concat(passed).toString(), left }
}

test('keys are read as docker writes them', () => {
  assert.deepEqual([...detachKeys('ctrl-p,ctrl-q')], [16, 17])
  assert.deepEqual([...detachKeys('a,ctrl-@,ctrl-[')], [97, 0, 27])
  assert.throws(() => detachKeys('ctrl-?'), { message: "Unknown character: 'ctrl-?'" })
})

test('all keys in a row leave; one alone was meant for the program', async () => {
  assert.deepEqual(await typed('ctrl-p,ctrl-q', 'ab\x10', '\x11cd'), { passed: 'ab', left: true })
  assert.deepEqual(await typed('ctrl-p,ctrl-q', 'a\x10b\x11'), { passed: 'a\x10b\x11', left: false })
  assert.deepEqual(await typed('ctrl-p,ctrl-q', '\x10\x10\x11x'), { passed: '\x10', left: true })
})
