import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kernelReason, parseVlan } from './parents.ts'

test('the parent of a VLAN is named as docker wants it', () => {
  const links = new Set(['eth0'])
  assert.deepEqual(parseVlan('eth0.10', links), { master: 'eth0', id: 10 })
  for (const [name, refusal] of [
    ['nosuch', 'invalid subinterface vlan name nosuch, example formatting is eth0.10'],
    ['eth0.1.2', /required interface name format is: name.vlan_id/],
    ['eth0.x', /unable to parse a valid vlan id from: x/],
    ['eth9.10', '-o parent interface was not found on the host: eth9'],
    ['eth0.4095', 'vlan id must be between 1-4094, received: 4095'],
  ] as const)
    assert.throws(
      () => parseVlan(name, links),
      (error) =>
        error instanceof Error &&
        (typeof refusal === 'string' ? error.message === refusal : refusal.test(error.message)),
    )
})

test('what the kernel said', () => {
  assert.equal(
    kernelReason(new Error('ip link add …: RTNETLINK answers: Device or resource busy')),
    'device or resource busy',
  )
  assert.equal(kernelReason(new Error('ip link add …: Error: Unknown device type.')), 'operation not supported')
})
