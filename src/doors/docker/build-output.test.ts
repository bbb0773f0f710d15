import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BuildProgress } from '../../build/types.ts'
import { classicOutput } from './build-output.ts'

const step = (text: string, ...vertices: string[]) => ({ instruction: text.split(' ')[0]!, text, vertices })
const started = (id: string): BuildProgress => ({ type: 'started', id, time: 0 })
const done = (id: string, cached = false, error?: string): BuildProgress => ({
  type: 'done',
  id,
  time: 0,
  cached,
  error,
})
const log = (id: string, text: string): BuildProgress => ({
  type: 'log',
  id,
  stream: 'stdout',
  data: Buffer.from(text),
})
const ids = (text: string): string => text.replace(/\b[0-9a-f]{12}\b/g, 'ID')
const print = (events: BuildProgress[], image?: string): string => {
  const out = classicOutput()
  return ids([...events.flatMap((event) => out.event(event)), ...out.end(image)].join(''))
}

test('steps come in the order of the file, though the solver goes another way', () => {
  const steps = [step('FROM a AS one', 'a'), step('RUN x', 'x'), step('FROM b', 'b'), step('COPY --from=one . .', 'c')]
  const events = [
    { type: 'outline', steps } as const,
    done('b', true),
    started('a'),
    done('a', true),
    started('x'),
    log('x', 'said\n'),
    done('x'),
    done('c'),
  ]
  assert.equal(
    print(events, 'imageimageid'),
    `Step 1/4 : FROM a AS one
 ---> ID
Step 2/4 : RUN x
 ---> Running in ID
said
 ---> Removed intermediate container ID
 ---> ID
Step 3/4 : FROM b
 ---> ID
Step 4/4 : COPY --from=one . .
 ---> imageimageid
`,
  )
})

test('what only changes the configuration is written as its turn comes; output as it is made', () => {
  const out = classicOutput()
  const steps = [step('FROM a', 'a'), step('ENV A=b'), step('RUN x', 'x'), step('CMD ["y"]')]
  assert.deepEqual(out.event({ type: 'outline', steps }), [])
  assert.equal(ids(out.event(done('a', true)).join('')), 'Step 1/4 : FROM a\n ---> ID\nStep 2/4 : ENV A=b\n ---> ID\n')
  assert.deepEqual(out.event(started('x')).map(ids), ['Step 3/4 : RUN x\n', ' ---> Running in ID\n'])
  assert.deepEqual(out.event(log('x', 'one\n')), ['one\n'])
  assert.deepEqual(out.event({ ...log('x', 'two\n'), stream: 'stderr' } as BuildProgress), ['\x1b[91mtwo\n\x1b[0m'])
})

test('a failure ends with the step that failed; cached steps say so', () => {
  const steps = [step('FROM a', 'a'), step('RUN x', 'x'), step('RUN y', 'y'), step('RUN z', 'z')]
  const events = [
    { type: 'outline', steps } as const,
    done('a', true),
    done('x', true),
    started('y'),
    log('y', 'why\n'),
    done('y', false, 'broken'),
  ]
  assert.equal(
    print(events),
    `Step 1/4 : FROM a
 ---> ID
Step 2/4 : RUN x
 ---> Using cache
 ---> ID
Step 3/4 : RUN y
 ---> Running in ID
why
`,
  )
})

test('of a later step that writes for ever the end is kept; a character may come in two pieces', () => {
  const out = classicOutput()
  const steps = [step('FROM a AS one', 'a'), step('RUN x', 'x'), step('FROM b', 'b'), step('RUN y', 'y')]
  const early: BuildProgress[] = [
    { type: 'outline', steps },
    done('a', true),
    started('x'),
    done('b', true),
    started('y'),
  ]
  const text = (events: readonly BuildProgress[]): string => events.flatMap((event) => out.event(event)).join('')
  text(early)
  for (let i = 0; i < 100; i++) assert.equal(text([log('y', `${i} ${'.'.repeat(99_990)}\n`)]), '')
  const bytes = Buffer.from('☃')
  for (const at of [0, 1, 2]) text([{ ...log('y', ''), data: bytes.subarray(at, at + 1) } as BuildProgress])
  const rest = text([done('x'), done('y')]) + out.end('imageimageid').join('')
  assert.ok(rest.length < 3e6 && !rest.includes('\n10 ..') && rest.includes('\n99 ..') && rest.includes('\n☃'))
  assert.match(rest, /Running in [0-9a-f]{12}\n\[output clipped, log limit 2MiB reached\]\n/)
})
