import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BuildProgress } from '../../../build/types.ts'
import { rawJson } from './raw-json.ts'
import { type Screen, screenOf } from './screen.ts'
import { BuildSteps } from './steps.ts'

const log = (id: string, text: string): BuildProgress => ({
  type: 'log',
  id,
  stream: 'stdout',
  data: Buffer.from(text),
})
const vertex = (id: string, name: string): BuildProgress => ({ type: 'vertex', id, name })
const started = (id: string, time: number): BuildProgress => ({ type: 'started', id, time })
const done = (id: string, time: number, more: object = {}): BuildProgress => ({
  type: 'done',
  id,
  time,
  cached: false,
  ...more,
})

const events: BuildProgress[] = [
  vertex('c', '[internal] load build context'),
  started('c', 0),
  { type: 'status', id: 'c', name: 'transferring context', current: 2048 },
  done('c', 100),
  vertex('a', '[a 2/2] RUN one'),
  vertex('b', '[b 2/2] RUN two, which is called by a name that does not fit'),
  started('a', 100),
  started('b', 200),
  log('a', 'first\nsec'),
  log('a', 'ond\r\n\u001b[2Jthird'),
  vertex('x', '[c 1/3] FROM busybox'),
  started('x', 300),
  done('x', 300, { cached: true }),
]
const screen = (more: Partial<Screen>): Screen => ({
  columns: 60,
  rows: 24,
  now: 1300,
  begun: 0,
  finished: false,
  color: false,
  ...more,
})
const shown = (of: readonly BuildProgress[], more: Partial<Screen> = {}): string[] => {
  const steps = new BuildSteps(() => 1300)
  for (const event of of) steps.event(event)
  return screenOf(steps, screen(more))
}

test('stages side by side, with times, marks and the last lines of what runs', () => {
  assert.deepEqual(shown(events), [
    '[+] Building 1.3s (2/4)                              slipway',
    ' => [internal] load build context                       0.1s',
    ' => => transferring context 2.05kB                      0.0s',
    ' => [a 2/2] RUN one                                     1.2s',
    ' => => # first',
    ' => => # second',
    ' => => # third',
    ' => [b 2/2] RUN two, which is called by a name that doe 1.1s',
    ' => CACHED [c 1/3] FROM busybox                         0.0s',
  ])
})

test('too much for the terminal: what is done goes first, what runs stays', () => {
  const lines = shown(events, { rows: 6, columns: 40 })
  assert.ok(lines.length <= 5)
  assert.ok(lines.some((line) => line.includes('RUN one')) && lines.some((line) => line.includes('RUN two')))
  for (const line of lines) assert.ok(line.length <= 40, line)
})

test('the end: all of it; a failure and what it stopped are marked', () => {
  const steps = new BuildSteps(() => 1300)
  for (const event of [...events, done('a', 900, { error: 'exit code: 1' })]) steps.event(event)
  steps.cancel()
  const lines = screenOf(steps, screen({ finished: true, rows: 3, columns: 80 }))
  assert.match(lines[0]!, /^\[\+\] Building 1\.3s \(4\/4\) FINISHED +slipway$/)
  assert.match(lines.join('\n'), / => ERROR \[a 2\/2\] RUN one +0\.8s\n => CANCELED \[b 2\/2\] RUN two/)
  assert.match(screenOf(steps, screen({ color: true })).join('\n'), /\u001b\[31m => ERROR/)
})

test('rawjson: each line has all that is known of a vertex', () => {
  const line = rawJson(() => 0)
  const [, , last] = [vertex('a', 'RUN'), started('a', 1000), done('a', 2000, { error: 'bad' })].map((event) =>
    JSON.parse(line(event)),
  )
  const { digest, ...rest } = last.vertexes[0]
  assert.match(digest, /^sha256:[0-9a-f]{64}$/)
  assert.deepEqual(rest, {
    name: 'RUN',
    started: '1970-01-01T00:00:01.000Z',
    completed: '1970-01-01T00:00:02.000Z',
    cached: false,
    error: 'bad',
  })
  const { logs } = JSON.parse(line(log('a', 'hi')))
  assert.deepEqual([logs[0].vertex, logs[0].stream, Buffer.from(logs[0].data, 'base64').toString()], [digest, 1, 'hi'])
})
