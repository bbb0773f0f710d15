import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createServiceProxy } from '../../src/cluster/proxy/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { Endpoint, EndpointSlice, Service } from '../../src/spec/kube/generated/types.ts'
import * as kinds from '../../src/spec/kube/kinds.ts'
import type { Child } from '../../src/sys/sys.ts'
import { createFakeCluster } from '../fake-cluster.ts'
import { networkSpec, on, type Room, sandboxSpec, testLog, useRoom } from './network-room.ts'

const vip = '198.18.77.7'
const nodeAddress = '127.0.0.1'

interface Pod {
  id: string
  address: string
  server: Child
}
const startPod = async (room: Room, id: string): Promise<Pod> => {
  await room.sandboxes.create(sandboxSpec(id, [on('pods')]))
  const { endpoints } = await room.sandboxes.start(id)
  const code = `
    require('net').createServer((s) => { s.on('error', () => {}); s.end('${id} ' + s.remoteAddress?.replace('::ffff:', '')) }).listen(8080, () => {
      const u = require('dgram').createSocket('udp4'); u.on('message', (m, f) => u.send('${id}', f.port, f.address)); u.bind(8080, () => console.log('up')) })`
  const netns = `--net=${room.sandboxes.get(id)!.namespaces.net}`
  const server = room.sys.processes.spawn(['nsenter', netns, process.execPath, '-e', code], {
    fds: ['ignore', 'pipe', 2],
  })
  await once(server.stdout!, 'data')
  return { id, address: endpoints[0]!.ipv4!, server }
}
const slice = (
  pods: readonly Pod[],
  conditions: (pod: Pod) => Endpoint['conditions'] = () => ({}),
  protocol = 'TCP',
): EndpointSlice => ({
  metadata: { name: `web-${protocol}`, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ name: protocol, port: 8080, protocol }],
  endpoints: pods.map((pod) => ({
    addresses: [pod.address],
    conditions: conditions(pod) ?? {},
    targetRef: { kind: 'Pod', uid: pod.id, name: pod.id },
  })),
})
const service = (spec: Service['spec']): Service => ({
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    clusterIP: vip,
    ports: [
      { name: 'TCP', port: 80, protocol: 'TCP' },
      { name: 'UDP', port: 80, protocol: 'UDP' },
    ],
    ...spec,
  },
})

const ask = async (host: string, port: number, timeout = 3000): Promise<string> => {
  const socket = connect({ host, port, timeout })
  socket.on('timeout', () => socket.destroy(new Error(`timeout ${host}:${port}`)))
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}
const askFrom = async (room: Room, id: string, host: string, port: number): Promise<string> => {
  const { stdout, code } = await room.inside(id, ['busybox', 'nc', '-w', '5', host, String(port)])
  return code === 0 ? stdout : `failed ${code}`
}
const freePort = async (): Promise<number> => {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
const eventually = async (check: () => Promise<boolean> | boolean, what: string): Promise<void> => {
  for (let i = 0; i < 100; i++) {
    if (await check()) return
    await new Promise((go) => setTimeout(go, 20))
  }
  assert.fail(`never: ${what}`)
}

const setUp = async (t: TestContext, names: string[]) => {
  const room = await useRoom(t)
  await room.networks.create(networkSpec('pods', { driver: 'routed', dns: false }))
  await room.networks.create(networkSpec('front'))
  const pods: Pod[] = []
  t.after(() => pods.map(({ server }) => server.kill('SIGKILL')))
  for (const name of names) pods.push(await startPod(room, name))
  const cluster = createFakeCluster()
  const proxy = createServiceProxy({
    instance: room.instance,
    sys: room.sys,
    informers: cluster.informers,
    client: cluster.client,
    log: testLog,
    clock: systemClock,
    nodeAddress,
    serviceCidr: '198.18.77.0/24',
  })
  t.after(async () => {
    await proxy.close()
    await proxy.remove()
  })
  await proxy.start()
  return { room, pods, cluster, proxy }
}

test('services: cluster address, node port, load balancer, hairpin, even spread, none ready', async (t) => {
  const { room, pods, cluster } = await setUp(t, ['a', 'b'])
  await room.sandboxes.create(sandboxSpec('box', [on('front')]))
  await room.sandboxes.start('box')
  await room.sandboxes.create(sandboxSpec('client', [on('pods')]))
  const client = await room.sandboxes.start('client')
  const [nodePort, lbPort] = [await freePort(), await freePort()]
  cluster.put(
    kinds.Service,
    service({
      type: 'LoadBalancer',
      ports: [
        { name: 'TCP', port: lbPort, nodePort, protocol: 'TCP' },
        { name: 'UDP', port: lbPort, protocol: 'UDP' },
      ],
    }),
  )
  await eventually(
    () =>
      ask(vip, lbPort).then(
        () => false,
        (error) => error.code === 'ECONNREFUSED',
      ),
    'refused without endpoints',
  )
  assert.match(await askFrom(room, 'client', vip, lbPort), /failed/)

  cluster.put(kinds.EndpointSlice, slice(pods))
  cluster.put(kinds.EndpointSlice, slice(pods, undefined, 'UDP'))
  await eventually(
    () =>
      ask(vip, lbPort).then(
        () => true,
        () => false,
      ),
    'reachable',
  )
  const got = { a: 0, b: 0 }
  for (let i = 0; i < 20; i++) got[(await ask(vip, lbPort)).split(' ')[0] as 'a' | 'b']++
  assert.deepEqual(got, { a: 10, b: 10 })
  assert.match(
    await askFrom(room, 'client', vip, lbPort),
    new RegExp(`^[ab] ${client.endpoints[0]!.ipv4}$`),
    'from a pod, its own address kept',
  )
  assert.match(await askFrom(room, 'box', vip, lbPort), /^[ab] /, 'from a bridge')
  for (let i = 0; i < 2; i++)
    assert.match(await askFrom(room, 'a', vip, lbPort), /^[ab] /, 'a pod that is its own endpoint')
  assert.match(await ask('127.0.0.1', nodePort), /^[ab] /)
  assert.match(await ask('127.0.0.1', lbPort), /^[ab] /)
  assert.match(await ask('::1', lbPort), /^[ab] /)
  const status = cluster.informers.of(kinds.Service).get('shop', 'web')!.status
  assert.deepEqual(status?.loadBalancer?.ingress, [{ ip: nodeAddress, ipMode: 'VIP' }])

  const udp = createSocket('udp4')
  t.after(() => udp.close())
  const answers = new Set<string>()
  udp.on('message', (message) => answers.add(String(message)))
  udp.send('x', lbPort, vip)
  await eventually(() => answers.size === 1, 'an answer over UDP')
  const [first] = answers
  const rest = pods.filter(({ id }) => id !== first)
  cluster.put(kinds.EndpointSlice, slice(rest, undefined, 'UDP'))
  await eventually(() => {
    udp.send('x', lbPort, vip)
    return answers.size === 2
  }, 'the same socket reaches the other one')
})

test('a taken load balancer port: a message that names it, and the port is taken over when it is free', async (t) => {
  const { cluster } = await setUp(t, [])
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  cluster.put(kinds.Service, service({ type: 'LoadBalancer', ports: [{ name: 'TCP', port, protocol: 'TCP' }] }))
  const current = () => cluster.informers.of(kinds.Service).get('shop', 'web')!.status
  await eventually(
    () => current()?.conditions?.[0]?.message === `port ${port}/tcp of this machine is in use`,
    'the condition',
  )
  assert.equal(current()?.loadBalancer?.ingress, undefined)
  other.close()
  for (let i = 0; i < 400 && current()?.loadBalancer?.ingress === undefined; i++)
    await new Promise((go) => setTimeout(go, 20))
  assert.deepEqual([current()?.loadBalancer?.ingress?.[0]?.ip, current()?.conditions], [nodeAddress, []])
})

test('session affinity stays, until the target goes', async (t) => {
  const { pods, cluster } = await setUp(t, ['a', 'b', 'c'])
  cluster.put(kinds.Service, service({ sessionAffinity: 'ClientIP' }))
  cluster.put(kinds.EndpointSlice, slice(pods))
  await eventually(
    () =>
      ask(vip, 80).then(
        () => true,
        () => false,
      ),
    'reachable',
  )
  const answers = new Set<string>()
  for (let i = 0; i < 9; i++) answers.add((await ask(vip, 80)).split(' ')[0]!)
  assert.equal(answers.size, 1)
  const [chosen] = answers
  cluster.put(kinds.EndpointSlice, slice(pods.filter(({ id }) => id !== chosen)))
  await eventually(async () => !(await ask(vip, 80)).startsWith(`${chosen} `), 'another')
})

test('drained: resolves when the rules no longer lead to the pod', async (t) => {
  const { pods, cluster, proxy } = await setUp(t, ['a', 'b'])
  cluster.put(kinds.Service, service({}))
  cluster.put(kinds.EndpointSlice, slice(pods))
  await eventually(
    () =>
      ask(vip, 80).then(
        () => true,
        () => false,
      ),
    'reachable',
  )
  let drained = false
  const waiting = proxy.drained('a').then(() => (drained = true))
  await new Promise((go) => setTimeout(go, 50))
  assert.equal(drained, false)
  await assert.rejects(proxy.drained('a', AbortSignal.timeout(30)))
  cluster.put(
    kinds.EndpointSlice,
    slice(pods, ({ id }) => (id === 'a' ? { ready: false, serving: true, terminating: true } : {})),
  )
  await waiting
  for (let i = 0; i < 6; i++) assert.match(await ask(vip, 80), /^b /)
  // The last one serves to its end: it is never waited for.
  cluster.put(
    kinds.EndpointSlice,
    slice(pods, () => ({ ready: false, serving: true, terminating: true })),
  )
  await proxy.drained('b')
  assert.match(await ask(vip, 80), /^[ab] /)
})

/** Connects all the time, eight at once, until its standard input ends; then tells. Only connecting counts: a connection the
 * killed process (or its kernel, for it) had accepted is reset, and no load balancer below HTTP can help that. */
const loader = `
  const { connect } = require('net')
  let done = false, total = 0, slow = 0
  const failures = []
  process.stdin.resume().on('end', () => (done = true))
  const one = () => new Promise((resolve) => {
    const began = performance.now()
    const socket = connect({ host: '${vip}', port: 80, timeout: 8000 })
    socket.once('connect', () => { if (++total === 50) console.log('warm'); if (performance.now() - began > 500) slow++; socket.resetAndDestroy(); resolve() })
    socket.once('timeout', () => socket.destroy(new Error('timeout')))
    socket.on('error', (error) => { if (error.code !== 'ECONNRESET') failures.push(error.code ?? String(error)); resolve() })
  })
  Promise.all(Array.from({ length: 8 }, async () => { while (!done) { await one(); await new Promise((go) => setTimeout(go, 2)) } }))
    .then(() => console.log(JSON.stringify({ total, slow, failures })))`

for (const place of ['host', 'pod'])
  test(`a pod is killed under load from a ${place}: not one connection fails`, async (t) => {
    const { room, pods, cluster } = await setUp(t, ['a', 'b', 'c'])
    cluster.put(kinds.Service, service({}))
    cluster.put(kinds.EndpointSlice, slice(pods))
    await eventually(
      () =>
        ask(vip, 80).then(
          () => true,
          () => false,
        ),
      'reachable',
    )
    await room.sandboxes.create(sandboxSpec('client', [on('pods')]))
    const { namespaces } = await room.sandboxes.start('client')
    const enter = place === 'pod' ? ['nsenter', `--net=${namespaces.net}`] : []
    const load = room.sys.processes.spawn([...enter, process.execPath, '-e', loader], { fds: ['pipe', 'pipe', 2] })
    t.after(() => load.kill('SIGKILL'))
    await once(load.stdout!, 'data')
    pods[0]!.server.kill('SIGKILL')
    await pods[0]!.server.exited
    // What it takes until the kubelet has seen it and the endpoint controller has written.
    await new Promise((go) => setTimeout(go, 150))
    cluster.put(
      kinds.EndpointSlice,
      slice(pods, ({ id }) => (id === 'a' ? { ready: false } : {})),
    )
    await new Promise((go) => setTimeout(go, 1500))
    load.stdin!.end()
    const [told] = await once(load.stdout!, 'data')
    const { total, slow, failures } = JSON.parse(String(told)) as { total: number; slow: number; failures: string[] }
    t.diagnostic(`${total} connections, ${slow} of them waited for their second SYN, ${failures.length} failed`)
    assert.deepEqual(failures, [])
    assert.ok(total > 100)
    assert.ok(slow > 0, 'the test met the window it is about')
  })
