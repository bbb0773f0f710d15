import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { test } from 'node:test'
import { networkSpec, on, type Room, sandboxSpec, useRoom } from './network-room.ts'

const serve = async (room: Room, id: string, port: number) => {
  const code = `require('net').createServer((s) => s.end(s.remoteAddress.replace('::ffff:', ''))).listen(${port}, () => console.log('up'))`
  const netns = `--net=${room.sandboxes.get(id)!.namespaces.net}`
  const child = room.sys.processes.spawn(['nsenter', netns, process.execPath, '-e', code], {
    fds: ['ignore', 'pipe', 2],
  })
  await once(child.stdout!, 'data')
  return child
}
const seenBy = async (host: string, port: number): Promise<string> => {
  const socket = connect({ host, port, timeout: 3000 })
  socket.on('timeout', () => socket.destroy(new Error(`timeout ${host}:${port}`)))
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}
const pods = networkSpec('pods', { driver: 'routed', dns: false })

test('routed: every packet passes the host, pods see each other by their own addresses', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks } = room
  const network = await networks.create(pods)
  await networks.create(networkSpec('front'))
  await sandboxes.create(
    sandboxSpec('a', [on('pods')], { ports: [{ hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' }] }),
  )
  await sandboxes.create(sandboxSpec('b', [on('pods')]))
  await sandboxes.create(sandboxSpec('stranger', [on('front')]))
  const a = await sandboxes.start('a')
  const b = await sandboxes.start('b')
  await sandboxes.start('stranger')
  const server = await serve(room, 'a', 80)
  t.after(() => server.kill('SIGKILL'))
  const [ipA, ipB] = [a.endpoints[0]!.ipv4!, b.endpoints[0]!.ipv4!]
  const { hostPort } = a.ports[0]!
  const from = async (id: string, host: string, port: number) => {
    const { stdout, code } = await room.inside(id, ['busybox', 'nc', '-w', '3', host, String(port)])
    return code === 0 ? stdout : `failed ${code}`
  }
  const gateway = network.subnets[0]!.gateway
  const clock = await room.inside('b', ['cat', '/proc/sys/net/ipv4/tcp_timestamps'])
  assert.equal(clock.stdout.trim(), '2', 'one clock, whatever a connection is made to')
  assert.equal(await seenBy(ipA, 80), gateway, 'the host, by the one address it has for pods')
  assert.equal(await from('b', ipA, 80), ipB, 'pod to pod')
  assert.match(await from('stranger', ipA, 80), /failed/)
  assert.equal(await from('b', gateway, hostPort), ipB, 'a host port, client address kept')
  assert.equal(await from('stranger', gateway, hostPort), sandboxes.get('stranger')!.endpoints[0]!.ipv4)
  assert.ok(!(await from('a', gateway, hostPort)).startsWith('failed'), 'its own host port')
  assert.ok(await seenBy('127.0.0.1', hostPort))
  assert.ok(await seenBy('::1', hostPort))

  const times: number[] = []
  for (let i = 0; i < 8; i++) {
    await sandboxes.create(sandboxSpec(`t${i}`, [on('pods')]))
    const began = performance.now()
    await sandboxes.start(`t${i}`)
    times.push(performance.now() - began)
  }
  t.diagnostic(`starts: ${times.map((ms) => ms.toFixed(1)).join(' ')} ms`)
})

test('a killed daemon: its successor adopts what lives, without losing a connection', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks, instance } = room
  await networks.create(pods)
  await networks.create(networkSpec('front'))
  await sandboxes.create(
    sandboxSpec('pod', [on('pods')], { ports: [{ hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' }] }),
  )
  await sandboxes.create(sandboxSpec('web', [on('front', { aliases: ['www'] })]))
  const pod = await sandboxes.start('pod')
  await sandboxes.start('web')
  const server = await serve(room, 'pod', 80)
  t.after(() => server.kill('SIGKILL'))
  const { hostPort } = pod.ports[0]!
  await sandboxes.close()

  // What a start that was killed half-way leaves.
  room.sys.namespaces.create(`${instance.runDir}/sandboxes/torn`, ['net', 'uts'])
  await room.sys.links.batch([`link add name ${instance.linkPrefix}v00000000 type bridge`])

  let failures = 0
  let connects = 0
  let done = false
  const load = (async () => {
    while (!done) {
      connects++
      await seenBy('127.0.0.1', hostPort).catch(() => failures++)
    }
  })()
  const next = await room.again()
  done = true
  await load
  assert.equal(failures, 0, `of ${connects}`)
  assert.ok(connects > 3)

  const adopted = next.sandboxes.get('pod')!
  assert.equal(adopted.state, 'ready')
  assert.deepEqual(adopted.ports, pod.ports)
  assert.ok(await seenBy('::1', hostPort), 'the socket is held again')
  assert.match((await next.inside('web', ['busybox', 'nslookup', '-type=a', 'www', '127.0.0.11'])).stdout, /Address: 1/)
  assert.ok(!existsSync(`${instance.runDir}/sandboxes/torn`))
  await next.sandboxes.close()
  assert.ok(!existsSync(`/sys/class/net/${instance.linkPrefix}v00000000`))

  // A reboot: namespaces, mounts and links are gone.
  for (const id of ['pod', 'web']) {
    next.sys.namespaces.remove(`${instance.runDir}/sandboxes/${id}`)
    next.sys.mounts.unmount(`${instance.runDir}/sandboxes/${id}/shm`, { detach: true })
  }
  const after = await next.again()
  assert.equal(after.sandboxes.get('pod')!.state, 'stopped')
  assert.deepEqual(after.sandboxes.get('pod')!.endpoints, [])
  assert.equal((await after.sandboxes.start('pod')).state, 'ready')
  await after.sandboxes.close()
})

test('rules somebody flushed come back', async (t) => {
  const room = await useRoom(t)
  const { sandboxes, networks, instance } = room
  await networks.create(pods)
  await sandboxes.create(
    sandboxSpec('pod', [on('pods')], { ports: [{ hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' }] }),
  )
  const pod = await sandboxes.start('pod')
  const server = await serve(room, 'pod', 80)
  t.after(() => server.kill('SIGKILL'))
  await room.sys.firewall.apply(`delete table inet ${instance.nftTable}\n`)
  assert.ok(await seenBy('127.0.0.1', pod.ports[0]!.hostPort), 'forwarded by hand meanwhile')
  // Asked while it is being written, nft may see half of it.
  const table = (): Promise<string> =>
    room.sys.firewall.list('inet', instance.nftTable).then(
      (text) => text ?? '',
      () => '',
    )
  for (let i = 0; i < 50 && (await table()) === ''; i++) await new Promise((go) => setTimeout(go, 20))
  assert.match(await table(), new RegExp(`${pod.endpoints[0]!.ipv4}`))
})

test('modes: none, host, and sharing a sandbox', async (t) => {
  const { sandboxes, networks } = await useRoom(t)
  await networks.create(pods)
  await sandboxes.create(sandboxSpec('pod', [on('pods')]))
  await sandboxes.create({ ...sandboxSpec('joined', []), network: { mode: 'sandbox', id: 'pod' } })
  await assert.rejects(sandboxes.start('joined'), /cannot join network of a non running container/)
  const pod = await sandboxes.start('pod')
  const joined = await sandboxes.start('joined')
  assert.equal(joined.namespaces.net, pod.namespaces.net)
  assert.equal(joined.files.hosts, pod.files.hosts)
  assert.notEqual(joined.namespaces.ipc, pod.namespaces.ipc)
  const none = await sandboxes.create({ ...sandboxSpec('none', []), network: { mode: 'none' } })
  assert.equal((await sandboxes.start(none.spec.id)).endpoints.length, 0)
  await sandboxes.create({ ...sandboxSpec('host', []), network: { mode: 'host' } })
  const host = await sandboxes.start('host')
  assert.equal(host.namespaces.net, undefined)
  assert.equal(readFileSync(host.files.resolvConf, 'utf8').includes('127.0.0.11'), false)
})
