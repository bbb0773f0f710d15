import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { test } from 'node:test'
import { constants, deflateRawSync, gunzipSync } from 'node:zlib'
import { gzip, gzipBy } from './gzip.ts'
import { Semaphore } from './semaphore.ts'

const MiB = 1 << 20
/** Compressible, and not the same everywhere. */
const words = (size: number): Buffer =>
  Buffer.from(Array.from({ length: size / 8 }, (_, i) => `${(i * 2654435761) % 9973} word `).join('')).subarray(0, size)

async function* inPieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size)
}

const packed = async (data: Buffer, piece: number, options?: Parameters<typeof gzip>[2]): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for await (const part of gzip(inPieces(data, piece), 2, options)) parts.push(part)
  return Buffer.concat(parts)
}

test('every reader takes it, whatever its length', async () => {
  const data = words(3 * MiB)
  for (const size of [0, 1, MiB - 1, MiB, MiB + 1, 2 * MiB, 2.5 * MiB])
    assert.deepEqual(gunzipSync(await packed(data.subarray(0, size), 100_000)), data.subarray(0, size), String(size))
})

test('the same bytes become the same: however they come, and however many are at work', async () => {
  const data = words(5 * MiB)
  const first = await packed(data, 64 * 1024)
  const alone = new Semaphore(1)
  const late = async <T>(task: () => Promise<T>): Promise<T> => {
    await new Promise((go) => setTimeout(go, Math.random() * 10))
    return await task()
  }
  assert.ok(first.equals(await packed(data, 999_983)))
  assert.ok(first.equals(await packed(data, data.length, { lanes: 1, turn: (task) => alone.run(task) })))
  assert.ok(first.equals(await packed(data, 3 * MiB, { lanes: 8, turn: late })))
  // Nothing of what went before is left in a compressor: a block is the same after others as it is alone.
  const last = (await packed(data.subarray(4 * MiB), MiB)).subarray(10, -8)
  assert.ok(first.subarray(-8 - last.length, -8).equals(last))
})

test('what looks like chance is stored, with as good as nothing added', async () => {
  const noise = randomFillSync(Buffer.alloc(3 * MiB + 17))
  const result = await packed(noise, 100_000)
  assert.ok(result.length < noise.length + 1000)
  assert.deepEqual(gunzipSync(result), noise)
})

test('the source is read no faster than the result, and let go when nobody wants more', async () => {
  let given = 0
  let closed = false
  const endless = async function* (): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        given++
        yield words(MiB)
      }
    } finally {
      closed = true
    }
  }
  let parts = 0
  for await (const _ of gzip(endless(), 2, { lanes: 2 })) if (++parts === 5) break
  assert.ok(given <= 5 + 2, `${given} blocks were read for 5 parts`)
  assert.ok(closed)
})

test('a source that fails', async () => {
  const broken = async function* (): AsyncGenerator<Buffer> {
    yield words(2 * MiB)
    throw new Error('disk is gone')
  }
  await assert.rejects(async () => {
    for await (const _ of gzip(broken(), 2));
  }, /disk is gone/)
})

test('by another compressor', async () => {
  const deflate = (block: Uint8Array) => deflateRawSync(block, { level: 1, finishFlush: constants.Z_SYNC_FLUSH })
  const data = Buffer.concat([words(2.5 * MiB), randomFillSync(Buffer.alloc(2 * MiB)), words(MiB)])
  for (const size of [0, 1, MiB, MiB + 1, data.length]) {
    const parts: Uint8Array[] = []
    for await (const part of gzipBy(inPieces(data.subarray(0, size), 100_000), deflate)) parts.push(Buffer.from(part))
    assert.ok(gunzipSync(Buffer.concat(parts)).equals(data.subarray(0, size)), String(size))
  }
})
