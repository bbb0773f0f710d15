import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageConfig } from './image.ts'
import { opsOf, plan } from './plan.fixture.ts'

const at = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000', '')

test('times of the history: layers keep theirs, the rest follows', async () => {
  const stage = await plan('FROM a\nENV x=1\nRUN a\nENV y=1\nWORKDIR /there\nCMD ["a"]')
  assert.equal(opsOf(stage.rootfs).length, 2)
  const result = {
    snapshots: ['base', 'one'],
    contentKey: 'k',
    steps: [
      { layer: true, createdAt: 5000 },
      { layer: false, createdAt: 9000 },
    ],
  }
  const { config } = imageConfig(stage, result, { l: '1' }, undefined)
  assert.deepEqual(
    config.history?.map((entry) => [entry.created, entry.empty_layer ?? false]),
    [
      ['2020-01-01T00:00:00.000Z', false],
      [at(5), true],
      [at(5), false],
      [at(5), true],
      [at(9), true],
      [at(9), true],
    ],
  )
  assert.equal(config.created, at(9))
  assert.deepEqual(config.config?.Labels, { l: '1' })
})

test('SOURCE_DATE_EPOCH dates everything new', async () => {
  const stage = await plan('FROM a\nENV x=1\nRUN a')
  const { config } = imageConfig(
    stage,
    { snapshots: ['b', 'c'], contentKey: 'k', steps: [{ layer: true, createdAt: 5000 }] },
    {},
    7000,
  )
  assert.deepEqual(
    config.history?.map(({ created }) => created),
    ['2020-01-01T00:00:00.000Z', at(7), at(7)],
  )
  assert.equal(config.created, at(7))
})

test("metadata alone on a base has the base's time; on scratch it has none", async () => {
  const none = { snapshots: [], contentKey: 'k', steps: [] }
  assert.equal(
    imageConfig(await plan('FROM a\nENV x=1'), none, {}, undefined).config.created,
    '2020-01-01T00:00:00.000Z',
  )
  const { config, dated } = imageConfig(await plan('FROM scratch\nENV x=1'), none, {}, undefined)
  assert.deepEqual([config.created, dated], [undefined, false])
})
