/** The life of containers: create, start, stop, restart, kill, pause, rename, wait, update, logs, attach, health, rm. */
import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails } = docker
const looping = ['sh', '-c', 'trap "exit 3" TERM; echo out; echo err >&2; while :; do sleep 0.05; done']
const state = (name: string): Promise<string> => ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', name)

test('create, start, stop, restart, kill, rm', async () => {
  assert.match(await ok('create', '--name', 'aa', 'busybox', ...looping), /^[0-9a-f]{64}$/)
  assert.equal(await state('aa'), 'created 0')
  assert.equal(await ok('start', 'aa'), 'aa')
  assert.equal(await ok('start', 'aa'), 'aa')
  assert.match(
    await ok('ps', '--format', '{{.Names}}|{{.Command}}|{{.Status}}', '--no-trunc'),
    /^aa\|"sh -c 'trap .*'"\|Up /,
  )
  assert.match(await fails(1, 'rm', 'aa'), /cannot remove container "\/aa": container is running/)
  assert.equal(await ok('stop', 'aa'), 'aa')
  assert.equal(await state('aa'), 'exited 3')
  assert.equal(await ok('stop', 'aa'), 'aa')
  await ok('restart', '-t', '1', 'aa')
  assert.equal(await state('aa'), 'running 0')
  await ok('kill', '-s', 'TERM', 'aa')
  await until('the signal to end it', async () => (await state('aa')) !== 'running 0')
  assert.match(await fails(1, 'kill', 'aa'), /container [0-9a-f]{64} is not running/)
  assert.match(await fails(1, 'kill', '-s', 'NOPE', 'aa'), /invalid signal: NOPE/i)
  await ok('rm', 'aa')
  assert.match(await fails(1, 'rm', 'aa'), /No such container: aa/)
  assert.equal((await docker.run(['rm', '-f', 'a'])).code, 0)
})

test('stop waits as long as it should, then kills', async () => {
  await ok('run', '-d', '--name', 'deaf', 'busybox', 'sh', '-c', 'trap "" TERM; sleep 100')
  const { took } = await docker.run(['stop', '-t', '1', 'deaf'])
  assert.ok(took > 900, `${took}`)
  assert.equal(await state('deaf'), 'exited 137')
  await ok('rm', 'deaf')
  await ok(
    'run',
    '-d',
    '--name',
    'usr1',
    '--stop-signal',
    'USR1',
    'busybox',
    'sh',
    '-c',
    'trap "exit 11" USR1; while :; do sleep 0.05; done',
  )
  await ok('stop', 'usr1')
  assert.equal(await state('usr1'), 'exited 11')
  await ok('rm', 'usr1')
})

test('pause and unpause', async () => {
  await ok('run', '-d', '--name', 'pp', 'busybox', ...looping)
  await ok('pause', 'pp')
  assert.match(await ok('ps', '--format', '{{.Status}}'), /\(Paused\)$/)
  assert.match(await fails(1, 'exec', 'pp', 'ls'), /Container pp is paused, unpause the container before exec/)
  assert.match(await fails(1, 'pause', 'pp'), /is already paused/)
  await ok('unpause', 'pp')
  assert.match(await fails(1, 'unpause', 'pp'), /is not paused/)
  await ok('rm', '-f', 'pp')
})

test('wait: the exit code, also of several, and it comes before the container is started', async () => {
  await ok('create', '--name', 'ww', 'busybox', 'sh', '-c', 'sleep 0.3; exit 7')
  const waiting = docker.api('POST', '/v1.50/containers/ww/wait?condition=next-exit')
  await ok('start', 'ww')
  assert.equal(JSON.parse((await waiting).body).StatusCode, 7)
  assert.equal(await ok('wait', 'ww', 'ww'), '7\n7')
  await ok('rm', 'ww')
  assert.match(await fails(1, 'wait', 'ww'), /No such container: ww/)
})

test('names: taken, renamed, by prefix of the id', async () => {
  const id = await ok('create', '--name', 'n1', 'busybox', 'true')
  assert.match(
    await fails(1, 'create', '--name', 'n1', 'busybox', 'true'),
    /Conflict. The container name "\/n1" is already in use by container/,
  )
  await ok('rename', 'n1', 'n2')
  assert.match(await fails(1, 'rename', 'n2', 'n2'), /Renaming a container with the same name as its current name/)
  assert.equal(await ok('inspect', '-f', '{{.Name}}', id.slice(0, 8)), '/n2')
  await ok('rm', 'n2')
})

test('ps: filters, formats, sizes', async () => {
  await ok('run', '-d', '--name', 'f1', '--label', 'tier=web', 'busybox', 'sleep', '100')
  await ok('run', '--name', 'f2', '--label', 'tier=db', 'busybox', 'true')
  const names = async (...filters: string[]): Promise<string> =>
    (await ok('ps', '-a', '--format', '{{.Names}}', ...filters.flatMap((f) => ['--filter', f])))
      .split('\n')
      .sort()
      .join(' ')
  assert.equal(await names(), 'f1 f2')
  assert.equal(await names('label=tier=web'), 'f1')
  assert.equal(await names('label=tier'), 'f1 f2')
  assert.equal(await names('status=exited'), 'f2')
  assert.equal(await names('exited=0'), 'f2')
  assert.equal(await names('name=^f1$'), 'f1')
  assert.equal(await names('ancestor=busybox'), 'f1 f2')
  assert.equal(await names('network=bridge', 'status=running'), 'f1')
  assert.equal(await names('since=f1'), 'f2')
  assert.match(await fails(1, 'ps', '--filter', 'status=bogus'), /invalid filter 'status=bogus'/)
  assert.match(await fails(1, 'ps', '--filter', 'bogus=1'), /invalid filter 'bogus'/)
  assert.equal(await ok('ps', '-n', '1', '--format', '{{.Names}}'), 'f2')
  assert.match(await ok('ps', '-s', '--format', '{{.Size}}'), /\(virtual .*MB\)/)
  await ok('rm', '-f', 'f1', 'f2')
})

test('logs: streams, tail, since, timestamps, following to the end', async () => {
  await ok(
    'run',
    '-d',
    '--name',
    'll',
    'busybox',
    'sh',
    '-c',
    'for i in 1 2 3 4; do echo $i; sleep 0.1; done; echo err >&2',
  )
  const followed = await docker.run(['logs', '-f', 'll'])
  assert.deepEqual([followed.stdout, followed.stderr], ['1\n2\n3\n4\n', 'err\n'])
  assert.equal((await docker.run(['logs', '--tail', '2', 'll'])).stdout, '4\n')
  assert.equal(await ok('logs', '--since', '1h', 'll'), '1\n2\n3\n4')
  assert.equal(await ok('logs', '--until', '1h', 'll'), '')
  assert.match(await ok('logs', '-t', 'll'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 1\n/)
  assert.match(await fails(1, 'logs', 'nosuch'), /No such container: nosuch/)
  await ok('rm', 'll')
})

test('attach joins the streams of a running container, start -a those of one to come', async () => {
  await ok('run', '-di', '--name', 'at', 'busybox', 'sh', '-c', 'read x; echo got $x; exit 6')
  const attached = await docker.run(['attach', 'at'], { input: 'word\n' })
  assert.deepEqual([attached.stdout, attached.code], ['got word\n', 6])
  const again = await docker.run(['start', '-ai', 'at'], { input: 'again\n' })
  assert.deepEqual([again.stdout, again.code], ['got again\n', 6])
  await ok('rm', 'at')
})

test('restart policies and health', async () => {
  await ok('run', '-d', '--name', 'rr', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'exit 3')
  await until(
    'two restarts',
    async () => (await ok('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'rr')) === '2 exited',
  )
  await ok(
    'run',
    '-d',
    '--name',
    'hh',
    '--health-cmd',
    'test -f /ok',
    '--health-interval',
    '100ms',
    '--health-retries',
    '1',
    'busybox',
    'sleep',
    '100',
  )
  await until('it to be unhealthy', async () => (await ok('ps', '--format', '{{.Status}}')).endsWith('(unhealthy)'))
  await ok('exec', 'hh', 'touch', '/ok')
  await until(
    'it to be healthy',
    async () => (await ok('inspect', '-f', '{{.State.Health.Status}}', 'hh')) === 'healthy',
  )
  await ok('rm', '-f', 'rr', 'hh')
  assert.match(
    await fails(125, 'run', '--restart', 'bogus', 'busybox', 'true'),
    /invalid restart policy: unknown policy 'bogus'/,
  )
})

test('update, top, stats, inspect', async () => {
  await ok(
    'run',
    '-d',
    '--name',
    'uu',
    '--memory',
    '64m',
    '--cpus',
    '0.5',
    '-v',
    'data:/d:ro',
    'busybox',
    'sleep',
    '1000',
  )
  assert.match(await fails(1, 'update', '--memory', '256m', 'uu'), /smaller than already set memoryswap limit/)
  assert.match(await fails(1, 'update', '--cpu-quota', '80000', 'uu'), /CPU Quota cannot be updated as NanoCPUs has/)
  await ok('update', '--cpus', '0.8', 'uu')
  assert.equal(await ok('inspect', '-f', '{{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}}', 'uu'), '800000000 0')
  await ok('update', '--memory', '32m', '--memory-swap', '64m', '--restart', 'always', 'uu')
  assert.equal(
    await ok(
      'inspect',
      '-f',
      '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.RestartPolicy.Name}}',
      'uu',
    ),
    `${32 << 20} ${64 << 20} always`,
  )
  assert.match(await ok('top', 'uu'), /^UID +PID +PPID[^\n]*\nroot .*sleep 1000$/)
  assert.match(await ok('top', 'uu', '-o', 'pid,comm'), /^PID +COMMAND\n\d+ +sleep$/)
  assert.match(
    await ok('stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}} {{.MemUsage}}', 'uu'),
    /^uu 1 .* \/ 32MiB$/,
  )
  const [seen] = JSON.parse(await ok('inspect', 'uu'))
  await ok('update', '--pids-limit', '30', 'uu')
  await ok('update', '--pids-limit', '-1', 'uu')
  assert.equal(await ok('inspect', '-f', '{{.HostConfig.PidsLimit}}', 'uu'), '0')
  assert.equal(
    await ok('exec', 'uu', 'sh', '-c', 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max || true'),
    'max',
  )
  assert.equal(seen.Config.Image, 'busybox')
  assert.equal(seen.HostConfig.NanoCpus, 800_000_000)
  assert.equal(seen.HostConfig.ShmSize, 64 << 20)
  assert.equal(seen.Mounts[0].Mode, 'ro')
  assert.equal(seen.Mounts[0].RW, false)
  assert.ok(seen.NetworkSettings.IPAddress)
  await ok('rm', '-f', 'uu')
  const part = (subpath: string): string[] => ['--mount', `type=volume,src=data,dst=/d,volume-subpath=${subpath}`]
  await ok(
    'run',
    '--rm',
    '-v',
    'data:/d',
    'busybox',
    'sh',
    '-c',
    'mkdir /d/in; ln -s / /d/out; ln -s in /d/to; echo x >/d/in/f',
  )
  assert.equal(await ok('run', '--rm', ...part('to'), 'busybox', 'cat', '/d/f'), 'x')
  assert.match(await fails(125, 'run', '--rm', ...part('out'), 'busybox', 'true'), /escapes the base directory/)
  assert.match(await fails(127, 'run', '--rm', ...part('nosuch'), 'busybox', 'true'), /cannot access path/)
  assert.match(await fails(125, 'run', '--rm', ...part('../x'), 'busybox', 'true'), /must be a relative path within/)
  await ok('volume', 'rm', 'data')
  assert.match(await fails(1, 'inspect', 'uu'), /No such object: uu/i)
})

test('out of memory is on record', async () => {
  const eat = 'x=$(yes | head -c 90000000 | tr "\\n" a); echo ${#x}'
  await ok('run', '-d', '--name', 'oom', '--memory', '16m', '--memory-swap', '16m', 'busybox', 'sh', '-c', eat)
  assert.equal(await ok('wait', 'oom'), '137')
  assert.equal(await ok('inspect', '-f', '{{.State.OOMKilled}}', 'oom'), 'true')
  await ok('rm', 'oom')
})
