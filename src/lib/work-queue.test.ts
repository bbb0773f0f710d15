import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as after } from 'node:timers/promises'
import { systemClock } from './clock.ts'
import { WorkQueue } from './work-queue.ts'

const queue = (work: (key: string) => Promise<void>, errors: string[] = []) => {
  const end = new AbortController()
  return {
    end,
    queue: new WorkQueue({
      clock: systemClock,
      workers: 2,
      signal: end.signal,
      work,
      onError: (key, error) => errors.push(`${key}: ${(error as Error).message}`),
    }),
  }
}

test('a burst is one piece of work; a key added while worked on comes again, never at the same time', async () => {
  const runs: string[] = []
  let open = (): void => {}
  const { queue: q, end } = queue(async (key) => {
    runs.push(key)
    if (runs.length === 1)
      await new Promise<void>((resolve) => {
        open = resolve
      })
  })
  for (let i = 0; i < 5; i++) q.add('a')
  await after(5)
  assert.deepEqual(runs, ['a'])
  q.add('a')
  q.add('a')
  q.add('b')
  await after(5)
  assert.deepEqual(runs, ['a', 'b'])
  open()
  await after(5)
  assert.deepEqual(runs, ['a', 'b', 'a'])
  assert.ok(q.idle)
  end.abort()
})

test('failures come back after a while; later wishes do not postpone earlier ones', async () => {
  const errors: string[] = []
  let failures = 2
  const { queue: q, end } = queue(async () => {
    if (failures-- > 0) throw new Error('no')
  }, errors)
  q.add('a')
  await after(60)
  assert.deepEqual(errors, ['a: no', 'a: no'])
  assert.equal(failures, -1)
  q.addAfter('a', 10)
  q.addAfter('a', 10_000)
  await after(30)
  assert.equal(failures, -2)
  q.addAfter('a', 5)
  end.abort()
  await after(15)
  assert.equal(failures, -2)
})
