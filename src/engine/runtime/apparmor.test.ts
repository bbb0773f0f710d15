import assert from 'node:assert/strict'
import { test } from 'node:test'
import { profileOf, profileText } from './apparmor.ts'

const bare = profileText({ daemon: 'unconfined', has: () => false })

/** A glob of apparmor.d(5) as an expression: `*` stays within a directory, `**` does not, `{a,b}` chooses. */
const expression = (glob: string): RegExp =>
  new RegExp(
    `^${glob
      .replace('@{PROC}', '/proc')
      .replaceAll('.', '\\.')
      .replaceAll('**', '\0')
      .replaceAll('*', '[^/]*')
      .replaceAll('\0', '.+')
      .replaceAll('{', '(')
      .replaceAll('}', ')')
      .replaceAll(',', '|')}$`,
  )
const denied = (path: string, access: 'r' | 'w'): boolean =>
  [...bare.matchAll(/^ {2}deny ([/@]\S*) (\w+),$/gm)].some(
    ([, glob, what]) => what!.includes(access) && expression(glob!).test(path),
  )

test('the default profile: what may be written', () => {
  const open = [
    '/proc/1/oom_score_adj',
    '/proc/4711/task/4712/comm',
    '/proc/sys/kernel/shmmax',
    '/proc/sys/kernel/sem',
    '/sys/fs/cgroup/x/cgroup.procs',
    '/etc/hosts',
    '/system/file',
    '/process',
  ]
  const closed = [
    '/proc/sysrq-trigger',
    '/proc/kcore',
    '/proc/mtrr',
    '/proc/sys/vm/drop_caches',
    '/proc/sys/net/ipv4/ip_forward',
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/kernel/modprobe',
    '/proc/sys/kernel/sysrq',
    '/proc/sys/kernel/yama/ptrace_scope',
    '/proc/sysvipc/shm',
    '/proc/scsi/scsi',
    '/proc/self/x',
    '/proc/irq/1/smp_affinity',
    '/sys/kernel/uevent_helper',
    '/sys/fs/bpf/x',
    '/sys/fs/ext4/vda/trigger_fs_error',
    '/sys/fs/cgx/y',
    '/sys/power/state',
    '/sys/firmware/efi/efivars/x',
  ]
  assert.deepEqual(
    open.filter((path) => denied(path, 'w')),
    [],
  )
  assert.deepEqual(
    closed.filter((path) => !denied(path, 'w')),
    [],
  )
})

test('the default profile: what is not even read', () => {
  const hidden = ['/proc/kcore', '/proc/sysrq-trigger', '/sys/firmware/acpi/tables/DSDT', '/sys/kernel/security/lsm']
  const seen = ['/proc/meminfo', '/proc/sys/kernel/hostname', '/sys/class/net/lo/address', '/sys/kernel/mm/ksm/run']
  assert.deepEqual(
    [...hidden, ...seen].filter((path) => denied(path, 'r')),
    hidden,
  )
})

test('the default profile: rules besides paths, and what it builds on', () => {
  assert.match(bare, /^@\{PROC\}=\/proc\/\nprofile docker-default flags=\(attach_disconnected, mediate_deleted\) \{$/m)
  assert.match(bare, /^ {2}deny mount,$/m)
  assert.deepEqual(bare.match(/signal \(receive\) peer=\S+/g), [
    'signal (receive) peer=unconfined,',
    'signal (receive) peer=runc,',
    'signal (receive) peer=crun,',
  ])
  const full = profileText({ daemon: 'mine', has: () => true })
  assert.match(full, /^abi <abi\/3\.0>,\ninclude <tunables\/global>\nprofile/)
  assert.match(full, /\{\n {2}include <abstractions\/base>\n/)
  assert.match(full, /^ {2}signal \(receive\) peer=mine,$/m)
})

test('which profile a container has', () => {
  const on = { apparmor: true, defaultApparmor: true }
  assert.equal(profileOf({ privileged: false }, on), 'docker-default')
  assert.equal(profileOf({ privileged: true }, on), 'unconfined')
  assert.equal(profileOf({ privileged: true, apparmor: 'mine' }, on), 'mine')
  assert.equal(profileOf({ privileged: false, apparmor: 'unconfined' }, on), 'unconfined')
  // Without the parser nothing can be loaded, but what is loaded can be applied.
  assert.equal(profileOf({ privileged: false }, { ...on, defaultApparmor: false }), 'unconfined')
  assert.equal(profileOf({ privileged: false, apparmor: 'mine' }, { ...on, defaultApparmor: false }), 'mine')
  assert.equal(profileOf({ privileged: false }, { apparmor: false, defaultApparmor: false }), '')
})
