/** docker run: exit codes, error texts, streams, and what the program finds inside. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { after, test } from 'node:test'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
const runs = (...args: string[]): Promise<string> => docker.ok('run', '--rm', ...args)
const inside = (...args: string[]): Promise<string> => runs('busybox', ...args)
const refused = (code: number, ...args: string[]): Promise<string> => docker.fails(code, 'run', '--rm', ...args)

test('the exit code is that of the program; 126, 127 and 125 when there is none', async () => {
  assert.equal(await inside('echo', 'hi'), 'hi')
  assert.equal((await docker.run(['run', '--rm', 'busybox', 'sh', '-c', 'exit 42'])).code, 42)
  assert.equal((await docker.run(['run', '--rm', '--init', 'busybox', 'sh', '-c', 'kill -9 $$'])).code, 137)
  assert.match(await refused(127, 'busybox', 'nosuch'), /exec: "nosuch": executable file not found in \$PATH/)
  assert.match(
    await refused(127, 'busybox', '/no/such'),
    /exec: "\/no\/such": stat \/no\/such: no such file or directory/,
  )
  assert.match(await refused(126, 'busybox', '/etc'), /exec: "\/etc": is a directory/)
  assert.match(await refused(126, 'busybox', '/etc/passwd'), /exec: "\/etc\/passwd": permission denied/)
  assert.match(await refused(125, 'busybox'), /no command specified/i)
  assert.deepEqual(await docker.ok('ps', '-aq'), '')
})

test('what cannot be is refused before anything is made', async () => {
  const cases: [RegExp, ...string[]][] = [
    [/unable to find user nobodyx: no matching entries in passwd file/, '-u', 'nobodyx', 'busybox', 'id'],
    [/Invalid container name \(bad\/name\)/, '--name', 'bad/name', 'busybox', 'id'],
    [/network nosuch not found/, '--network', 'nosuch', 'busybox', 'id'],
    [/No such container: nosuch/, '--network', 'container:nosuch', 'busybox', 'id'],
    [/No such container: nosuch/, '--volumes-from', 'nosuch', 'busybox', 'id'],
    [/"rel\/path" includes invalid characters for a local volume name/, '-v', 'rel/path:/x', 'busybox', 'id'],
    [/invalid mount path: 'rel' mount path must be absolute/, '-v', '/x:rel', 'busybox', 'id'],
    [/invalid mode: bogus/, '-v', '/tmp:/x:bogus', 'busybox', 'id'],
    [/bind source path does not exist: \/nosuchdir/, '--mount', 'type=bind,src=/nosuchdir,dst=/x', 'busybox', 'id'],
    [/Minimum memory limit allowed is 6MB/, '--memory', '1m', 'busybox', 'id'],
    [/range of CPUs is from 0.01 to/, '--cpus', '4096', 'busybox', 'id'],
    [/Requested CPUs are not available - requested 4095/, '--cpuset-cpus', '4095', 'busybox', 'id'],
    [/BOGUS/, '--cap-add', 'BOGUS', 'busybox', 'id'],
    [/plugin "bogus" not found/, '--log-driver', 'bogus', 'busybox', 'id'],
    [/unknown or invalid runtime name: bogus/, '--runtime', 'bogus', 'busybox', 'id'],
    [/not a directory/, '-w', '/etc/passwd', 'busybox', 'pwd'],
    [/Invalid isolation: "hyperv"/, '--isolation', 'hyperv', 'busybox', 'id'],
    [/Interval in Healthcheck cannot be less than 1ms/, '--health-interval', '1us', 'busybox', 'id'],
    [/invalid IPC mode: bogus/, '--ipc', 'bogus', 'busybox', 'id'],
    [/No such container: nosuch/, '--pid', 'container:nosuch', 'busybox', 'id'],
  ]
  for (const [message, ...args] of cases) {
    const said = await refused(125, ...args)
    assert.match(said, message)
    assert.doesNotMatch(said, /Unable to find image/, args.join(' '))
  }
  assert.equal(await docker.ok('ps', '-aq'), '')
})

test('an image that is not here for the platform is pulled', async () => {
  assert.match(
    await refused(125, '--pull', 'never', '--platform', 'linux/s390x', 'busybox', 'id'),
    /specified platform \(linux\/s390x\)/,
  )
})

test('standard streams: apart, complete, and stdin to its end', async () => {
  const both = await docker.run(['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2'])
  assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n'])
  const onlyOut = await docker.run(['run', '--rm', '-a', 'stdout', 'busybox', 'sh', '-c', 'echo out; echo err >&2'])
  assert.deepEqual([onlyOut.stdout, onlyOut.stderr], ['out\n', ''])
  const input = Buffer.alloc(3_000_000, 'x')
  const echoed = await docker.run(['run', '--rm', '-i', 'busybox', 'cat'], { input })
  assert.equal(echoed.stdout.length, input.length)
  assert.equal(
    (await docker.run(['run', '--rm', '-i', 'busybox', 'sh', '-c', 'cat; echo end'], { input: 'a\n' })).stdout,
    'a\nend\n',
  )
  assert.equal((await docker.run(['run', '--rm', 'busybox', 'cat'], { input: 'not asked for' })).stdout, '')
})

test('users, environment, directories, host name', async () => {
  assert.equal(await runs('-u', 'app', 'busybox', 'id'), 'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)')
  assert.match(await runs('-u', '7:8', '--group-add', '9', 'busybox', 'id'), /^uid=7 gid=8 groups=8,9$/)
  assert.equal(await runs('-w', '/made/here', 'busybox', 'pwd'), '/made/here')
  const env = await runs('-e', 'A=b', '--hostname', 'box', 'busybox', 'env')
  for (const line of ['A=b', 'HOSTNAME=box', 'HOME=/root']) assert.ok(env.split('\n').includes(line), env)
  const id = await docker.ok('run', '-d', 'busybox', 'hostname')
  await docker.ok('wait', id)
  assert.equal(await docker.ok('logs', id), id.slice(0, 12))
  await docker.ok('rm', id)
  assert.equal(await inside('test', '-f', '/.dockerenv'), '')
  assert.equal(await runs('--domainname', 'in.example', 'busybox', 'cat', '/proc/sys/kernel/domainname'), 'in.example')
  assert.equal(
    await runs('--network', 'host', 'busybox', 'cat', '/proc/sys/kernel/hostname'),
    (await import('node:os')).hostname(),
  )
})

test('limits and security options reach the program', async () => {
  assert.equal(await runs('--ulimit', 'nofile=100:200', 'busybox', 'sh', '-c', 'ulimit -n; ulimit -Hn'), '100\n200')
  assert.match(await runs('--cap-drop', 'ALL', 'busybox', 'grep', 'CapEff', '/proc/self/status'), /0000000000000000$/)
  assert.match(await inside('grep', 'CapEff', '/proc/self/status'), /00000000a80425fb$/)
  assert.match(
    await runs('--security-opt', 'no-new-privileges', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status'),
    /1$/,
  )
  assert.match(await inside('grep', 'Seccomp:', '/proc/self/status'), /2$/)
  assert.equal((await docker.run(['run', '--rm', '--read-only', 'busybox', 'touch', '/x'])).code, 1)
  assert.match(await runs('--tmpfs', '/t:size=1m', 'busybox', 'sh', '-c', 'mount | grep " /t "'), /size=1024k/)
  assert.match(await inside('sh', '-c', 'mount | grep " /dev/shm "'), /nosuid,nodev,noexec.*size=65536k/)
  assert.match(await runs('--init', 'busybox', 'ps'), /1 root +\/sbin\/docker-init -- ps/)
  assert.equal(await runs('--sysctl', 'net.ipv4.ip_forward=0', 'busybox', 'cat', '/proc/sys/net/ipv4/ip_forward'), '0')
})

test("the machine's null device stays the machine's", async () => {
  const before = statSync('/dev/null')
  await runs('-u', '4321', 'busybox', 'true')
  const id = await docker.ok('run', '-d', '-u', '4321', 'busybox', 'sleep', '100')
  await docker.ok('exec', id, 'true')
  await docker.ok('exec', '-d', id, 'true')
  await docker.ok('exec', '-i', id, 'true')
  await docker.ok('rm', '-f', id)
  const now = statSync('/dev/null')
  assert.deepEqual([now.uid, now.gid, now.mode, now.rdev], [before.uid, before.gid, before.mode, before.rdev])
})

test('a detached container says its id at once, --cidfile too, and --rm removes it', async () => {
  const ran = await docker.run(['run', '-d', '--rm', '--cidfile', `${docker.dir}/cid`, 'busybox', 'sleep', '0.3'])
  assert.match(ran.stdout, /^[0-9a-f]{64}\n$/)
  await docker.run(['wait', ran.stdout.trim()])
  await new Promise((go) => setTimeout(go, 300))
  assert.equal(await docker.ok('ps', '-aq'), '')
})
