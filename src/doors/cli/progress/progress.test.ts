import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { buildSteps } from './build-steps.ts'
import { createProgress, type ProgressMode } from './progress.ts'

const terminal = (isTTY: boolean) => {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 60, rows: 10 })
  let text = ''
  stream.on('data', (chunk) => (text += chunk))
  return { stream, text: () => text, reset: () => (text = '') }
}
const open = (mode: ProgressMode, isTTY = false, ansi: 'auto' | 'never' | 'always' = 'auto') => {
  const t = terminal(isTTY)
  return { ...t, progress: createProgress(t.stream, 'up', mode, ansi) }
}

test('auto: redrawn on a terminal, lines elsewhere', () => {
  assert.equal(open('auto', true).progress.mode, 'tty')
  assert.equal(open('auto', true, 'never').progress.mode, 'plain')
  assert.equal(open('auto', false).progress.mode, 'plain')
  assert.equal(open('auto', false, 'always').progress.mode, 'tty')
})

test('plain: a line a change', () => {
  const { progress, text } = open('plain')
  progress.update({ id: 'Service web', state: 'working', text: '0/1 ready' })
  progress.update({ id: 'Service web', state: 'working', text: '0/1 ready' })
  progress.update({ id: 'Service web', state: 'done', text: 'Ready' })
  progress.print('a notice')
  progress.end()
  assert.equal(text(), ' Service web  0/1 ready\n Service web  Ready\na notice\n')
})

test('json: a document a line; quiet: nothing', () => {
  const json = open('json')
  json.progress.update({ id: 'Image a', state: 'error', text: 'Failed' })
  json.progress.print('why')
  assert.deepEqual(
    json
      .text()
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l)),
    [{ id: 'Image a', status: 'Error', text: 'Failed' }, { text: 'why' }],
  )
  const quiet = open('quiet')
  quiet.progress.update({ id: 'Image a', state: 'done', text: 'Built' })
  assert.equal(quiet.text(), '')
})

test('tty: a title with a count, a line a task, steps under the one that builds', () => {
  const { progress, stream, text, reset } = open('tty', true)
  progress.update({ id: 'Image web', state: 'working', text: 'Building' })
  const steps = buildSteps((lines) => progress.detail('Image web', lines))
  steps.event({ type: 'vertex', id: '1', name: '[2/3] RUN npm ci' })
  steps.event({ type: 'started', id: '1', time: 0 })
  steps.event({ type: 'log', id: '1', stream: 'stdout', data: Buffer.from('one\ntwo\nthree\n\u001b[2Jfour\nfi') })
  reset()
  progress.update({ id: 'Volume data', state: 'done', text: 'Created' })
  const shown = stripVTControlCharacters(text()).split('\n')
  assert.equal(shown[0], '[+] up 1/2')
  assert.match(shown[1]!, /^ . Image web {4}Building +\d\.\ds$/)
  assert.match(shown[2]!, /^ {4}=> \[2\/3\] RUN npm ci {2}\d\.\ds$/)
  assert.deepEqual(shown.slice(3, 6), ['       # two', '       # three', '       # four'])
  assert.match(shown[6]!, /^ ✔ Volume data {2}Created +\d\.\ds$/)
  for (const line of shown) assert.ok(line.length <= stream.columns)
  steps.event({ type: 'done', id: '1', time: 1, cached: false })
  reset()
  progress.update({ id: 'Image web', state: 'done', text: 'Built' })
  progress.end()
  assert.doesNotMatch(text(), /npm ci/)
  assert.match(stripVTControlCharacters(text()), /\[\+\] up 2\/2\n ✔ Image web/)
})

test('tty: what works comes first when not all fits', () => {
  const { progress, text, reset } = open('tty', true)
  for (let i = 0; i < 20; i++) {
    reset()
    progress.update({ id: `Image ${i}`, state: i === 19 ? 'working' : 'done', text: 'x' })
  }
  const lines = (): string[] => stripVTControlCharacters(text()).trimEnd().split('\n')
  assert.equal(lines().length, 9)
  assert.match(lines()[1]!, /Image 19/)
  reset()
  progress.end()
  assert.equal(lines().length, 21, 'all of it in the end')
})
