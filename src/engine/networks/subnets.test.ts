import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePools } from './settings.ts'
import {
  candidates,
  candidatesOf,
  firstFree,
  formatBlock,
  freeAddress,
  isBroad,
  parseBlock,
  takenByHost,
  uniqueLocal,
} from './subnets.ts'

const block = (text: string) => parseBlock(text)!

test('the default bridge begins at 172.17, others behind it, and what is routed is left alone', () => {
  assert.equal(formatBlock(firstFree(candidates({ driver: 'bridge', name: 'bridge' }), [])!), '172.17.0.0/16')
  assert.equal(formatBlock(firstFree(candidates({ driver: 'bridge', name: 'a' }), [])!), '172.18.0.0/20')
  assert.equal(
    formatBlock(firstFree(candidates({ driver: 'bridge', name: 'a' }), [block('172.18.3.0/24')])!),
    '172.18.16.0/20',
  )
  assert.equal(
    formatBlock(firstFree(candidates({ driver: 'bridge', name: 'a' }), [block('172.16.0.0/12')])!),
    '192.168.0.0/24',
  )
  assert.equal(formatBlock(firstFree(candidates({ driver: 'routed', name: 'pods' }), [])!), '10.244.0.0/16')
  assert.equal(firstFree(candidates({ driver: 'routed', name: 'pods' }), [block('10.0.0.0/8')]), undefined)
})

test('pools that are set are taken from in their order', () => {
  const pools = parsePools(
    '{"default-address-pools": [{"base": "10.99.0.0/23", "size": 24}, {"base": "fd00:9::/32", "size": 64}]}',
    'networks.json',
  )
  const bridge = { driver: 'bridge', name: 'a' } as const
  const pick = (family: 4 | 6, ...taken: string[]) => {
    const found = firstFree(candidatesOf(pools, bridge, family)!, taken.map(block))
    return found && formatBlock(found)
  }
  assert.equal(pick(4), '10.99.0.0/24')
  assert.equal(pick(4, '10.99.0.128/25'), '10.99.1.0/24')
  assert.equal(pick(4, '10.99.0.0/16'), undefined)
  assert.equal(pick(6, 'fd00:9::/64'), 'fd00:9:0:1::/64')
  assert.equal(candidatesOf([], bridge, 6), undefined)
  for (const [text, refusal] of [
    ['{"pools": []}', /"pools" is not known/],
    ['{"default-address-pools": [{"base": "10.0.0.0/16"}]}', /must be like/],
    ['{"default-address-pools": [{"base": "10.0.0.0/16", "size": 8}]}', /no subnet of length 8/],
    ['[]', /must be an object/],
  ] as const)
    assert.throws(() => parsePools(text, 'networks.json'), refusal)
})

test('addresses: lowest free, never network or broadcast, in the range, behind the last', () => {
  const taken = new Set(['10.0.0.1', '10.0.0.2'])
  assert.equal(freeAddress({ subnet: block('10.0.0.0/24'), taken }), '10.0.0.3')
  assert.equal(freeAddress({ subnet: block('10.0.0.0/24'), taken, after: '10.0.0.9' }), '10.0.0.10')
  assert.equal(freeAddress({ subnet: block('10.0.0.0/24'), taken, after: '10.0.0.254' }), '10.0.0.3')
  assert.equal(freeAddress({ subnet: block('10.0.0.0/24'), range: block('10.0.0.128/25'), taken }), '10.0.0.128')
  assert.equal(freeAddress({ subnet: block('10.0.0.0/30'), taken }), undefined)
  assert.equal(freeAddress({ subnet: block('fd00:1::/64'), taken: new Set(['fd00:1::1']) }), 'fd00:1::2')
  assert.equal(formatBlock(uniqueLocal('0123456789abcdef')), 'fd01:2345:6789:1::/64')
})

test('taken: every route of every table but ours, what other instances speak of', async () => {
  const routes = [
    { dst: 'default', dev: 'eth0' },
    { dst: '172.18.0.0/20', dev: 'tun0' },
    { dst: '10.0.0.0/8', gateway: '192.0.2.1' },
    { dst: '172.19.0.0/20', dev: 'ours' },
    { dst: '192.0.2.7' },
  ]
  const tables = `table inet slipway_0001 {
\tset masquerade4 { elements = { 172.20.0.0/20,
\t\t 172.21.0.0/20 } }
}
table inet slipway_0002 {
\tset hairpin4 { elements = { 172.22.0.0/20 . 172.22.0.0/20 } }
}
table inet somebody {
\tset s { elements = { 172.23.0.0/20 } }
}
`
  const sys = { links: { query: async () => routes }, firewall: { sets: async () => tables } } as never
  const taken = (await takenByHost(sys, 'slipway_0002', (link) => link === 'ours')).map(formatBlock)
  for (const text of ['172.18.0.0/20', '10.0.0.0/8', '192.0.2.7/32', '172.20.0.0/20', '172.21.0.0/20'])
    assert.ok(taken.includes(text), text)
  for (const text of ['172.19.0.0/20', '172.22.0.0/20', '172.23.0.0/20']) assert.ok(!taken.includes(text), text)
  assert.deepEqual([isBroad(block('10.0.0.0/8')), isBroad(block('172.18.0.0/20'))], [true, false])
})
