import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, systemClock } from './clock.ts'
import { WorkQueue } from './work-queue.ts'

/** Turns of the event loop enough for all that is due. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await nextTurn()
}

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
  await settled()
  assert.deepEqual(runs, ['a'])
  q.add('a')
  q.add('a')
  q.add('b')
  await settled()
  assert.deepEqual(runs, ['a', 'b'])
  open()
  await settled()
  assert.deepEqual(runs, ['a', 'b', 'a'])
  assert.ok(q.idle)
  end.abort()
})

test('failures come back after a while; later wishes do not postpone earlier ones', async () => {
  const errors: string[] = []
  let runs = 0
  const asleep: { ms: number; wake: () => void }[] = []
  const clock: Clock = {
    now: () => 1000,
    random: () => 0.5,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { ms, wake: resolve }
        asleep.push(sleeper)
        signal?.addEventListener('abort', () => {
          asleep.splice(asleep.indexOf(sleeper), 1)
          reject(signal.reason)
        })
      }),
  }
  const end = new AbortController()
  const q = new WorkQueue({
    clock,
    workers: 2,
    signal: end.signal,
    work: async () => {
      if (++runs <= 2) throw new Error('no')
    },
    onError: (key, error) => errors.push(`${key}: ${(error as Error).message}`),
  })
  const wake = async (ms: number): Promise<void> => {
    assert.deepEqual(
      asleep.map((sleeper) => sleeper.ms),
      [ms],
    )
    asleep.pop()?.wake()
    await nextTurn()
    await nextTurn()
  }
  q.add('a')
  await nextTurn()
  await nextTurn()
  await wake(5)
  await wake(10)
  assert.deepEqual(errors, ['a: no', 'a: no'])
  assert.equal(runs, 3)
  q.addAfter('a', 10)
  q.addAfter('a', 10_000)
  await wake(10)
  assert.equal(runs, 4)
  q.addAfter('a', 5)
  end.abort()
  assert.deepEqual(asleep, [])
})
