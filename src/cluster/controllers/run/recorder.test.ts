import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Event as EventObject } from '../../../spec/kube/generated/types.ts'
import { Pod } from '../../../spec/kube/kinds.ts'
import { createRecorder } from './recorder.ts'

const setup = () => {
  const events = new Map<string, EventObject>()
  const client = {
    create: async (_: unknown, event: EventObject) => {
      events.set(event.metadata.name!, event)
      return event
    },
    patch: async (_: unknown, { name }: { name: string }, { body }: { body: Partial<EventObject> }) => {
      const before = events.get(name)
      if (!before) throw new SlipwayError('not-found', 'gone')
      events.set(name, { ...before, ...body })
    },
  } as unknown as ObjectClient
  const time = { now: Date.parse('2026-01-01T00:00:00Z') }
  let seed = 0
  const clock: Clock = { now: () => time.now, random: () => (seed = (seed + 0.37) % 1), sleep: async () => {} }
  const recorder = createRecorder(client, 'kubelet', clock, { host: 'node-1' })
  const pod = { metadata: { name: 'web', namespace: 'default', uid: 'u' } }
  const view = (): string[] =>
    [...events.values()].map(({ reason, message, count }) => `${reason} ${message} x${count}`)
  return { events, time, recorder, pod, view }
}

test('the same event counts up; one that has been removed is made anew', async () => {
  const { recorder, pod, view, events, time } = setup()
  for (let i = 0; i < 3; i++) {
    time.now += 1000
    recorder.event(Pod, pod, 'Warning', 'BackOff', 'restarting', { fieldPath: 'spec.containers{web}' })
  }
  await recorder.flush()
  assert.deepEqual(view(), ['BackOff restarting x3'])
  const [event] = events.values()
  assert.deepEqual(event?.involvedObject, {
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: 'default',
    name: 'web',
    uid: 'u',
    fieldPath: 'spec.containers{web}',
  })
  assert.deepEqual([event?.firstTimestamp, event?.lastTimestamp], ['2026-01-01T00:00:01Z', '2026-01-01T00:00:03Z'])
  assert.deepEqual(event?.source, { component: 'kubelet', host: 'node-1' })
  events.clear()
  recorder.event(Pod, pod, 'Warning', 'BackOff', 'restarting', { fieldPath: 'spec.containers{web}' })
  await recorder.flush()
  assert.deepEqual(view(), ['BackOff restarting x1'])
})

test('many alike become one', async () => {
  const { recorder, pod, view } = setup()
  for (let i = 0; i < 14; i++) recorder.event(Pod, pod, 'Normal', 'Created', `pod ${i}`)
  await recorder.flush()
  assert.equal(view().length, 11)
  assert.equal(view().at(-1), 'Created (combined from similar events): pod 13 x4')
})

test('a source of very many is cut', async () => {
  const { recorder, pod, view, time } = setup()
  for (let i = 0; i < 40; i++) recorder.event(Pod, pod, 'Normal', 'Same', 'again')
  await recorder.flush()
  assert.deepEqual(view(), ['Same again x25'])
  time.now += 600_000
  for (let i = 0; i < 40; i++) recorder.event(Pod, pod, 'Normal', 'Same', 'again')
  await recorder.flush()
  assert.deepEqual(view(), ['Same again x27'])
})
