import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import type { OciSyscall } from '../../spec/oci/index.ts'
import type { SecurityOptions } from '../types.ts'
import { allCapabilities, capabilitiesOf, containerCapabilities } from './capabilities.ts'
import { type ConfigInput, configText, type Machine, ociConfig } from './config.ts'
import { majorOf, minorOf, parseDeviceRule } from './devices.ts'
import { ociResources } from './resources.ts'
import { parseLimits, rlimits } from './rlimits.ts'
import { resolveProfile, seccompFor } from './seccomp.ts'
import { defaultProfile } from './seccomp-default.ts'
import { signalNumber } from './signals.ts'
import { resolveUser } from './user.ts'

const all = new Set(allCapabilities)
const security: SecurityOptions = {
  privileged: false,
  capAdd: [],
  capDrop: [],
  noNewPrivileges: false,
  seccomp: 'default',
  readOnlyRootfs: false,
}
const machine: Machine = {
  own: { capabilities: all, hard: { RLIMIT_NOFILE: 20_000, RLIMIT_CORE: Number.POSITIVE_INFINITY }, oomScoreAdj: 0 },
  cgroups: { version: 1, swap: true },
  apparmor: false,
  defaultApparmor: false,
  thermalPaths: ['/thermal'],
}
const input: ConfigInput = {
  process: {
    args: ['true'],
    env: [],
    cwd: '/',
    user: { uid: 0, gid: 0, additionalGids: [0] },
    tty: false,
    security,
    ulimits: [],
  },
  rootfs: '/r',
  namespaces: { pid: 'own', network: { path: '/n' }, ipc: { path: '/i' }, uts: { path: '/u' }, cgroup: 'host' },
  mounts: [],
  shm: { path: '/shm' },
  devices: [],
  deviceRules: [],
  resources: {},
  sysctls: {},
  annotations: {},
  cgroupsPath: '/c/x',
}

test('capabilities: defaults, additions, what is not there', () => {
  assert.equal(containerCapabilities(security, all).length, 14)
  assert.deepEqual(containerCapabilities({ ...security, capDrop: ['ALL'], capAdd: ['net_admin', 'CAP_CHOWN'] }, all), [
    'CAP_CHOWN',
    'CAP_NET_ADMIN',
  ])
  assert.equal(
    containerCapabilities({ ...security, capAdd: ['ALL'], capDrop: ['SYS_ADMIN'] }, all).length,
    allCapabilities.length - 1,
  )
  const lacking = new Set([...all].filter((name) => name !== 'CAP_SYS_RESOURCE'))
  assert.ok(!containerCapabilities({ ...security, privileged: true }, lacking).includes('CAP_SYS_RESOURCE'))
  assert.throws(
    () => containerCapabilities({ ...security, capAdd: ['SYS_RESOURCE'] }, lacking),
    (error) => isError(error, 'invalid'),
  )
  assert.throws(() => containerCapabilities({ ...security, capAdd: ['FLY'] }, all), /unknown capability: "CAP_FLY"/)
  assert.deepEqual([...capabilitiesOf('00000000a80425fb')], containerCapabilities(security, all))
})

const rulesFor = (syscalls: OciSyscall[], name: string): OciSyscall[] =>
  syscalls.filter(({ names }) => names.includes(name))

test('seccomp: docker rules by capability and argument', () => {
  const plain = resolveProfile(defaultProfile, { capabilities: new Set(), arch: 'amd64', kernel: '6.1.0' })
  assert.deepEqual(plain.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'])
  assert.equal(rulesFor(plain.syscalls, 'mount').length, 0)
  assert.equal(rulesFor(plain.syscalls, 'arch_prctl').length, 1)
  assert.deepEqual(rulesFor(plain.syscalls, 'clone')[0]!.args, [
    { index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' },
  ])
  assert.deepEqual(
    rulesFor(plain.syscalls, 'clone3').map(({ action, errnoRet }) => [action, errnoRet]),
    [['SCMP_ACT_ERRNO', 38]],
  )
  const families = rulesFor(plain.syscalls, 'socket').map(({ args }) => `${args![0]!.op} ${args![0]!.value}`)
  assert.ok(families.includes('SCMP_CMP_LT 12') && families.includes('SCMP_CMP_EQ 16'))
  for (const blocked of [38, 40]) assert.ok(!families.includes(`SCMP_CMP_EQ ${blocked}`))
  const admin = resolveProfile(defaultProfile, {
    capabilities: new Set(['CAP_SYS_ADMIN']),
    arch: 'arm64',
    kernel: '6.1.0',
  })
  assert.equal(rulesFor(admin.syscalls, 'mount').length, 1)
  assert.equal(rulesFor(admin.syscalls, 'clone').length, 1)
  assert.equal(rulesFor(admin.syscalls, 'clone')[0]!.args, undefined)
  assert.equal(rulesFor(admin.syscalls, 'arch_prctl').length, 0)
  assert.equal(seccompFor('unconfined', { capabilities: new Set(), arch: 'amd64', kernel: '6' }), undefined)
  assert.throws(
    () => seccompFor('{', { capabilities: new Set(), arch: 'amd64', kernel: '6' }),
    (error) => isError(error, 'bad-request'),
  )
})

test('the configuration of an ordinary container', () => {
  const config = ociConfig(input, machine)
  assert.deepEqual(
    config.mounts.map(({ destination }) => destination),
    ['/proc', '/dev', '/dev/pts', '/sys', '/sys/fs/cgroup', '/dev/mqueue', '/dev/shm'],
  )
  assert.deepEqual(config.linux.namespaces, [
    { type: 'mount' },
    { type: 'pid' },
    { type: 'network', path: '/n' },
    { type: 'ipc', path: '/i' },
    { type: 'uts', path: '/u' },
  ])
  assert.ok(config.linux.maskedPaths.includes('/proc/kcore') && config.linux.maskedPaths.includes('/thermal'))
  assert.equal(config.linux.sysctl['net.ipv4.ip_unprivileged_port_start'], '0')
  assert.deepEqual(config.linux.resources.devices![0], { allow: false, access: 'rwm' })
})

test('what a container brings, and what the host shares', () => {
  const mounts = ['/a/b', '/dev/shm', '/a'].map((destination) => ({
    destination,
    type: 'bind',
    source: '/x',
    options: ['rbind', 'rslave'],
  }))
  const annotations = { 'run.oci.hooks': 'x', mine: 'y' }
  const host = ociConfig(
    { ...input, mounts, annotations, namespaces: { ...input.namespaces, network: 'host' } },
    machine,
  )
  assert.deepEqual(
    host.mounts.slice(-3).map(({ destination }) => destination),
    ['/a', '/a/b', '/dev/shm'],
  )
  assert.equal(host.mounts.filter(({ destination }) => destination === '/dev/shm').length, 1)
  assert.equal(host.linux.rootfsPropagation, 'rslave')
  assert.deepEqual([host.linux.sysctl, host.annotations], [{}, { mine: 'y' }])
  const privileged = ociConfig(
    { ...input, process: { ...input.process, security: { ...security, privileged: true } } },
    machine,
  )
  assert.deepEqual([privileged.linux.seccomp, privileged.linux.maskedPaths], [undefined, []])
  const user = ociConfig(
    { ...input, process: { ...input.process, user: { uid: 5, gid: 5, additionalGids: [] } } },
    machine,
  )
  assert.deepEqual([user.process.capabilities.effective, user.process.capabilities.bounding?.length], [undefined, 14])
})

test('rlimits: never more than our own', () => {
  const own = { ...machine.own, capabilities: new Set<string>() }
  assert.deepEqual(rlimits([{ name: 'core', soft: -1, hard: -1 }], own), [
    { type: 'RLIMIT_CORE', soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY },
  ])
  assert.throws(
    () => rlimits([{ name: 'nofile', soft: 1, hard: 20_001 }], own),
    (error) => isError(error, 'invalid') && /nofile=20000/.test(error.hint!),
  )
  assert.equal(rlimits([{ name: 'nofile', soft: 1, hard: 20_001 }], machine.own)[0]!.hard, 20_001)
  assert.throws(() => rlimits([{ name: 'nofile', soft: 9, hard: 1 }], own), /soft limit must be less/)
  assert.throws(() => rlimits([{ name: 'nope', soft: 1, hard: 1 }], own), /invalid ulimit type/)
  const config = ociConfig(
    { ...input, process: { ...input.process, ulimits: [{ name: 'core', soft: 0, hard: -1 }] } },
    machine,
  )
  assert.match(configText(config), /"hard":18446744073709551615/)
  const text =
    'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \nMax cpu time              unlimited            unlimited            seconds   \n'
  assert.deepEqual(parseLimits(text), { RLIMIT_NOFILE: 20_000, RLIMIT_CPU: Number.POSITIVE_INFINITY })
})

test('resources: only what was asked for', () => {
  assert.deepEqual(ociResources({}, { version: 1, swap: true }), {})
  assert.deepEqual(
    ociResources({ memory: 100, cpuShares: 0, pidsLimit: -1, memorySwappiness: 5 }, { version: 2, swap: true }),
    { memory: { limit: 100, swap: 200 } },
  )
  assert.deepEqual(
    ociResources({ memory: 100, memorySwappiness: 0, cpuQuota: 5, cpusetCpus: '0-1' }, { version: 1, swap: false }),
    {
      memory: { limit: 100, swappiness: 0 },
      cpu: { quota: 5, cpus: '0-1' },
    },
  )
})

test('devices', () => {
  assert.deepEqual(parseDeviceRule('c 1:* rw'), { allow: true, type: 'c', major: 1, access: 'rw' })
  assert.throws(
    () => parseDeviceRule('x'),
    (error) => isError(error, 'bad-request'),
  )
  assert.deepEqual([majorOf(0x103), minorOf(0x103), minorOf(0x10000a)], [1, 3, 0x10a])
})

test('users and groups, as docker resolves them', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:\n123:x:5:5::/odd:\n# comment\nbroken\n'
  const group = 'root:x:0:root\napp:x:1001:\nextra:x:7:other,app\n'
  assert.deepEqual(resolveUser('', [], passwd, group), {
    uid: 0,
    gid: 0,
    additionalGids: [0],
    home: '/root',
    name: 'root',
  })
  assert.deepEqual(resolveUser('app', ['extra', '99'], passwd, group).additionalGids, [1001, 7, 99])
  assert.deepEqual(resolveUser('app:extra', [], passwd, group).additionalGids, [7])
  assert.deepEqual(resolveUser('1000', [], passwd, group).gid, 1001)
  assert.deepEqual(resolveUser('123', [], passwd, group).uid, 5)
  assert.deepEqual(resolveUser('4242:4243', [], '', ''), {
    uid: 4242,
    gid: 4243,
    additionalGids: [4243],
    home: '/',
    name: '4242',
  })
  assert.throws(
    () => resolveUser('nobody', [], passwd, group),
    /unable to find user nobody: no matching entries in passwd file/,
  )
  assert.throws(() => resolveUser('app:no', [], passwd, group), /Unable to find group no/)
  assert.throws(() => resolveUser('4294967296', [], passwd, group), /must be in range/)
})

test('signals', () => {
  assert.deepEqual(['SIGTERM', 'term', '15', 'KILL', 'SIGRTMIN+3', 'RTMAX'].map(signalNumber), [15, 15, 15, 9, 37, 64])
  for (const wrong of ['nope', '0', '65', 'RTMIN+40'])
    assert.throws(
      () => signalNumber(wrong),
      (error) => isError(error, 'bad-request'),
    )
})
