import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatBytes,
  formatMilli,
  parseQuantity,
  quantityMilli,
  quantityValue,
} from './quantity.ts'

test('quantities are read in all their notations', () => {
  assert.deepEqual(
    ['250m', '1.5Gi', '2e3', '1', '.5', '-3k', '100Mi', '1E', 'x', '1 Gi'].map((q) => parseQuantity(q)),
    [0.25, 1610612736, 2000, 1, 0.5, -3000, 104857600, 1e18, undefined, undefined],
  )
})

test('milli and whole values round up, without floating point dust', () => {
  assert.deepEqual(
    ['100m', '0.1', '1.001', '29m', '1u', undefined].map((q) => quantityMilli(q)),
    [100, 100, 1001, 29, 1, 0],
  )
  assert.deepEqual(
    ['1500m', '1Ki', '0.3'].map((q) => quantityValue(q)),
    [2, 1024, 1],
  )
})

test('formats keep the value', () => {
  assert.equal(formatMilli(1500), '1500m')
  assert.equal(formatMilli(2000), '2')
  assert.equal(formatBytes(2 ** 30), '1Gi')
  assert.equal(formatBytes(1500), '1500')
  assert.equal(formatBytes(0), '0')
})

test('quantities have one way to be written', () => {
  const written = [
    '0.5',
    '1000m',
    '1024Mi',
    '1.5Gi',
    '1e3',
    '100000',
    '0',
    '-250m',
    '1500Ki',
    '2000',
    '12e6',
    '512',
    '0.1Gi',
    'x',
    '',
  ]
  assert.deepEqual(
    written.map((q) => canonicalQuantity(q)),
    [
      '500m',
      '1',
      '1Gi',
      '1536Mi',
      '1e3',
      '100k',
      '0',
      '-250m',
      '1500Ki',
      '2k',
      '12e6',
      '512',
      '107374183',
      undefined,
      undefined,
    ],
  )
})

test('quantities compare and add exactly', () => {
  assert.equal(compareQuantities('1Gi', '1073741824'), 0)
  assert.ok(compareQuantities('999m', '1') < 0)
  assert.ok(compareQuantities('8Ei', '7Ei') > 0)
  assert.equal(addQuantities('500m', '1', '250m'), '1750m')
  assert.equal(addQuantities('1Gi', '512Mi'), '1536Mi')
  assert.equal(addQuantities('1', '-1'), '0')
  assert.equal(addQuantities('0', '1Gi'), '1Gi')
})
