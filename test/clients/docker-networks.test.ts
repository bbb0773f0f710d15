/** Networks, names, published ports, volumes. */
import assert from 'node:assert/strict'
import { createConnection, createServer, type AddressInfo } from 'node:net'
import { after, afterEach, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails } = docker
const serving = (word: string): string[] => ['busybox', 'sh', '-c', `while :; do echo ${word} | nc -l -p 80; done`]
/** Asks until somebody answers: the server may not listen yet. */
const asked = (network: string, host: string, ...more: string[]): Promise<string> =>
  ok(
    'run',
    '--rm',
    '--network',
    network,
    ...more,
    'busybox',
    'sh',
    '-c',
    `for i in 1 2 3 4 5 6 7 8 9; do nc ${host} 80 </dev/null && exit; sleep 0.1; done; exit 1`,
  )

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
const said = (port: number): Promise<string> =>
  until(`an answer on ${port}`, async () => {
    const text = await new Promise<string>((resolve) => {
      let got = ''
      const socket = createConnection(port, '127.0.0.1')
      socket.on('data', (data) => {
        got += String(data)
      })
      socket.on('error', () => resolve(''))
      socket.on('close', () => resolve(got))
      socket.end()
    })
    return text !== '' && text
  })

test('networks: create, list, inspect, remove, refuse', async () => {
  assert.match(
    await ok('network', 'create', '--subnet', '10.213.7.0/24', '--gateway', '10.213.7.1', '--label', 'a=b', 'n1'),
    /^[0-9a-f]{64}$/,
  )
  assert.match(await fails(1, 'network', 'create', 'n1'), /network with name n1 already exists/)
  assert.match(
    await fails(1, 'network', 'create', '--subnet', '10.213.7.0/24', 'n2'),
    /Pool overlaps with other one on this address space/,
  )
  assert.match(await fails(1, 'network', 'create', 'host'), /operation is not permitted on predefined host network/)
  assert.match(await fails(1, 'network', 'create', '-d', 'bogus', 'n2'), /plugin.*not found/)
  assert.equal(
    await ok('network', 'ls', '--format', '{{.Name}} {{.Driver}}'),
    'bridge bridge\nhost host\nn1 bridge\nnone null',
  )
  const [seen] = JSON.parse(await ok('network', 'inspect', 'n1'))
  assert.deepEqual(seen.IPAM.Config, [{ Subnet: '10.213.7.0/24', Gateway: '10.213.7.1' }])
  assert.deepEqual([seen.Labels, seen.Options, seen.Internal], [{ a: 'b' }, {}, false])
  await ok('run', '-d', '--name', 'on', '--network', 'n1', '--ip', '10.213.7.50', 'busybox', 'sleep', '100')
  assert.equal(await ok('inspect', '-f', '{{.NetworkSettings.Networks.n1.IPAddress}}', 'on'), '10.213.7.50')
  assert.match(await fails(1, 'network', 'rm', 'n1'), /network n1 has active endpoints/)
  await ok('rm', '-f', 'on')
  assert.equal(await ok('network', 'rm', 'n1'), 'n1')
  assert.match(await fails(1, 'network', 'rm', 'n1'), /network n1 not found/)
  assert.match(await fails(1, 'network', 'rm', 'bridge'), /bridge is a pre-defined network and cannot be removed/)
})

test('names resolve on a network: containers, aliases, after a rename, after connect; not elsewhere', async () => {
  await ok('network', 'create', 'na')
  await ok('network', 'create', 'nb')
  await ok('run', '-d', '--name', 'srv', '--network', 'na', '--network-alias', 'svc', ...serving('hello'))
  assert.equal(await asked('na', 'srv'), 'hello')
  assert.equal(await asked('na', 'svc'), 'hello')
  await ok('rename', 'srv', 'srv2')
  assert.equal(await asked('na', 'srv2'), 'hello')
  assert.notEqual((await docker.run(['run', '--rm', '--network', 'na', 'busybox', 'nslookup', 'srv'])).code, 0)
  assert.notEqual((await docker.run(['run', '--rm', '--network', 'nb', 'busybox', 'nslookup', 'srv2'])).code, 0)
  await ok('network', 'connect', '--alias', 'other', 'nb', 'srv2')
  assert.match(
    await fails(1, 'network', 'connect', 'nb', 'srv2'),
    /endpoint with name srv2 already exists in network nb/,
  )
  assert.equal(await asked('nb', 'other'), 'hello')
  assert.equal(await asked('container:srv2', '127.0.0.1'), 'hello')
  await ok('network', 'disconnect', 'nb', 'srv2')
  assert.match(await fails(1, 'network', 'disconnect', 'nb', 'srv2'), /is not connected to/)
  await ok('rm', '-f', 'srv2')
  await ok('network', 'rm', 'na', 'nb')
})

test('links on the default bridge', async () => {
  await ok('run', '-d', '--name', 'linked', ...serving('linked'))
  assert.equal(await asked('bridge', 'al', '--link', 'linked:al'), 'linked')
})

test('published ports: given, picked, of the image, taken', async () => {
  const port = await freePort()
  await ok(
    'run',
    '-d',
    '--name',
    'pub',
    '-p',
    `127.0.0.1:${port}:80`,
    '-p',
    '127.0.0.1::81/udp',
    '--expose',
    '99',
    ...serving('pub'),
  )
  assert.equal(await said(port), 'pub\n')
  assert.equal(await ok('port', 'pub', '80'), `127.0.0.1:${port}`)
  assert.match(await ok('port', 'pub', '81/udp'), /^127\.0\.0\.1:\d+$/)
  assert.match(
    await ok('ps', '--format', '{{.Ports}}'),
    /^99\/tcp, 127\.0\.0\.1:\d+->80\/tcp, 127\.0\.0\.1:\d+->81\/udp$/,
  )
  assert.match(await fails(1, 'port', 'pub', '99'), /no public port '99(\/tcp)?' published for pub/i)
  assert.match(
    await fails(125, 'run', '--rm', '-p', `127.0.0.1:${port}:80`, 'busybox', 'true'),
    /port is already allocated/,
  )
  const { Ports } = JSON.parse(await ok('inspect', '-f', '{{json .NetworkSettings}}', 'pub'))
  assert.deepEqual(Ports['80/tcp'], [{ HostIp: '127.0.0.1', HostPort: String(port) }])
  assert.equal(Ports['99/tcp'], null)
})

test('volumes: create, use, refuse, prune; the image fills an empty one', async () => {
  assert.equal(await ok('volume', 'create', '--label', 'q=1', 'v1'), 'v1')
  assert.match(
    await fails(1, 'volume', 'create', '--driver', 'bogus', 'v2'),
    /error looking up volume plugin bogus: plugin "bogus" not found/,
  )
  await ok('run', '--name', 'uses', '-v', 'v1:/etc', '-v', '/anon', 'busybox', 'sh', '-c', 'echo kept > /etc/mine')
  assert.match(await ok('run', '--rm', '-v', 'v1:/x', 'busybox', 'cat', '/x/passwd', '/x/mine'), /^root:.*kept$/s)
  assert.match(await fails(1, 'volume', 'rm', 'v1'), /remove v1: volume is in use - \[[0-9a-f]{64}\]/)
  assert.match(await fails(1, 'volume', 'inspect', 'nosuch'), /get nosuch: no such volume/)
  assert.equal(await ok('volume', 'ls', '-q', '--filter', 'label=q=1'), 'v1')
  assert.equal((await docker.run(['run', '--rm', '-v', 'v1:/x:ro', 'busybox', 'touch', '/x/y'])).code, 1)
  await ok('rm', '-v', 'uses')
  assert.equal(await ok('volume', 'ls', '-q'), 'v1')
  assert.match(await ok('volume', 'prune', '-f'), /^Total reclaimed space: 0B$/)
  assert.match(await ok('volume', 'prune', '-af'), /Deleted Volumes:\nv1\n/)
})
