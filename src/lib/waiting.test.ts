import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlipwayError } from '../errors.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { Semaphore } from './semaphore.ts'

type Run = (task: () => Promise<void>, signal?: AbortSignal) => Promise<void>
const both: Record<string, () => Run> = {
  semaphore: () => {
    const one = new Semaphore(1)
    return (task, signal) => one.run(task, signal)
  },
  'keyed mutex': () => {
    const one = new KeyedMutex()
    return (task, signal) => one.run('key', task, signal)
  },
}

for (const [name, create] of Object.entries(both))
  test(`${name}: who gives up while waiting is told at once and never runs; the others keep their turns`, async () => {
    const run = create()
    const order: string[] = []
    const first = Promise.withResolvers<void>()
    const stop = new AbortController()
    const running = run(async () => {
      order.push('first')
      await first.promise
    }, stop.signal)
    const second = run(async () => void order.push('second'), stop.signal)
    const third = run(async () => void order.push('third'))
    await Promise.resolve()
    stop.abort(new SlipwayError('cancelled', 'enough'))
    await assert.rejects(second, /enough/)
    await assert.rejects(
      run(async () => void order.push('late'), stop.signal),
      /enough/,
    )
    assert.deepEqual(order, ['first'])
    const fourth = run(async () => void order.push('fourth'))
    first.resolve()
    // What has begun is not ended by it.
    await Promise.all([running, third, fourth])
    assert.deepEqual(order, ['first', 'third', 'fourth'])
  })
