import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSchedule } from './schedule.ts'

const minute = Date.parse('2026-11-20T07:27:00Z')

test('a time is due from its first millisecond on', async () => {
  const schedule = await createSchedule('* * * * *', undefined)
  const created = minute - 90_000
  for (const late of [0, 5, 500, 999, 1000, 59_999]) assert.equal(schedule.latest(created, minute + late), minute)
  for (const early of [1, 500, 1000]) assert.equal(schedule.latest(created, minute - early), minute - 60_000)
  assert.equal(schedule.latest(minute - 1000, minute - 1), undefined)
  assert.equal(schedule.latest(minute, minute + 5), undefined) // used already
  assert.equal(schedule.next(minute), minute + 60_000)
})

test('time zones', async () => {
  const schedule = await createSchedule('30 9 * * *', 'Asia/Kolkata')
  assert.equal(schedule.next(minute), Date.parse('2026-11-21T04:00:00Z'))
  assert.equal(schedule.latest(0, minute), Date.parse('2026-11-20T04:00:00Z'))
})
