import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { isError } from '../../src/errors.ts'
import { networkSpec, on, type Room, sandboxSpec, useRoom } from './network-room.ts'

/** Says to each client which address it sees, then closes. */
const serve = (room: Room, id: string, port: number, protocol: 'tcp' | 'udp' = 'tcp') => {
  const code =
    protocol === 'tcp'
      ? `require('net').createServer((s) => s.end(s.remoteAddress.replace('::ffff:', ''))).listen(${port}, () => console.log('up'))`
      : `const s = require('dgram').createSocket('udp4'); s.on('message', (m, f) => s.send(f.address, f.port, f.address)); s.bind(${port}, () => console.log('up'))`
  const child = room.sys.processes.spawn(
    ['nsenter', `--net=${room.sandboxes.get(id)!.namespaces.net}`, process.execPath, '-e', code],
    { fds: ['ignore', 'pipe', 2] },
  )
  return { child, up: once(child.stdout!, 'data') }
}

const seenBy = async (host: string, port: number): Promise<string> => {
  const socket = connect({ host, port, timeout: 3000 })
  socket.on('timeout', () => socket.destroy(new Error(`timeout ${host}:${port}`)))
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}
const seenFrom = async (room: Room, id: string, host: string, port: number): Promise<string> => {
  const { stdout, code } = await room.inside(id, ['busybox', 'nc', '-w', '3', host, String(port)])
  return code === 0 ? stdout : `failed ${code}`
}
const ownAddress = (): string =>
  Object.values(networkInterfaces())
    .flatMap((links) => links ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)!.address

test('bridge: sandboxes reach each other, the host, and published ports', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks } = room
  const network = await networks.create(networkSpec('front'))
  await networks.create(networkSpec('other'))
  await sandboxes.create(
    sandboxSpec('web', [on('front', { aliases: ['www'] })], {
      ports: [
        { hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' },
        { hostIp: '127.0.0.1', hostPort: 0, containerPort: 80, protocol: 'tcp' },
        { hostIp: '', hostPort: 0, containerPort: 53, protocol: 'udp' },
      ],
    }),
  )
  await sandboxes.create(sandboxSpec('peer', [on('front')]))
  await sandboxes.create(sandboxSpec('stranger', [on('other')]))
  const began = performance.now()
  const web = await sandboxes.start('web')
  const took = performance.now() - began
  const peer = await sandboxes.start('peer')
  await sandboxes.start('stranger')
  t.diagnostic(`first start ${took.toFixed(1)} ms`)
  const server = serve(room, 'web', 80)
  const datagrams = serve(room, 'web', 53, 'udp')
  t.after(() => {
    server.child.kill('SIGKILL')
    datagrams.child.kill('SIGKILL')
  })
  await Promise.all([server.up, datagrams.up])
  const address = web.endpoints[0]!.ipv4!
  const peerAddress = peer.endpoints[0]!.ipv4!
  const gateway = network.subnets[0]!.gateway
  const [everywhere, loopback, udp] = web.ports.map(({ hostPort }) => hostPort) as [number, number, number]

  assert.equal(await seenBy(address, 80), gateway, 'from the host')
  assert.equal(await seenFrom(room, 'peer', address, 80), peerAddress, 'on the same bridge')
  assert.match(await seenFrom(room, 'stranger', address, 80), /failed/, 'not from another bridge')
  assert.equal(await seenBy('127.0.0.1', everywhere), gateway, 'loopback, published everywhere')
  assert.equal(await seenBy('127.0.0.1', loopback), gateway, 'loopback only')
  assert.equal(await seenBy(ownAddress(), everywhere), ownAddress(), 'the address of the client is kept')
  await assert.rejects(seenBy(ownAddress(), loopback), 'not beyond loopback')
  assert.ok(await seenBy('::1', everywhere), 'IPv6 loopback')
  assert.equal(
    await seenFrom(room, 'stranger', ownAddress(), everywhere),
    room.sandboxes.get('stranger')!.endpoints[0]!.ipv4,
  )
  assert.ok(!(await seenFrom(room, 'peer', ownAddress(), everywhere)).startsWith('failed'), 'hairpin on the bridge')
  assert.ok(!(await seenFrom(room, 'web', ownAddress(), everywhere)).startsWith('failed'), 'hairpin to itself')

  const client = createSocket('udp4')
  t.after(() => client.close())
  client.send('x', udp, '127.0.0.1')
  assert.equal(String((await once(client, 'message', { signal: AbortSignal.timeout(3000) }))[0]), gateway)
})

test('a taken port is a conflict that names its owner, and nothing is left of the attempt', async (t) => {
  const { sandboxes, networks, instance } = await useRoom(t)
  await networks.create(networkSpec('front'))
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const { port } = other.address() as { port: number }
  await sandboxes.create(
    sandboxSpec('web', [on('front')], { ports: [{ hostIp: '', hostPort: port, containerPort: 80, protocol: 'tcp' }] }),
  )
  await assert.rejects(
    sandboxes.start('web'),
    (error) =>
      isError(error, 'conflict') &&
      error.message.startsWith(`Bind for 0.0.0.0:${port} failed: port is already allocated`),
  )
  assert.equal(sandboxes.get('web')!.state, 'stopped')
  assert.deepEqual(networks.endpoints('front'), [])
  assert.ok(!existsSync(`${instance.runDir}/sandboxes/web`))

  await sandboxes.create(
    sandboxSpec('a', [on('front')], { ports: [{ hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' }] }),
  )
  const a = await sandboxes.start('a')
  await sandboxes.create(
    sandboxSpec('b', [on('front')], {
      ports: [{ hostIp: '', hostPort: a.ports[0]!.hostPort, containerPort: 80, protocol: 'tcp' }],
    }),
  )
  await assert.rejects(sandboxes.start('b'), (error) => isError(error) && error.hint === 'It is published by a.')
})

test('names resolve on shared networks, over 127.0.0.11, and connect and disconnect work while running', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks } = room
  await networks.create(networkSpec('front'))
  await networks.create(networkSpec('back', { internal: true }))
  await sandboxes.create(sandboxSpec('web', [on('front', { aliases: ['www'] })], { names: ['shop_web_1'] }))
  await sandboxes.create(sandboxSpec('db', [on('back')]))
  const web = await sandboxes.start('web')
  const db = await sandboxes.start('db')
  const ask = async (id: string, name: string) => {
    const { stdout } = await room.inside(id, ['busybox', 'nslookup', '-type=a', name, '127.0.0.11'])
    return [...stdout.matchAll(/Address: (\d+\.\d+\.\d+\.\d+)$/gm)].map((match) => match[1])
  }
  assert.match(readFileSync(web.files.resolvConf, 'utf8'), /^nameserver 127\.0\.0\.11\n/)
  for (const name of ['web', 'www', 'shop_web_1', 'shop_web_1.front'])
    assert.deepEqual(await ask('web', name), [web.endpoints[0]!.ipv4], name)
  assert.deepEqual(await ask('web', 'db'), [])
  assert.deepEqual(await ask('db', 'example.org'), [], 'nothing leaves an internal network')

  const endpoint = await sandboxes.connect('web', on('back', { aliases: ['frontend'] }))
  assert.equal(endpoint.ifname, 'eth1')
  assert.deepEqual(await ask('web', 'db'), [db.endpoints[0]!.ipv4])
  assert.deepEqual(await ask('db', 'frontend'), [endpoint.ipv4])
  assert.match(readFileSync(web.files.hosts, 'utf8'), new RegExp(`^${endpoint.ipv4}\tweb$`, 'm'))
  await assert.rejects(networks.remove('back'), /has active endpoints/)
  await sandboxes.disconnect('web', 'back')
  assert.deepEqual(await ask('db', 'frontend'), [])
  assert.doesNotMatch(readFileSync(web.files.hosts, 'utf8'), new RegExp(`^${endpoint.ipv4}\t`, 'm'))
  const routes = await room.inside('web', ['ip', 'route'])
  assert.match(routes.stdout, /^default via .* dev eth0/)
  await sandboxes.stop('db')
  await networks.remove('back')
})
