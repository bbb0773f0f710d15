import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Container, MountSpec } from '../../engine/types.ts'
import { planCreate } from './container-create.ts'
import { logDetails } from './container-log.ts'
import type { ContainerConfig, HostConfig } from './wire.ts'

const other = {
  sandboxId: 's',
  mounts: [
    { type: 'volume', volume: '', name: 'made', hostPath: '/x', target: '/v', readOnly: false, copyUp: true },
    { type: 'tmpfs', target: '/t' },
  ],
} as unknown as Container
const lookups: Parameters<typeof planCreate>[2] = {
  container: () => other,
  networkName: (reference) => (reference === 'id-of-net' ? 'net' : reference),
  exposedBy: () => [],
  imagePorts: [],
  parts: { cpus: 2, nodes: 1 },
  version: [1, 50],
  root: '/data/of/ours',
  hostname: 'h',
}
const plan = (host: HostConfig, config: ContainerConfig = {}) =>
  planCreate('name', { Image: 'i', ...config, HostConfig: host }, lookups).spec
const mounts = (host: HostConfig, config?: ContainerConfig): MountSpec[] => plan(host, config).mounts

test('what dockerd refuses is refused in its words', () => {
  const refused: [RegExp, HostConfig, ContainerConfig?][] = [
    [/conflicting options: dns and the network mode/, { NetworkMode: 'container:o', Dns: ['1.1.1.1'] }],
    [/port publishing and the container type/, { NetworkMode: 'container:o', PublishAllPorts: true }],
    [/port exposing and/, { NetworkMode: 'container:o' }, { ExposedPorts: { '1/tcp': {} } }],
    [/custom host-to-IP mapping/, { NetworkMode: 'container:o', ExtraHosts: ['a:1.1.1.1'] }],
    [/host type networking can't be used with links/, { NetworkMode: 'host', Links: ['o'] }],
    [/hostname and the UTS mode/, { UTSMode: 'host' }, { Hostname: 'x' }],
    [/invalid IP address in add-host: "x"/, { ExtraHosts: ['a:x'] }],
    [/invalid environment variable: =x/, {}, { Env: ['=x'] }],
    [/Interval in Healthcheck cannot be less than 1ms/, {}, { Healthcheck: { Interval: 5 } }],
    [/invalid PID mode: private/, { PidMode: 'private' }],
    [/range for oom score adj/, { OomScoreAdj: 1001 }],
    [/unknown log opt 'x' for json-file/, { LogConfig: { Config: { x: '1' } } }],
    [/max-size must be a positive/, { LogConfig: { Config: { 'max-size': '0' } } }],
    [/can not be less than memory reservation/, { Memory: 2 ** 23, MemoryReservation: 2 ** 24 }],
    [/CPU cfs period can not be less/, { CpuPeriod: 999 }],
    [/Nano CPUs and CPU Quota/, { NanoCpus: 1e9, CpuQuota: 1000 }],
    [/Requested memory nodes are not available - requested 1, available: 0$/, { CpusetMems: '1' }],
    [/Requested CPUs are not available - requested 0-2, available: 0-1/, { CpusetCpus: '0-2' }],
    [/swappiness range is 0-100/, { MemorySwappiness: 101 }],
    [/Range of blkio weight/, { BlkioWeight: 5 }],
    [/Duplicate mount point: \/a/, { Binds: ['/x:/a', '/y:/a/'] }],
    [/Duplicate mount point: \/a/, { Binds: ['/x:/a'], Tmpfs: { '/a': '' } }],
    [/Duplicate mount point: \/a/, { Binds: ['/x:/a'], Mounts: [{ Type: 'bind', Source: '/x', Target: '/a' }] }],
    [/invalid volume specification: '\/a:rw'/, { Binds: ['/a:rw'] }],
    [/invalid mode: ro,rw/, { Binds: ['/a:/b:ro,rw'] }],
    [/field VolumeOptions must not be/, { Binds: ['/a:/b:nocopy'] }],
    [/field BindOptions must not be/, { Binds: ['v:/b:shared'] }],
    [/invalid mode: bar/, { VolumesFrom: ['o:bar'] }],
    [/invalid mode: nocopy/, { VolumesFrom: ['o:nocopy'] }],
    [/must not set ReadOnly mode/, { Mounts: [{ Type: 'volume', Target: '/a', ReadOnly: true }] }],
    [/destination can't be '\/'/, { Tmpfs: { '/': '' } }],
    [/must use either propagation mode "rslave" or "rshared"/, { Binds: ['/data:/b:rprivate'] }],
    [
      /mount options conflict: !ReadOnly/,
      { Mounts: [{ Type: 'bind', Source: '/x', Target: '/a', BindOptions: { ReadOnlyForceRecursive: true } }] },
    ],
  ]
  for (const [message, host, config] of refused) assert.throws(() => plan(host, config), message)
})

test('what contradicts is said before a container that is not there', () => {
  const find = {
    ...lookups,
    container: () => {
      throw new Error('No such container: o')
    },
  }
  const HostConfig = { NetworkMode: 'container:o' }
  assert.throws(() => planCreate('name', { Image: 'i', HostConfig }, find), /No such container: o/)
  assert.throws(
    () => planCreate('name', { Image: 'i', Hostname: 'h', HostConfig }, find),
    /hostname and the network mode/,
  )
  assert.throws(() => planCreate('o', { Image: 'i', HostConfig }, find), /cannot join own network/)
})

test('an IPv4 address written as an IPv6 one is none', () => {
  const ask = (IPv6Address: string) => () =>
    planCreate(
      'name',
      { Image: 'i', NetworkingConfig: { EndpointsConfig: { n: { IPAMConfig: { IPv6Address } } } } },
      lookups,
    )
  assert.throws(ask('::ffff:172.28.99.99'), /invalid IPv6 address: ::ffff:172.28.99.99/)
  assert.throws(ask('172.28.99.99'), /invalid IPv6 address/)
})

test('networks that are not of the user have no addresses to give, not even none and host', () => {
  for (const mode of ['none', 'host', 'bridge', 'default']) {
    const EndpointsConfig = { [mode]: { IPAMConfig: { IPv4Address: '172.28.99.88' } } }
    const body = { Image: 'i', HostConfig: { NetworkMode: mode }, NetworkingConfig: { EndpointsConfig } }
    assert.throws(() => planCreate('name', body, lookups), /is supported on user defined networks only/, mode)
  }
})

test('mounts: cleaned, and what is asked for wins over what comes along', () => {
  assert.deepEqual(
    mounts({ Binds: ['/s//x/:/a/../b/'] }).map((m) => [m.target, m.type === 'bind' && m.source]),
    [['/b', '/s/x']],
  )
  const shared = { type: 'volume', volume: 'made', target: '/v', readOnly: true, copyUp: false, anonymous: true }
  assert.deepEqual(mounts({ VolumesFrom: ['o:ro'] }), [shared])
  assert.deepEqual(
    mounts({ VolumesFrom: ['o'], Tmpfs: { '/v': 'size=1m' } }, { Volumes: { '/v/': {} } }).map((m) => m.type),
    ['tmpfs'],
  )
})

test('details of log lines: labels, variables and the tag that the options name', () => {
  const options = { labels: 'b,none', 'env-regex': '^P', tag: '{{.Name}}/{{.ID}}' }
  const container = {
    id: '0123456789abcdef',
    imageId: 'sha256:x',
    spec: { ...plan({ LogConfig: { Config: options } }), labels: { a: '1', b: 'x y' } },
    process: { env: ['PA=/p', 'HOME=/'] },
  } as unknown as Container
  assert.equal(logDetails(container), 'PA=%2Fp,b=x+y,tag=name%2F0123456789ab')
})

test('binds around our own data follow its mounts', () => {
  const propagation = (bind: string): unknown => (mounts({ Binds: [bind] })[0] as { propagation?: string }).propagation
  assert.equal(propagation('/:/b'), 'rslave')
  assert.equal(propagation('/data/of/ours/volumes:/b'), 'rslave')
  assert.equal(propagation('/data/of/ours:/b:rshared'), 'rshared')
  assert.equal(propagation('/data/of/oursnot:/b'), undefined)
})

test('one network said by id and by name is one, with the address that was meant for it', () => {
  const body = {
    Image: 'i',
    MacAddress: '02:42:ac:11:00:42',
    HostConfig: { NetworkMode: 'id-of-net' },
    NetworkingConfig: { EndpointsConfig: { net: { IPAMConfig: { IPv4Address: '172.30.0.2' } } } },
  }
  const { sandbox } = planCreate('name', body, { ...lookups, version: [1, 25] }).spec
  const network = 'own' in sandbox ? sandbox.own.network : undefined
  assert.ok(network?.mode === 'attached')
  assert.deepEqual(
    network.attachments.map(({ network, ipv4, mac }) => [network, ipv4, mac]),
    [['net', '172.30.0.2', '02:42:ac:11:00:42']],
  )
})
