import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linesOf } from './lines.ts'

const lines = (...chunks: (string | Buffer)[]): Promise<string[]> =>
  Array.fromAsync(
    linesOf(
      (async function* () {
        yield* chunks.map((chunk) => Buffer.from(chunk))
      })(),
    ),
  )

test('lines: across chunks, several in one, empty ones, without an end', async () => {
  assert.deepEqual(await lines(), [])
  assert.deepEqual(await lines('a\nb\n\nc'), ['a', 'b', '', 'c'])
  assert.deepEqual(await lines('a', 'b', '\n', '\n', 'c\n'), ['ab', '', 'c'])
  assert.deepEqual(await lines('a\r', '\nb\r\n'), ['a', 'b'])
})

test('lines: a character that two chunks share stays whole', async () => {
  const text = Buffer.from('é\nü')
  assert.deepEqual(await lines(text.subarray(0, 1), text.subarray(1, 4), text.subarray(4)), ['é', 'ü'])
})
