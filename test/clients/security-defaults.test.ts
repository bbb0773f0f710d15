/** What a container is given and denied when nobody says anything: the table dockerd has. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
const first = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8')[0]! : '')
const enforced = first('/sys/module/apparmor/parameters/enabled') === 'Y'
/** Has this machine what dockerd needs to confine containers? */
const confines = enforced && existsSync('/sys/kernel/security/apparmor') && existsSync('/sbin/apparmor_parser')
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, run, fails } = docker
const inside = (...script: string[]): Promise<string> => ok('run', '--rm', 'busybox', 'sh', '-c', script.join('\n'))
const status = (pattern: string): string[] => ['grep', '-E', `^(${pattern})`, '/proc/self/status']

before(async () => {
  // More of busybox's programs than the tests' image has, and a root directory that only root may enter.
  const root = join(docker.dir, 'tools')
  mkdirSync(join(root, 'bin'), { recursive: true })
  execFileSync('cp', ['/bin/busybox', join(root, 'bin/')])
  for (const name of ['sh', 'cat', 'id', 'mknod', 'dd', 'ls', 'stat', 'unshare', 'chroot', 'mount', 'ping', 'sysctl'])
    symlinkSync('busybox', join(root, 'bin', name))
  execFileSync('chmod', ['700', root])
  const tar = join(docker.dir, 'tools.tar')
  execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tar, '.'])
  await ok('import', tar, 'tools')
})

test('capabilities, seccomp, groups: of root, of others, with exec', async () => {
  const none = '0000000000000000'
  const all = '00000000a80425fb'
  const wanted = (effective: string): string =>
    `CapInh:\t${none}\nCapPrm:\t${effective}\nCapEff:\t${effective}\nCapBnd:\t${all}\nCapAmb:\t${none}\nNoNewPrivs:\t0\nSeccomp:\t2`
  const pattern = 'Cap|NoNewPrivs|Seccomp:'
  await ok('run', '-d', '--name', 'runs', 'busybox', 'sleep', '1000')
  assert.equal(await ok('run', '--rm', 'busybox', ...status(pattern)), wanted(all))
  assert.equal(await ok('exec', 'runs', ...status(pattern)), wanted(all))
  assert.equal(await ok('run', '--rm', '-u', 'app', 'busybox', ...status(pattern)), wanted(none))
  assert.equal(await ok('exec', '-u', 'app', 'runs', ...status(pattern)), wanted(none))
  assert.equal(
    await ok('run', '--rm', '-u', 'app', 'busybox', 'id'),
    'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)',
  )
  assert.equal(await ok('exec', '-u', 'app', 'runs', 'id'), 'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)')
  assert.equal(await ok('exec', '-u', '1000:7', 'runs', ...status('Groups')), 'Groups:\t7 ')
  assert.match(await ok('run', '--rm', '--security-opt', 'no-new-privileges', 'busybox', ...status('NoNewPrivs')), /1$/)
  assert.match(
    await ok('exec', '--privileged', 'runs', ...status('CapEff')),
    /CapEff:\t0000003f|CapEff:\t000001ff|CapEff:\t00000[01][0-9a-f]{10}/,
  )
})

test('mounts: what there is, and how', async () => {
  const rows = (await inside('cat /proc/self/mountinfo')).split('\n').map((line) => line.split(' '))
  const flags = new Map(rows.map((row) => [row[4]!, row[5]!]))
  const wanted: Record<string, string> = {
    '/proc': 'rw,nosuid,nodev,noexec,relatime',
    '/dev': 'rw,nosuid',
    '/dev/pts': 'rw,nosuid,noexec,relatime',
    '/sys': 'ro,nosuid,nodev,noexec,relatime',
    '/dev/mqueue': 'rw,nosuid,nodev,noexec,relatime',
    '/dev/shm': 'rw,nosuid,nodev,noexec,relatime',
  }
  for (const [path, options] of Object.entries(wanted)) assert.equal(flags.get(path), options, path)
  for (const path of ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys']) assert.match(flags.get(path)!, /^ro,/, path)
  for (const [path, options] of flags)
    if (path.startsWith('/sys/fs/cgroup/')) assert.match(options, /^ro,nosuid,nodev,noexec/, path)
  // Nothing of the host's mounts came along.
  for (const row of rows)
    assert.ok(
      !row[3]!.includes('docker.sock') && row[4]!.match(/^\/($|proc|dev|sys|etc\/(hosts|resolv.conf|hostname)$)/),
      row.join(' '),
    )
})

test('hidden and read-only paths', async () => {
  const hidden = [
    'acpi',
    'asound',
    'interrupts',
    'kcore',
    'keys',
    'latency_stats',
    'sched_debug',
    'scsi',
    'timer_list',
    'timer_stats',
  ].map((name) => `/proc/${name}`)
  const paths = [...hidden, '/sys/firmware', '/sys/devices/virtual/powercap'].filter((path) => existsSync(path))
  assert.ok(paths.length > 2)
  assert.equal(await inside(...paths.map((path) => `if [ -d ${path} ]; then ls ${path}; else cat ${path}; fi`)), '')
  const writes = [
    '/proc/sys/kernel/hostname',
    '/proc/sysrq-trigger',
    '/proc/irq/default_smp_affinity',
    '/sys/kernel/mm/ksm/run',
  ]
  assert.equal(await inside(...writes.map((path) => `(echo 1 > ${path}) 2>/dev/null && echo ${path}`), 'true'), '')
  assert.equal(
    await inside(
      'umount /proc/sys || mount -o remount,rw /proc/sys || mount -t proc proc /mnt || echo refused',
      'true',
    ),
    'refused',
  )
})

test('devices: which there are, and that no other can be used', async () => {
  const names = (await inside('ls /dev')).split('\n')
  assert.deepEqual(
    names.filter((name) => name !== 'core'),
    [
      'fd',
      'full',
      'mqueue',
      'null',
      'ptmx',
      'pts',
      'random',
      'shm',
      'stderr',
      'stdin',
      'stdout',
      'tty',
      'urandom',
      'zero',
    ],
  )
  const disk = readdirSync('/sys/block').find((name) => /^(vd|sd|nvme|xvd|loop)/.test(name))!
  const number = execFileSync('cat', [`/sys/block/${disk}/dev`], { encoding: 'utf8' })
    .trim()
    .replace(':', ' ')
  const { stdout, stderr } = await run([
    'run',
    '--rm',
    'tools',
    'sh',
    '-c',
    `mknod /d b ${number} && echo made; dd if=/d of=/dev/null count=1; mknod /k c 1 11; cat /k`,
  ])
  assert.equal(stdout, 'made\n')
  assert.match(stderr, /'\/d': Operation not permitted[\s\S]*\/k'?: Operation not permitted/)
})

test('sysctls, limits, the mask of new files, the root directory', async () => {
  assert.equal(
    await inside('cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start'),
    '0\t2147483647\n0',
  )
  assert.equal(await inside('umask; cat /proc/self/oom_score_adj'), '0022\n0')
  // An archive of a private directory does not make an image that only root can use.
  assert.equal(await ok('run', '--rm', '-u', '1000', 'tools', 'stat', '-c', '%a', '/'), '755')
})

test('what seccomp and the lack of capabilities refuse', async () => {
  const tries = [
    'unshare -m true',
    'unshare -n true',
    'mount -t tmpfs none /mnt',
    'sysctl -w kernel.hostname=x',
    'chroot / unshare -U true',
  ]
  const { stdout } = await run([
    'run',
    '--rm',
    'tools',
    'sh',
    '-c',
    tries.map((each) => `${each} 2>/dev/null && echo did ${each}`).join('; '),
  ])
  assert.equal(stdout, '')
})

test('options that cannot be honoured are refused', async () => {
  assert.match(
    await fails(125, 'run', '--rm', '--security-opt', 'apparmor=mine', 'busybox', 'true'),
    enforced
      ? /apparmor profile "mine" cannot be applied: it is not loaded/
      : /apparmor profile "mine" cannot be applied: AppArmor is not enabled/,
  )
  assert.match(
    await fails(125, 'run', '--rm', '--security-opt', 'label=type:mine_t', 'busybox', 'true'),
    /SELinux labels are not supported/,
  )
  assert.match(await fails(125, 'run', '--rm', '--userns', 'remapped', 'busybox', 'true'), /user|userns/)
  await ok(
    'run',
    '--rm',
    '--security-opt',
    'apparmor=unconfined',
    '--security-opt',
    'label=disable',
    '--userns',
    'host',
    'busybox',
    'true',
  )
  const options = [
    ...(confines ? ['name=apparmor'] : []),
    'name=seccomp,profile=builtin',
    ...(existsSync('/sys/fs/cgroup/cgroup.controllers') ? ['name=cgroupns'] : []),
  ]
  assert.deepEqual(JSON.parse(await ok('info', '--format', '{{json .SecurityOptions}}')), options)
})

test('AppArmor: who is confined, by what, and from what', async () => {
  const profile = ['sh', '-c', 'cat /proc/self/attr/current 2>/dev/null || echo none']
  // Another security module, or none, answers in its own way.
  const usual = confines ? 'docker-default (enforce)' : await ok('run', '--rm', '--privileged', 'busybox', ...profile)
  assert.doesNotMatch(confines ? '' : usual, /docker-default/)
  assert.equal(await ok('run', '--rm', 'busybox', ...profile), usual)
  for (const free of [['--privileged'], ['--security-opt', 'apparmor=unconfined']])
    assert.doesNotMatch(await ok('run', '--rm', ...free, 'busybox', ...profile), /docker-default/)

  await ok('run', '-d', '--name', 'held', '--cap-add', 'SYS_ADMIN', 'busybox', 'sleep', '1000')
  const named = async (name: string): Promise<string> => await ok('inspect', '-f', '{{.AppArmorProfile}}', name)
  assert.equal(await named('held'), confines ? 'docker-default' : enforced ? 'unconfined' : '')
  assert.equal(await ok('exec', 'held', ...profile), usual)
  assert.equal(await ok('exec', '--privileged', 'held', ...profile), usual)
  // Capabilities and seccomp allow it; the profile does not.
  const mounts = await run(['exec', 'held', 'mount', '-t', 'tmpfs', 'none', '/tmp'])
  assert.equal(mounts.code === 0, !confines, mounts.stderr)
  await ok('run', '-d', '--name', 'bare', '--security-opt', 'systempaths=unconfined', 'busybox', 'sleep', '1000')
  const opens = await run([
    'exec',
    'bare',
    'sh',
    '-c',
    ': >>/proc/sys/kernel/domainname && : >>/proc/sys/vm/drop_caches',
  ])
  assert.equal(opens.code === 0, !confines, opens.stderr)

  // What is inside sees and signals its like, and we reach it.
  assert.match(await ok('exec', 'held', 'ps'), /sleep 1000/)
  assert.equal(await ok('exec', 'held', 'sh', '-c', 'sleep 1000 & kill $!; wait $!; echo $?'), '143')
  await ok('run', '-d', '--name', 'other', '--pid', 'container:held', 'busybox', 'sleep', '2000')
  await ok('exec', 'other', 'sh', '-c', 'kill -0 $(ps | grep "[s]leep 1000" | { read pid rest; echo $pid; })')
  await ok('kill', '-s', 'KILL', 'held')
  assert.equal(await ok('wait', 'held'), '137')

  const context = join(docker.dir, 'step')
  mkdirSync(context)
  writeFileSync(join(context, 'Dockerfile'), `FROM busybox\nRUN (${profile[2]}) >/profile\n`)
  await ok('build', '-q', '-t', 'step', context)
  assert.equal(await ok('run', '--rm', 'step', 'cat', '/profile'), usual)
})
