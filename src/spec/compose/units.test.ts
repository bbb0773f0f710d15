import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, parseBoolean, parseBytes, parseDuration } from './units.ts'

test('durations', () => {
  const cases: [string, number | undefined][] = [
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['2us', 0.002],
    ['0', 0],
    ['1d', 86_400_000],
    ['10', undefined],
    ['-1s', undefined],
    ['s', undefined],
    ['1x', undefined],
    ['', undefined],
  ]
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text)
})
test('durations as Go prints them', () => {
  const cases: [number, string][] = [
    [0, '0s'],
    [500, '500ms'],
    [1500, '1.5s'],
    [90_000, '1m30s'],
    [3_600_000, '1h0m0s'],
    [0.002, '2µs'],
    [5000, '5s'],
  ]
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text)
})
test('sizes', () => {
  const cases: [string, number | undefined][] = [
    ['1024', 1024],
    ['64m', 64 * 2 ** 20],
    ['1.5gb', 1.5 * 2 ** 30],
    ['2GiB', 2 ** 31],
    ['10b', 10],
    ['1 k', 1024],
    ['1x', undefined],
    ['m', undefined],
    ['-5', undefined],
  ]
  for (const [text, bytes] of cases) assert.equal(parseBytes(text), bytes, text)
})
test('booleans', () => {
  assert.deepEqual(['true', 'YES', 'on', '1', 'False', 'n', 'off', '0', 'maybe'].map(parseBoolean), [
    true,
    true,
    true,
    true,
    false,
    false,
    false,
    false,
    undefined,
  ])
})
