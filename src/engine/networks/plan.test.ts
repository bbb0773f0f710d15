/** What networks are on the machine, as text. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Endpoint, Network, NetworkSpec } from '../types.ts'
import { elementsOfNetwork, elementsOfPublication } from './firewall.ts'
import { defaultRouteLines, endpointLines, networkLines } from './links.ts'
import { checkOptions } from './options.ts'
import type { StoredNetwork } from './records.ts'
import { checkWanted, validateSpec } from './validate.ts'

const spec = (more: Partial<NetworkSpec> = {}): NetworkSpec => ({
  name: 'n',
  driver: 'bridge',
  internal: false,
  attachable: false,
  ipv6: false,
  ipam: [],
  options: {},
  labels: {},
  dns: true,
  ...more,
})
const subnets = [{ subnet: '10.1.0.0/24', gateway: '10.1.0.1' }]
const network = (more: Partial<NetworkSpec> = {}): StoredNetwork => ({
  id: 'f'.repeat(64),
  spec: spec(more),
  createdAt: 0,
  subnets,
  picked: false,
  ...(more.driver === undefined || more.driver === 'bridge' ? { bridge: 'br0' } : {}),
})
const endpoint = (more: Partial<Endpoint> = {}): Endpoint => ({
  networkId: 'f'.repeat(64),
  networkName: 'n',
  ifname: 'eth0',
  hostIfname: '',
  mac: '02:42:0a:01:00:02',
  ipv4: '10.1.0.2',
  ipv4PrefixLength: 24,
  gateway4: '10.1.0.1',
  aliases: [],
  ...more,
})
const at = { netns: '/ns', mtu: undefined, parent: 'eth0.10' }
const bridge = (name: string): string => `com.docker.network.bridge.${name}`

test('endpoints on a parent', () => {
  const lines = (options: Record<string, string>, driver: 'macvlan' | 'ipvlan') =>
    endpointLines(network({ driver, options }), endpoint(), at).outside
  assert.deepEqual(lines({}, 'macvlan'), [
    'link add link eth0.10 name eth0 address 02:42:0a:01:00:02 netns /ns type macvlan mode bridge',
  ])
  assert.deepEqual(lines({ ipvlan_mode: 'l3s', ipvlan_flag: 'vepa' }, 'ipvlan'), [
    'link add link eth0.10 name eth0 netns /ns type ipvlan mode l3s vepa',
  ])
})

test('a bridge has an address of each family, unless its mode says otherwise', () => {
  const addresses = (options: Record<string, string>) =>
    networkLines(network({ options }), { name: 'br0', present: true, mtu: 1500 }).filter((line) => /^addr/.test(line))
  assert.deepEqual(addresses({}), ['addr replace 10.1.0.1/24 brd + dev br0'])
  assert.deepEqual(addresses({ [bridge('inhibit_ipv4')]: 'true' }), [])
})

test('the default route: by priority, then by name, never into what is closed', () => {
  const wire = (name: string, ifname: string, more: Partial<NetworkSpec> = {}, gwPriority = 0) => ({
    network: network({ name, ...more }) as Network,
    endpoint: endpoint({ ifname, gwPriority }),
  })
  const led = (...wires: ReturnType<typeof wire>[]) => defaultRouteLines(wires).join()
  assert.equal(led(wire('b', 'eth0'), wire('a', 'eth1')), 'route replace 0.0.0.0/0 via 10.1.0.1 dev eth1')
  assert.match(led(wire('b', 'eth0', {}, 1), wire('a', 'eth1')), /dev eth0$/)
  assert.match(led(wire('b', 'eth0'), wire('a', 'eth1', { internal: true })), /dev eth0$/)
  assert.equal(led(wire('a', 'eth0', { driver: 'macvlan' })), '', 'no parent, no way out')
  const l3 = { driver: 'ipvlan', options: { parent: 'p0', ipvlan_mode: 'l3' } } as const
  const routed = { ...wire('a', 'eth0', l3), endpoint: endpoint({ gateway4: undefined }) }
  assert.equal(defaultRouteLines([routed]).join(), 'route replace 0.0.0.0/0 dev eth0')
})

test('rules of a bridge by its mode', () => {
  const sets = (options: Record<string, string>, more: Partial<NetworkSpec> = {}) =>
    elementsOfNetwork(network({ options, ...more })).map(({ set, key, value }) => `${set} ${key} ${value ?? ''}`.trim())
  const common = ['within "br0" . "br0" accept', 'hairpin4 10.1.0.0/24 . 10.1.0.0/24']
  const without = (all: string[]): string[] => all.filter((each) => !common.includes(each))
  assert.deepEqual(without(sets({})), ['closed4 "br0"', 'closed6 "br0"', 'masquerade4 10.1.0.0/24'])
  assert.deepEqual(without(sets({ [bridge('gateway_mode_ipv4')]: 'routed' })), [
    'closed4 "br0"',
    'routed4 "br0"',
    'closed6 "br0"',
  ])
  assert.deepEqual(without(sets({ [bridge('gateway_mode_ipv4')]: 'nat-unprotected' })), [
    'closed6 "br0"',
    'masquerade4 10.1.0.0/24',
  ])
  assert.deepEqual(without(sets({}, { internal: true })), ['internal "br0"'])
  assert.ok(sets({ 'com.docker.network.host_ipv4': '192.0.2.1' }).includes('source4 10.1.0.0/24 192.0.2.1'))
  assert.ok(sets({ [bridge('trusted_host_interfaces')]: 'eth1' }).includes('trusted "eth1" . "br0"'))
})

test('a published port, SCTP too, of one family', () => {
  const port = { hostIp: '', hostPort: 8080, protocol: 'sctp', target: '10.1.0.2', targetPort: 80 } as const
  assert.deepEqual(elementsOfPublication(port, { bridged: true }), [
    { set: 'everywhere4', key: 'sctp . 8080', value: '10.1.0.2 . 80' },
  ])
  assert.deepEqual(elementsOfPublication({ ...port, hostIp: '::' }, { bridged: true }), [])
  assert.deepEqual(elementsOfPublication({ ...port, hostIp: '192.0.2.1' }, { bridged: true }), [
    { set: 'published4', key: '192.0.2.1 . sctp . 8080', value: '10.1.0.2 . 80' },
  ])
})

test("what is refused, in docker's words", () => {
  const refused = (more: Partial<NetworkSpec>, others: StoredNetwork[] = []): string => {
    try {
      validateSpec(spec(more), others)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.equal(refused({ ipam: [{ subnet: '10.2.0.0/24' }] }), '')
  assert.equal(
    refused({ ipam: [{ subnet: '10.2.0.1/24', gateway: '10.3.0.1', ipRange: '10.2.0.0/16' }] }),
    `invalid network config:
* invalid subnet 10.2.0.1/24: it should be 10.2.0.0/24
* invalid ip-range 10.2.0.0/16: CIDR block is bigger than its parent subnet 10.2.0.1/24
* invalid gateway 10.3.0.1: parent subnet 10.2.0.1/24 doesn't contain this address`,
  )
  assert.equal(
    refused({ ipam: [{ subnet: '' }] }),
    'invalid network config:\ninvalid subnet : invalid CIDR block notation',
  )
  assert.match(
    refused({ ipam: [{ subnet: '10.1.0.128/25' }], name: 'm' }, [network()]),
    /^invalid pool request: Pool overlaps/,
  )
  assert.match(
    refused({ ipam: [{ subnet: '10.2.0.0/24' }, { subnet: '10.3.0.0/24' }] }),
    /doesn't support multiple subnets/,
  )
  assert.equal(refused({ ipv4: false }), 'IPv4 or IPv6 must be enabled')
  assert.equal(refused({ name: ' ' }), 'invalid name: name is empty')
  assert.match(refused({ configFrom: 'c', options: { a: 'b' } }), /network driver options are not supported/)
  assert.throws(
    () => checkOptions(spec({ options: { 'com.docker.network.driver.mtu': '-1' } })),
    /invalid MTU number: -1/,
  )
  const picked = { ...network(), spec: spec() }
  assert.throws(
    () => checkWanted('10.1.0.9', 4, picked),
    /only when connecting to networks with user configured subnets/,
  )
  const asked = network({ ipam: [{ subnet: '10.1.0.0/24' }] })
  assert.doesNotThrow(() => checkWanted('10.1.0.9', 4, asked))
  assert.throws(
    () => checkWanted('10.9.0.9', 4, asked),
    /no configured subnet or ip-range contain the IP address 10.9.0.9/,
  )
})
