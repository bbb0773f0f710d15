import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sha256File } from './digests.ts'

const directory = mkdtempSync(join(tmpdir(), 'slipway-digests-'))
after(() => rmSync(directory, { recursive: true }))

test('files of all sizes, also of another one than was said', async () => {
  const file = join(directory, 'file')
  const limit = 256 * 1024
  for (const size of [0, 1, limit - 1, limit, limit + 1, 3 * limit]) {
    const data = Buffer.alloc(size, 'slipway')
    writeFileSync(file, data)
    const expected = createHash('sha256').update(data).digest('hex')
    for (const said of [0, size, size + 1, 10 * limit]) assert.equal(await sha256File(file, said), expected)
  }
})
