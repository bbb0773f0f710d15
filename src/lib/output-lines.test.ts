import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OutputLines } from './output-lines.ts'

test('pieces that end anywhere, also within a character', () => {
  const bytes = Buffer.from('grün ☃\r\n10 %\r20 %\r30 %\nlast')
  for (let size = 1; size <= bytes.length; size++) {
    const lines = new OutputLines()
    const found: string[] = []
    for (let at = 0; at < bytes.length; at += size) found.push(...lines.push(bytes.subarray(at, at + size)))
    assert.equal(lines.rest, 'last')
    assert.deepEqual([...found, ...lines.end()], ['grün ☃', '30 %', 'last'], `pieces of ${size}`)
    assert.deepEqual(lines.end(), [])
  }
})

test('a line without an end comes in pieces; a bar that is redrawn for ever takes no room', () => {
  const lines = new OutputLines()
  let told = 0
  for (let i = 0; i < 64; i++) for (const line of lines.push(Buffer.from('𝒳'.repeat(4096)))) told += [...line].length
  assert.ok(told >= 63 * 4096 - 32 * 1024 && lines.rest.length <= 32 * 1024)
  assert.ok(lines.rest.isWellFormed())
  const bar = new OutputLines()
  for (let i = 0; i < 10_000; i++) assert.deepEqual(bar.push(Buffer.from(`\r${i} of 10000`)), [])
  assert.equal(bar.rest, '9999 of 10000')
})
