import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlipwayError } from '../../errors.ts'
import type { BuildProgress } from '../types.ts'
import { plainProgress } from './plain.ts'

const log = (id: string, text: string): BuildProgress => ({
  type: 'log',
  id,
  stream: 'stdout',
  data: Buffer.from(text),
})

test('steps, output, cached ones, transfers', () => {
  const style = plainProgress(() => 1500)
  const events: BuildProgress[] = [
    { type: 'vertex', id: 'a', name: '[1/2] FROM x' },
    { type: 'vertex', id: 'b', name: '[2/2] RUN y' },
    { type: 'started', id: 'a', time: 1000 },
    { type: 'done', id: 'a', time: 1000, cached: true },
    { type: 'started', id: 'b', time: 1000 },
    log('b', 'one\ntw'),
    log('b', 'o\r\nbar 1%\rbar 2%\nrest'),
    { type: 'status', id: 'b', name: 'layer', current: 10, total: 2000 },
    { type: 'status', id: 'b', name: 'layer', current: 20, total: 2000 },
    { type: 'status', id: 'b', name: 'layer', current: 2000, total: 2000 },
    { type: 'done', id: 'b', time: 2250, cached: false },
    { type: 'notice', message: 'note' },
  ]
  assert.equal(
    events.map((event) => style.event(event)).join('') + style.end(),
    `#1 [1/2] FROM x
#1 CACHED

#2 [2/2] RUN y
#2 0.500 one
#2 0.500 two
#2 0.500 bar 2%
#2 layer 10B / 2.00kB
#2 layer 2.00kB / 2.00kB done
#2 0.500 rest
#2 DONE 1.2s
note
`.replace('#2 DONE 1.2s', '#2 DONE 1.3s'),
  )
})

test('a failure: the step with its last lines, the excerpt, the error', () => {
  const style = plainProgress(() => 0)
  style.event({ type: 'vertex', id: 'a', name: '[2/2] RUN y' })
  style.event({ type: 'started', id: 'a', time: 0 })
  style.event({ type: 'done', id: 'a', time: 0, cached: false, error: 'it failed' })
  const error = new SlipwayError('invalid', 'it failed', { details: { output: 'l1\nl2', source: 'Dockerfile:2\n>>>' } })
  assert.equal(
    style.end(error),
    `
------
 > [2/2] RUN y:
l1
l2
------

Dockerfile:2
>>>
ERROR: failed to build: failed to solve: it failed
`,
  )
})

test('steps that take turns, and what the one that fails said last', () => {
  let now = 0
  const style = plainProgress(() => now)
  const start = (id: string): BuildProgress[] => [
    { type: 'vertex', id, name: `RUN ${id}` },
    { type: 'started', id, time: 0 },
  ]
  const log = (id: string, text: string): BuildProgress => ({
    type: 'log',
    id,
    stream: 'stdout',
    data: Buffer.from(text),
  })
  let out = [...start('a'), ...start('b'), log('a', 'one\n'), log('b', 'two\n')].map((e) => style.event(e)).join('')
  now = 1500
  const many = Array.from({ length: 12 }, (_, index) => `line ${index}\n`).join('')
  out += style.event({ type: 'done', id: 'b', time: now, cached: false })
  out += style.event(log('a', many))
  const turns = ['#1 RUN a\n#1 ...', '#2 RUN b\n#2 ...', '#1 RUN a\n#1 0.000 one\n#1 ...']
  const last = ['#2 RUN b\n#2 0.000 two\n#2 DONE 1.5s', '#1 RUN a\n#1 1.500 line 0\n']
  assert.ok(out.startsWith([...turns, ...last].join('\n\n')), out)
  style.event({ type: 'done', id: 'a', time: now, cached: false, error: 'it failed' })
  const tail = Array.from({ length: 10 }, (_, index) => `1.500 line ${index + 2}\n`).join('')
  const error = new SlipwayError('invalid', 'it failed', { details: { output: many } })
  assert.equal(
    style.end(error),
    `\n------\n > RUN a:\n${tail}------\n\nERROR: failed to build: failed to solve: it failed\n`,
  )
})

test('warnings come at the end', () => {
  const style = plainProgress()
  const warning: BuildProgress = {
    type: 'warning',
    rule: 'StageNameCasing',
    description: 'Stage names should be lowercase',
    message: "Stage name 'B' should be lowercase",
    url: 'https://x.test',
    at: { file: 'Dockerfile', line: 1 },
    endLine: 1,
    source: 'Dockerfile:1',
  }
  assert.equal(style.event(warning), '')
  assert.match(
    style.end(),
    /1 warning found:\n - StageNameCasing: Stage name 'B' should be lowercase \(line 1\)\n {3}More info: https:\/\/x.test\nDockerfile:1/,
  )
})
