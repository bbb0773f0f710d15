/** Networks, names, published ports, volumes. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
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
const said = (port: number, host = '127.0.0.1'): Promise<string> =>
  until(`an answer on ${port}`, async () => {
    const text = await new Promise<string>((resolve) => {
      let got = ''
      const socket = createConnection(port, host)
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
  await ok('network', 'connect', 'nb', 'srv2')
  await ok('stop', '-t0', 'srv2')
  await ok('network', 'rm', 'nb')
  await ok('network', 'disconnect', '-f', 'nb', 'srv2')
  await ok('start', 'srv2')
  await ok('rm', '-f', 'srv2')
  await ok('network', 'rm', 'na')
})

test('links on the default bridge', async () => {
  await ok('run', '-d', '--name', 'linked', ...serving('linked'))
  assert.equal(await asked('bridge', 'al', '--link', 'linked:al'), 'linked')
  const env = await ok('run', '--rm', '--name', 'asker', '--link', 'linked:al', 'busybox', 'env')
  assert.match(env, /^AL_NAME=\/asker\/al$/m)
  // The other's address is looked up again when it has changed.
  await ok('run', '-d', '--name', 'asker', '--link', 'linked:al', 'busybox', 'sleep', '100')
  assert.equal(await ok('inspect', '-f', '{{.Name}}', 'asker/al'), '/linked')
  assert.equal(await ok('inspect', '-f', '{{json .HostConfig.Links}}', 'asker'), '["/linked:/asker/al"]')
  await ok('stop', '-t0', 'linked')
  await ok('run', '-d', '--name', 'between', 'busybox', 'sleep', '100')
  await ok('start', 'linked')
  const now = await ok('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'linked')
  assert.match(await ok('exec', 'asker', 'cat', '/etc/hosts'), new RegExp(`^${now}\tal `, 'm'))
  await ok('stop', '-t0', 'linked', 'asker')
  assert.match(await fails(1, 'start', 'asker'), /Cannot link to a non running container: \/linked AS \/asker\/al/)
  await ok('start', 'linked', 'asker')
  assert.match(await fails(1, 'rm', '--link', 'linked'), /cannot remove the default link name/)
  assert.match(await fails(1, 'rm', '--link', 'asker/no'), /No such container: asker\/no/)
  assert.match(await fails(1, 'rm', 'asker/al'), /container is running/)
  assert.equal(await ok('rm', '--link', 'asker/al'), 'asker/al')
  assert.equal(await ok('inspect', '-f', '{{json .HostConfig.Links}}', 'asker'), 'null')
  assert.doesNotMatch(await ok('exec', 'asker', 'cat', '/etc/hosts'), /\tal /)
  await ok('restart', '-t0', 'asker')
  assert.doesNotMatch(await ok('exec', 'asker', 'env'), /^AL_/m)
  assert.match(await fails(1, 'rm', '--link', 'asker/al'), /No such container/)
  // On networks with names a link is one more, for the one who asked.
  await ok('network', 'create', 'nl')
  await ok('run', '-d', '--name', 'far', '--network', 'nl', ...serving('far'))
  assert.equal(await asked('nl', 'near', '--link', 'far:near'), 'far')
  assert.notEqual((await docker.run(['run', '--rm', '--network', 'nl', 'busybox', 'nslookup', 'near'])).code, 0)
  assert.match(
    await fails(125, 'run', '--rm', '--link', 'far:l', 'busybox', 'id'),
    /\/far, as it does not belong to the default/,
  )
  await ok('network', 'connect', 'bridge', 'far')
  assert.equal(await asked('bridge', 'l', '--link', 'far:l'), 'far')
  await ok('rm', '-f', 'far')
  await ok('network', 'rm', 'nl')
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
  // The first free one of a range; every exposed port; SCTP, which no socket holds.
  const range = `127.0.0.1:${port}-${port + 9}:80`
  const more = ['-P', '--expose', '7000-7001', '--expose', '7002/udp', '-p', '127.0.0.1::99/sctp']
  await ok('run', '-d', '--name', 'more', '-p', range, ...more, ...serving('more'))
  const given = await ok('port', 'more')
  for (const each of ['7000/tcp', '7001/tcp', '7002/udp'])
    assert.match(given, new RegExp(`^${each} -> 0\\.0\\.0\\.0:\\d+$`, 'm'))
  const [, sctp] = /^99\/sctp -> 127\.0\.0\.1:(\d+)$/m.exec(given)!
  const [, second] = /^80\/tcp -> 127\.0\.0\.1:(\d+)$/m.exec(given)!
  assert.notEqual(second, String(port))
  assert.equal(await said(Number(second)), 'more\n')
  assert.match(
    await fails(125, 'run', '--rm', '--name', 'late', '-p', `127.0.0.1:${sctp}:9/sctp`, 'busybox', 'true'),
    /driver failed programming external connectivity on endpoint late \([0-9a-f]{64}\): Bind for 127\.0\.0\.1:\d+ failed: port is already allocated/,
  )
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const other = (taken.address() as AddressInfo).port
  assert.match(
    await fails(125, 'run', '--rm', '-p', `127.0.0.1:${other}:80`, 'busybox', 'true'),
    new RegExp(`(failed to bind host port for|Bind for) 127\\.0\\.0\\.1:${other}`),
  )
  taken.close()
})

/** A cable between two links of the test's own, with the one end for macvlan networks. */
const withCable = async (body: (parent: string) => Promise<void>): Promise<void> => {
  const parent = `tn${process.pid % 100_000}a`
  execFileSync('ip', ['link', 'add', parent, 'type', 'veth', 'peer', 'name', `${parent.slice(0, -1)}b`])
  try {
    for (const name of [parent, `${parent.slice(0, -1)}b`]) execFileSync('ip', ['link', 'set', name, 'up'])
    await body(parent)
  } finally {
    execFileSync('ip', ['link', 'del', parent])
  }
}

test('link-local addresses', async () => {
  const addresses = (name: string): Promise<string> => ok('exec', name, 'ip', '-o', 'addr', 'show', 'dev', 'eth0')
  const asked = ['--link-local-ip', '169.254.34.68', '--link-local-ip', 'fe80::34:68']
  await ok('network', 'create', 'll')
  await ok('run', '-d', '--name', 'l1', '--network', 'll', ...asked, 'busybox', 'sleep', '100')
  await ok('run', '-d', '--name', 'l3', 'busybox', 'sleep', '100')
  for (const when of ['created', 'restarted']) {
    const given = await addresses('l1')
    assert.match(given, /inet 169\.254\.34\.68\/16 brd 169\.254\.255\.255 /, when)
    assert.match(given, /inet6 fe80::34:68\/64 /, when)
    await ok('restart', '-t0', 'l1')
  }
  const ipam = '{{json .NetworkSettings.Networks.ll.IPAMConfig.LinkLocalIPs}}'
  assert.equal(await ok('inspect', '-f', ipam, 'l1'), '["169.254.34.68","fe80::34:68"]')
  await ok('network', 'connect', '--link-local-ip', '169.254.5.6', 'll', 'l3')
  assert.match(await ok('exec', 'l1', 'ping', '-c', '1', '169.254.5.6'), /1 packets received/)
  assert.match(
    await ok('run', '--rm', '--link-local-ip', '169.254.34.69', 'busybox', 'ip', 'addr'),
    /169\.254\.34\.69\/16/,
  )
  for (const [wrong, message] of [
    ['foo', /invalid link-local IP address: foo/],
    ['0.0.0.0', /invalid link-local IP address: 0\.0\.0\.0/],
    ['10.3.4.5', /invalid link local IP address: 10\.3\.4\.5/],
  ] as const)
    assert.match(
      await fails(125, 'run', '--rm', '--network', 'll', '--link-local-ip', wrong, 'busybox', 'true'),
      message,
    )
  await docker.clean()
  await ok('network', 'rm', 'll')
})

test('macvlan: addresses, names, modes, a restart of the daemon, what is refused', async () => {
  await withCable(async (parent) => {
    const subnet = ['--subnet', '10.213.20.0/24', '--ip-range', '10.213.20.64/26', '--aux-address', 'a=10.213.20.65']
    await ok('network', 'create', '-d', 'macvlan', '-o', `parent=${parent}`, ...subnet, 'mac')
    const [seen] = JSON.parse(await ok('network', 'inspect', 'mac'))
    assert.deepEqual(seen.IPAM.Config, [
      { Subnet: '10.213.20.0/24', IPRange: '10.213.20.64/26', AuxiliaryAddresses: { a: '10.213.20.65' } },
    ])
    await ok('run', '-d', '--name', 'm1', '--network', 'mac', '--network-alias', 'peer', 'busybox', 'sleep', '100')
    const fixed = ['--ip', '10.213.20.9', '--mac-address', '02:11:22:33:44:55']
    await ok('run', '-d', '--name', 'm2', '--network', 'mac', ...fixed, 'busybox', 'sleep', '100')
    const told = '{{.IPAddress}} {{.Gateway}} {{.MacAddress}}'
    const of = (name: string) => ok('inspect', '-f', `{{with .NetworkSettings.Networks.mac}}${told}{{end}}`, name)
    assert.match(await of('m1'), /^10\.213\.20\.66 10\.213\.20\.64 02:/)
    assert.equal(await of('m2'), '10.213.20.9 10.213.20.64 02:11:22:33:44:55')
    docker.instance.slipway('daemon', 'stop')
    docker.instance.slipway('daemon', 'start')
    assert.match(await ok('exec', 'm2', 'busybox', 'ping', '-c', '1', '-W', '2', 'peer'), / 0% packet loss/)
    assert.match(await ok('exec', 'm2', 'ip', 'route'), /^default via 10\.213\.20\.64 dev eth0/)
    const create = (...args: string[]) => fails(1, 'network', 'create', '-d', ...args, 'no')
    assert.match(
      await create('macvlan', '-o', `parent=${parent}`, '-o', 'macvlan_mode=passthru'),
      /cannot use mode passthru/,
    )
    assert.match(await create('macvlan', '-o', 'macvlan_mode=x'), /requested macvlan mode 'x' is not valid/)
    assert.match(await create('macvlan', '-o', 'parent=lo'), /loopback interface is not a valid macvlan parent link/)
    assert.match(await create('macvlan', '-o', 'parent=nosuch0'), /invalid subinterface vlan name nosuch0/)
    assert.match(await create('ipvlan', '-o', 'ipvlan_mode=x'), /requested ipvlan mode 'x' is not valid/)
    await ok('rm', '-f', 'm1', 'm2')
    await ok('network', 'rm', 'mac')
    assert.ok(existsSync(`/sys/class/net/${parent}`), 'a parent that was there stays')
    // Only one may sit on a parent that is passed through.
    await ok('network', 'create', '-d', 'macvlan', '-o', `parent=${parent}`, '-o', 'macvlan_mode=passthru', 'one')
    await ok('run', '-d', '--name', 'm1', '--network', 'one', 'busybox', 'sleep', '100')
    assert.match(
      await fails(125, 'run', '--rm', '--name', 'm2', '--network', 'one', 'busybox', 'true'),
      /failed to create endpoint m2 on network one: failed to create the macvlan port/,
    )
    await ok('rm', '-f', 'm1')
    await ok('network', 'rm', 'one')
  })
  // Without a parent there is only the network itself.
  await ok('network', 'create', '-d', 'macvlan', 'alone')
  await ok('run', '-d', '--name', 'm1', '--network', 'alone', 'busybox', 'sleep', '100')
  assert.match(
    await ok('run', '--rm', '--network', 'alone', 'busybox', 'busybox', 'ping', '-c', '1', 'm1'),
    / 0% packet loss/,
  )
  assert.doesNotMatch(await ok('exec', 'm1', 'ip', 'route'), /default/)
  await ok('rm', '-f', 'm1')
  await ok('network', 'rm', 'alone')
})

test('IPv6: fixed and picked subnets, names, published ports of each family', async () => {
  await ok('network', 'create', '--ipv6', '--subnet', 'fd00:2:13::/64', '--subnet', '10.213.21.0/24', 'six')
  await ok('network', 'create', '--ipv6', '--ipv4=false', 'only')
  const [only] = JSON.parse(await ok('network', 'inspect', 'only'))
  assert.match(only.IPAM.Config[0].Subnet, /^fd.*\/64$/)
  assert.deepEqual([only.EnableIPv4, only.EnableIPv6, only.IPAM.Config.length], [false, true, 1])
  const port = String(await freePort())
  const ports = ['-p', `0.0.0.0:${port}:80`, '-p', `[::1]:${port}:80`]
  await ok('run', '-d', '--name', 's1', '--network', 'six', '--ip6', 'fd00:2:13::10', ...ports, ...serving('six'))
  assert.match(
    await ok('run', '--rm', '--network', 'six', 'busybox', 'nslookup', '-type=aaaa', 's1'),
    /Address: fd00:2:13::10/,
  )
  assert.equal(await asked('six', 'fd00:2:13::10'), 'six')
  assert.equal(await said(Number(port)), 'six\n')
  assert.equal(await said(Number(port), '::1'), 'six\n')
  assert.equal(await ok('port', 's1', '80'), `0.0.0.0:${port}\n[::1]:${port}`)
  assert.match(await ok('run', '--rm', '--network', 'only', 'busybox', 'ip', 'addr', 'show', 'dev', 'eth0'), /inet6 fd/)
  assert.match(
    await fails(125, 'run', '--rm', '--network', 'only', '--ip6', 'fd00::1', 'busybox', 'true'),
    /supported only when connecting to networks with user configured subnets/,
  )
  assert.match(
    await fails(125, 'run', '--rm', '--network', 'six', '--ip6', 'fd00::1', 'busybox', 'true'),
    /no configured subnet or ip-range contain the IP address fd00::1/,
  )
  await ok('rm', '-f', 's1')
  await ok('network', 'rm', 'six', 'only')
})

test('bridges: names, modes, who leads out, configurations, filters', async () => {
  const bridge = `tn${process.pid % 100_000}br`
  const option = (name: string, value: string): string[] => ['-o', `com.docker.network.bridge.${name}=${value}`]
  const own = [...option('name', bridge), ...option('enable_icc', 'false'), ...option('host_binding_ipv4', '127.0.0.1')]
  await ok('network', 'create', ...own, '-o', 'com.docker.network.driver.mtu=1300', 'named')
  const port = await freePort()
  await ok('run', '-d', '--name', 'n1', '--network', 'named', '-p', `${port}:80`, ...serving('named'))
  assert.equal(await ok('port', 'n1'), `80/tcp -> 127.0.0.1:${port}`)
  assert.equal(await said(port), 'named\n')
  assert.match(await ok('exec', 'n1', 'ip', 'link', 'show', 'dev', 'eth0'), /mtu 1300/)
  assert.equal(
    (await docker.run(['run', '--rm', '--network', 'named', 'busybox', 'busybox', 'ping', '-c1', '-W1', 'n1'])).code,
    1,
  )
  await ok('rm', '-f', 'n1')
  await ok('network', 'rm', 'named')
  assert.ok(!existsSync(`/sys/class/net/${bridge}`))

  const refused = (...args: string[]) => fails(1, 'network', 'create', ...args, 'no')
  assert.match(await refused(...option('gateway_mode_ipv4', 'x')), /value: x \(unknown gateway mode x\)/)
  assert.match(await refused(...option('gateway_mode_ipv4', 'isolated')), /only be used for an internal network/)
  assert.match(await refused(...option('enable_icc', 'maybe')), /strconv.ParseBool: parsing "maybe": invalid syntax/)
  assert.match(await refused('--subnet', '10.213.1.1/24'), /invalid subnet 10.213.1.1\/24: it should be 10.213.1.0\/24/)
  assert.match(await refused('--scope', 'swarm'), /cannot create a swarm scoped network when swarm is not active/)

  // Routed: the port is open at the container's own address, from other networks too, and nowhere else.
  await ok('network', 'create', ...option('gateway_mode_ipv4', 'routed'), 'routed')
  await ok('run', '-d', '--name', 'r1', '--network', 'routed', '-p', '80', ...serving('routed'))
  const address = await ok('inspect', '-f', '{{.NetworkSettings.Networks.routed.IPAddress}}', 'r1')
  assert.equal(await asked('bridge', address), 'routed')
  assert.match(await ok('ps', '--format', '{{.Ports}}'), /^80\/tcp$/)
  await ok('rm', '-f', 'r1')

  await ok('network', 'create', '--config-only', '--subnet', '10.213.22.0/24', '--label', 'c=1', 'cfg')
  await ok('network', 'create', '--config-from', 'cfg', 'aaa')
  const [from] = JSON.parse(await ok('network', 'inspect', 'aaa'))
  assert.deepEqual(
    [from.IPAM.Config, from.ConfigFrom, from.Labels],
    [[{ Subnet: '10.213.22.0/24' }], { Network: 'cfg' }, { c: '1' }],
  )
  assert.match(await fails(1, 'network', 'rm', 'cfg'), /configuration network "cfg" is in use/)

  // The default route is that of the highest priority, then of the first name.
  await ok('network', 'create', 'bbb')
  const moving = await freePort()
  await ok('run', '-d', '--name', 'g1', '--network', 'bbb', '-p', `127.0.0.1:${moving}:80`, ...serving('moving'))
  const leads = async () => /^default via (\S+) dev (\S+)/m.exec(await ok('exec', 'g1', 'ip', 'route'))?.[2]
  assert.equal(await leads(), 'eth0')
  await ok('network', 'connect', '--ip', '10.213.22.7', 'aaa', 'g1')
  assert.equal(await leads(), 'eth1')
  assert.equal(await said(moving), 'moving\n', 'the published port goes along')
  await ok('network', 'disconnect', 'aaa', 'g1')
  await ok('network', 'connect', '--gw-priority', '-1', 'aaa', 'g1')
  assert.equal(await leads(), 'eth0')
  assert.match(
    await fails(1, 'network', 'connect', 'host', 'g1'),
    /cannot be disconnected from host network or connected/,
  )
  assert.match(
    await fails(1, 'network', 'connect', 'cfg', 'g1'),
    /cannot create endpoint on configuration-only network/,
  )
  const named = await ok('network', 'ls', '-q', '--filter', 'name=^(aaa|bbb)$', '--filter', 'dangling=false')
  assert.equal(named.split('\n').length, 2)
  assert.equal(await ok('network', 'ls', '--filter', 'driver=null', '--format', '{{.Name}}'), 'cfg\nnone')
  assert.equal(await ok('network', 'prune', '-f', '--filter', 'until=1h'), '')
  assert.equal(await ok('network', 'prune', '-f'), 'Deleted Networks:\nrouted\n')
  await ok('rm', '-f', 'g1')
  await ok('network', 'rm', 'aaa', 'bbb', 'cfg')
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
