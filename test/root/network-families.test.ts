import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isError } from '../../src/errors.ts'
import { networkSpec, on, sandboxSpec, useRoom } from './network-room.ts'

test('a network with IPv6 gives both families, one without gives none', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks } = room
  const both = await networks.create(networkSpec('both', { ipv6: true }))
  await networks.create(networkSpec('four'))
  await sandboxes.create(sandboxSpec('a', [on('both')]))
  await sandboxes.create(sandboxSpec('b', [on('both')]))
  await sandboxes.create(sandboxSpec('c', [on('four')]))
  await sandboxes.start('a')
  const b = await sandboxes.start('b')
  await sandboxes.start('c')
  const ping = async (id: string, address: string) =>
    (await room.inside(id, ['busybox', 'ping', '-c', '1', '-W', '2', address])).code === 0
  const six = both.subnets.find(({ subnet }) => subnet.includes(':'))!
  assert.ok(await ping('a', six.gateway), 'the gateway')
  assert.ok(await ping('a', b.endpoints[0]!.ipv6!), 'each other')
  assert.ok(await ping('a', b.endpoints[0]!.ipv4!))
  assert.doesNotMatch((await room.inside('c', ['ip', '-6', 'addr', 'show', 'dev', 'eth0'])).stdout, /inet6/)
  assert.match(readFileSync(b.files.hosts, 'utf8'), new RegExp(`^${b.endpoints[0]!.ipv6}\tb$`, 'm'))
})

test('addresses: static ones, a range, the same twice, outside', async (t) => {
  const { sandboxes, networks } = await useRoom(t)
  const ipam = [{ subnet: '198.18.90.0/24', gateway: '198.18.90.254', ipRange: '198.18.90.64/26' }]
  await networks.create(networkSpec('fixed', { ipam }))
  await assert.rejects(
    networks.create(networkSpec('again', { ipam: [{ subnet: '198.18.90.128/25' }] })),
    /Pool overlaps/,
  )
  await assert.rejects(networks.create(networkSpec('fixed')), (error) => isError(error, 'already-exists'))
  await sandboxes.create(sandboxSpec('a', [on('fixed', { ipv4: '198.18.90.7', mac: '02:00:00:00:00:07' })]))
  await sandboxes.create(sandboxSpec('b', [on('fixed')]))
  await sandboxes.create(sandboxSpec('c', [on('fixed', { ipv4: '198.18.90.7' })]))
  await sandboxes.create(sandboxSpec('d', [on('fixed', { ipv4: '10.9.9.9' })]))
  const a = await sandboxes.start('a')
  assert.deepEqual(
    [a.endpoints[0]!.ipv4, a.endpoints[0]!.mac, a.endpoints[0]!.gateway4],
    ['198.18.90.7', '02:00:00:00:00:07', '198.18.90.254'],
  )
  assert.equal((await sandboxes.start('b')).endpoints[0]!.ipv4, '198.18.90.64')
  await assert.rejects(
    sandboxes.start('c'),
    (error) => isError(error, 'forbidden') && error.message === 'Address already in use',
  )
  await assert.rejects(sandboxes.start('d'), (error) => isError(error, 'invalid'))
  await sandboxes.stop('a')
  assert.equal((await sandboxes.start('c')).endpoints[0]!.ipv4, '198.18.90.7')
})

test('two instances at once pick different subnets', async (t) => {
  const [one, two] = await Promise.all([useRoom(t), useRoom(t)])
  const made = await Promise.all([
    one.networks.create(networkSpec('x')),
    two.networks.create(networkSpec('x')),
    one.networks.create(networkSpec('y')),
    two.networks.create(networkSpec('y')),
  ])
  const subnets = made.map(({ subnets }) => subnets[0]!.subnet)
  assert.equal(new Set(subnets).size, 4, subnets.join(' '))
})
