import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ContainerSpec, SandboxSpec } from '../../src/engine/index.ts'
import { type Bench, importBusybox, onBridge, openBench, runToEnd, spec } from './engine-kit.ts'

let bench: Bench
before(async () => {
  bench = await openBench()
  await importBusybox(bench.engine)
})
after(() => bench.destroy())

const containers = () => bench.engine.containers
const run = async (name: string, script: string, more: Partial<ContainerSpec> = {}): Promise<string> => {
  const result = await runToEnd(bench.engine, spec(name, ['sh', '-c', script], more))
  await containers().remove(result.id, { volumes: true })
  return result.stdout + result.stderr
}
const own = (network: SandboxSpec['network'], name: string): ContainerSpec['sandbox'] => ({
  own: {
    hostname: name,
    network,
    ports: [],
    dns: { servers: [], searches: [], options: [] },
    hosts: [],
    sysctls: {},
    labels: {},
  },
})

test('on a bridge: address, route, hosts, sysctls', async () => {
  const text = await run(
    'bridged',
    'ip -o -4 addr show eth0; ip route; cat /etc/hosts; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ping 2>&1 | head -1',
    { sandbox: onBridge('bridged') },
  )
  assert.match(text, /eth0 +inet \d+\.\d+\.\d+\.\d+\//)
  assert.match(text, /default via /)
  assert.match(text, /\d+\.\d+\.\d+\.\d+\tbridged/)
  assert.match(text, /\n0\n/)
})

test('the host: network, pids, ipc, names', async () => {
  const text = await run('hosted', 'for kind in net pid ipc uts; do readlink /proc/self/ns/$kind; done; hostname', {
    sandbox: own({ mode: 'host' }, hostname()),
    pidMode: 'host',
    ipcMode: 'host',
    utsMode: 'host',
  })
  const host = ['net', 'pid', 'ipc', 'uts']
  assert.equal(text.split('\n').length, 6)
  const { stdout } = await bench.sys.processes.must(['readlink', ...host.map((kind) => `/proc/self/ns/${kind}`)])
  assert.equal(text, `${stdout}${hostname()}\n`)
})

test('namespaces of another container', async () => {
  const { id } = await containers().create(spec('first', ['sleep', '100']))
  await containers().start(id)
  const joined = await run('second', 'ps; for kind in ipc net; do readlink /proc/self/ns/$kind; done', {
    sandbox: own({ mode: 'sandbox', id }, 'second'),
    pidMode: `container:${id}`,
    ipcMode: `container:${id}`,
  })
  assert.match(joined, /sleep 100/)
  const theirs = await containers().execOnce(id, [
    'sh',
    '-c',
    'for kind in ipc net; do readlink /proc/self/ns/$kind; done',
  ])
  assert.match(theirs.output, /^ipc:\[\d+\]\nnet:\[\d+\]\n$/)
  assert.ok(joined.endsWith(theirs.output))
  await containers().remove(id, { force: true })
  await assert.rejects(run('third', 'true', { pidMode: 'container:nope' }), /No such container: nope/)
  await containers().remove('third')
})

test('a pod: several containers in a shared sandbox, which outlives them', async () => {
  const sandbox = await bench.engine.sandboxes.create({
    ...(own({ mode: 'none' }, 'pod') as { own: Omit<SandboxSpec, 'id'> }).own,
    id: 'pod-1',
  })
  await bench.engine.sandboxes.start('pod-1')
  const shared = { sandbox: { shared: 'pod-1' }, pidMode: 'sandbox' }
  const { id } = await containers().create(
    spec('pod-a', ['sh', '-c', 'echo from a > /dev/shm/note; sleep 100'], shared),
  )
  await containers().start(id)
  const text = await run(
    'pod-b',
    'until test -e /dev/shm/note; do sleep 0.05; done; cat /dev/shm/note; hostname; ps | grep -c "[s]leep 100"',
    shared,
  )
  assert.match(text, /^from a\npod\n[12]\n$/)
  await containers().remove(id, { force: true })
  assert.equal(bench.engine.sandboxes.get('pod-1')?.state, 'ready')
  await bench.engine.sandboxes.stop('pod-1')
  await bench.engine.sandboxes.remove(sandbox.spec.id)
})

test('images and parts of volumes as mounts', async () => {
  const volume = await bench.engine.volumes.create({ name: 'parts', driver: 'local', options: {}, labels: {} })
  mkdirSync(join(volume.mountpoint, 'sub'))
  writeFileSync(join(volume.mountpoint, 'sub/file'), 'a part\n')
  const text = await run('mounts', 'cat /part/file; cat /image/data/seed; touch /image/x; cat /only/seed', {
    mounts: [
      { type: 'volume', volume: 'parts', target: '/part', readOnly: true, subpath: 'sub', copyUp: false },
      { type: 'image', image: 'busybox:latest', target: '/image' },
      { type: 'image', image: 'busybox:latest', target: '/only', subpath: 'data' },
    ],
  })
  assert.match(text, /^a part\nfrom the image\nfrom the image\ntouch: .*Read-only file system\n$/)
  await bench.engine.volumes.remove('parts')
})

test('an init process reaps, or its absence is explained', async () => {
  const script = 'cat /proc/1/comm; (sleep 0.05 &) ; sleep 0.2; ps | grep -c "\\[sleep\\]"'
  if (existsSync('/usr/bin/tini-static'))
    assert.match(await run('with-init', script, { init: true }), /^docker-init\n0\n$/)
  else await assert.rejects(run('with-init', script, { init: true }), /no init program for containers was found/)
})

test('no log is kept where none is wanted', async () => {
  const { id, stdout } = await runToEnd(
    bench.engine,
    spec('unlogged', ['echo', 'heard'], { log: { driver: 'none', options: {} } }),
  )
  assert.equal(stdout, 'heard\n')
  assert.equal(existsSync(containers().must(id).paths.log), false)
  assert.throws(() => containers().logs(id, {}), /does not support reading/)
  await containers().remove(id)
})

test('an attachment that begins with the log', async () => {
  const { id } = await containers().create(spec('history', ['sh', '-c', 'echo before; sleep 0.4; echo after']))
  await containers().start(id)
  await new Promise((resolve) => setTimeout(resolve, 150))
  const io = await containers().attach(id, { stdin: false, stdout: true, stderr: true, logs: true })
  let text = ''
  for await (const { data } of io.output) text += data.toString()
  assert.equal(text, 'before\nafter\n')
  await containers().wait(id, 'not-running')
  await containers().remove(id)
})

test('attachments that begin with the log: nothing twice and nothing lost, of lines cut anywhere either', async () => {
  // Parts of lines one by one, and some lines of 40 KiB.
  const script = `i=0; while [ $i -lt 2000 ]; do printf '<%s>' $i; [ $((i % 9)) = 0 ] && echo; i=$((i+1))
    [ $((i % 500)) = 0 ] && dd if=/dev/zero bs=40000 count=1 2>/dev/null | tr '\\0' x; done; printf end`
  const { id } = await containers().create(spec('seams', ['sh', '-c', script]))
  const seen: Promise<string>[] = []
  const attach = async (): Promise<void> => {
    const io = await containers().attach(id, { stdin: false, stdout: true, stderr: true, logs: true })
    const read = async (): Promise<string> => {
      const chunks: Uint8Array[] = []
      for await (const { data } of io.output) chunks.push(data)
      return Buffer.concat(chunks).toString()
    }
    seen.push(read())
  }
  await attach()
  await containers().start(id)
  while (containers().must(id).status === 'running' && seen.length < 40) {
    await attach()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await containers().wait(id, 'not-running')
  let whole = ''
  for await (const lines of containers().logs(id, {})) for (const { data } of lines) whole += data.toString()
  assert.equal(whole.replaceAll(/x+/g, ' ').match(/<\d+>/g)?.length, 2000)
  assert.ok(whole.includes('x'.repeat(40_000)) && whole.endsWith('end'))
  assert.ok(seen.length > 3, `${seen.length}`)
  for (const [i, text] of (await Promise.all(seen)).entries())
    assert.ok(text === whole, `attachment ${i}: ${text.length} bytes instead of ${whole.length}`)
  await containers().remove(id)
})

test('twenty at once', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `many-${i}`)
  const results = await Promise.all(
    names.map((name) => runToEnd(bench.engine, spec(name, ['sh', '-c', `echo ${name}`]))),
  )
  assert.deepEqual(
    results.map(({ stdout, exitCode }) => `${stdout}${exitCode}`),
    names.map((name) => `${name}\n0`),
  )
  await Promise.all(results.map(({ id }) => containers().remove(id)))
  assert.deepEqual(bench.sys.mounts.below(join(bench.instance.runDir, 'containers')), [])
})
