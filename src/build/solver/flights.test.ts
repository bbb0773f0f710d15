import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flights } from './flights.ts'

const gate = (): { open: () => void; opened: Promise<void> } => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open, opened }
}

test('the same step is performed once; late comers hear what was said', async () => {
  const flights = new Flights<number>()
  const { open, opened } = gate()
  let starts = 0
  const heard: string[][] = [[], []]
  const join = (who: number) =>
    flights.run(
      'k',
      (event) => event.type === 'log' && heard[who]!.push(event.data.toString()),
      undefined,
      async ({ emit }) => {
        starts++
        emit({ type: 'log', stream: 'stdout', data: Buffer.from('early') })
        await opened
        emit({ type: 'log', stream: 'stdout', data: Buffer.from('late') })
        return 7
      },
    )
  const first = join(0)
  await new Promise(setImmediate)
  const second = join(1)
  open()
  assert.deepEqual(await Promise.all([first, second]), [7, 7])
  assert.equal(starts, 1)
  assert.deepEqual(heard, [
    ['early', 'late'],
    ['early', 'late'],
  ])
  assert.deepEqual(flights.keys, [])
})

test('it goes on while anybody wants it, and is aborted when nobody does', async () => {
  const flights = new Flights<string>()
  const stops = [new AbortController(), new AbortController()]
  let aborted = false
  const { open, opened } = gate()
  const join = (who: number) =>
    flights.run(
      'k',
      () => {},
      stops[who]!.signal,
      async ({ signal }) => {
        signal.addEventListener('abort', () => {
          aborted = true
          open()
        })
        await opened
        signal.throwIfAborted()
        return 'done'
      },
    )
  const both = [join(0), join(1)]
  await new Promise(setImmediate)
  stops[0]!.abort()
  await assert.rejects(both[0]!, /build canceled/)
  assert.equal(aborted, false)
  stops[1]!.abort()
  await assert.rejects(both[1]!, /build canceled/)
  assert.equal(aborted, true)
  assert.equal(
    await flights.run(
      'k',
      () => {},
      undefined,
      async () => 'anew',
    ),
    'anew',
  )
})

test('an error reaches all, and the next one tries again', async () => {
  const flights = new Flights<number>()
  const fail = () =>
    flights.run(
      'k',
      () => {},
      undefined,
      async () => Promise.reject(new Error('no')),
    )
  await Promise.all([assert.rejects(fail(), /no/), assert.rejects(fail(), /no/)])
  assert.equal(
    await flights.run(
      'k',
      () => {},
      undefined,
      async () => 1,
    ),
    1,
  )
})
