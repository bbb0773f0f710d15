import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import packet from 'dns-packet'
import { createClusterDns } from '../../src/cluster/dns/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import * as kinds from '../../src/spec/kube/kinds.ts'
import { createFakeCluster } from '../fake-cluster.ts'
import { networkSpec, on, sandboxSpec, testLog, useRoom } from './network-room.ts'

test('cluster DNS answers pods over UDP and TCP, and passes other names on', async (t) => {
  const room = await useRoom(t)
  await room.networks.create(networkSpec('pods', { driver: 'routed', dns: false }))
  const cluster = createFakeCluster()
  const upstream = createSocket('udp4')
  upstream.on('message', (message, from) => {
    const { id, questions } = packet.decode(message)
    const answers = [{ type: 'A', name: questions![0]!.name, ttl: 60, data: '192.0.2.99' } as const]
    upstream.send(packet.encode({ type: 'response', id: id!, questions: questions!, answers }), from.port, from.address)
  })
  upstream.bind(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.after(() => upstream.close())
  const address = '198.18.78.10'
  const dns = createClusterDns({
    instance: room.instance,
    sys: room.sys,
    informers: cluster.informers,
    domain: 'cluster.local',
    address,
    log: testLog,
    clock: systemClock,
    upstream: () => [`127.0.0.1#${upstream.address().port}`],
  })
  await dns.start()
  t.after(() => dns.close())
  await room.sandboxes.create(
    sandboxSpec('pod', [on('pods')], {
      dns: { servers: [address], searches: ['shop.svc.cluster.local', 'svc.cluster.local'], options: ['ndots:5'] },
    }),
  )
  await room.sandboxes.start('pod')
  const ask = async (name: string): Promise<string[]> => {
    const { stdout } = await room.inside('pod', ['busybox', 'nslookup', '-type=a', name, address])
    return [...stdout.matchAll(/Address: (\d+\.\d+\.\d+\.\d+)$/gm)].map((match) => match[1]!)
  }
  assert.deepEqual(await ask('web.shop.svc.cluster.local'), [])
  cluster.put(kinds.Namespace, { metadata: { name: 'shop' } })
  cluster.put(kinds.Service, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { clusterIP: '198.18.78.7', clusterIPs: ['198.18.78.7'], ports: [{ port: 80 }] },
  })
  cluster.put(kinds.Service, {
    metadata: { name: 'away', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'example.org' },
  })
  assert.deepEqual(await ask('web.shop.svc.cluster.local'), ['198.18.78.7'])
  assert.deepEqual(await ask('example.net'), ['192.0.2.99'])
  assert.deepEqual(await ask('away.shop.svc.cluster.local'), ['192.0.2.99'], 'the alias is followed')

  const question = packet.streamEncode({
    type: 'query',
    id: 9,
    questions: [{ name: 'web.shop.svc.cluster.local', type: 'A' }],
  })
  const code = `const s = require('net').connect(53, '${address}', () => s.write(Buffer.from('${question.toString('hex')}', 'hex'))); s.on('data', (d) => { process.stdout.write(d.toString('hex')); s.end() })`
  const { stdout } = await room.inside('pod', [process.execPath, '-e', code])
  assert.equal((packet.streamDecode(Buffer.from(stdout, 'hex')).answers![0] as { data: string }).data, '198.18.78.7')
})
