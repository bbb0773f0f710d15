import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AsyncQueue } from './async-queue.ts'

const drain = async <T>(queue: AsyncQueue<T>): Promise<T[]> => {
  const seen: T[] = []
  for await (const item of queue) seen.push(item)
  return seen
}

test('items come in order, also while someone waits', async () => {
  const queue = new AsyncQueue<number>(10)
  const reading = drain(queue)
  queue.push(1)
  await new Promise((done) => setImmediate(done))
  queue.push(2)
  queue.close()
  assert.equal(queue.push(3), false)
  assert.deepEqual(await reading, [1, 2])
})
test('a full queue says its last word and closes', async () => {
  const queue = new AsyncQueue<string>(2, { onOverflow: (q) => q.push('too slow', true) })
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((item) => queue.push(item)),
    [true, true, false, false],
  )
  assert.deepEqual(await drain(queue), ['a', 'b', 'too slow'])
})
test('an error comes after what was queued; leaving the loop closes', async () => {
  const failing = new AsyncQueue<number>(2)
  failing.push(1)
  failing.close(new Error('broken'))
  await assert.rejects(drain(failing), /broken/)
  let closed = false
  const left = new AsyncQueue<number>(2, { onClose: () => (closed = true) })
  left.push(1)
  for await (const _ of left) break
  assert.ok(closed && left.closed)
})
