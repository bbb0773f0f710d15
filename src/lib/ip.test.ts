import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addressOfReverseName,
  contains,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
  reverseName,
} from './ip.ts'

test('addresses survive parse and format', () => {
  for (const text of [
    '0.0.0.0',
    '10.1.2.3',
    '255.255.255.255',
    '::',
    '::1',
    'fd00::2',
    'fe80::1:0:0:1',
    '1:2:3:4:5:6:7:8',
  ])
    assert.equal(formatAddress(parseAddress(text)!), text)
  assert.equal(formatAddress(parseAddress('::ffff:10.0.0.1')!), '::ffff:a00:1')
  assert.equal(formatAddress(parseAddress('FD00:0:0:0:0:0:0:2')!), 'fd00::2')
})

test('what is no address is refused', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1:2',
    ':::',
    '1::2::3',
    'g::1',
    '1:2:3:4:5:6:7:8:9',
  ])
    assert.equal(parseAddress(text), undefined, text)
  for (const text of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'fd00::/129', '10.0.0.0/-1'])
    assert.equal(parseBlock(text), undefined, text)
})

test('blocks', () => {
  const block = parseBlock('10.1.2.3/16')!
  assert.equal(formatBlock(block), '10.1.0.0/16')
  assert.ok(contains(block, parseAddress('10.1.255.255')!))
  assert.ok(!contains(block, parseAddress('10.2.0.0')!))
  assert.ok(overlaps(block, parseBlock('10.0.0.0/8')!))
  assert.ok(!overlaps(block, parseBlock('10.2.0.0/16')!))
  assert.ok(!overlaps(block, parseBlock('::/0')!))
})

test('reverse names', () => {
  assert.equal(reverseName(parseAddress('10.1.2.3')!), '3.2.1.10.in-addr.arpa')
  for (const text of ['10.1.2.3', 'fd00::2'])
    assert.equal(formatAddress(addressOfReverseName(reverseName(parseAddress(text)!).toUpperCase())!), text)
  assert.equal(addressOfReverseName('example.org'), undefined)
})
