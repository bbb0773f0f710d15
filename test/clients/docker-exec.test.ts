/** docker exec, and everything at a terminal. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
const { ok, fails } = docker
before(async () => void (await ok('run', '-d', '--name', 'cc', '-e', 'FROM=run', 'busybox', 'sleep', '1000')))

test('exit codes, streams, environment, users, directories', async () => {
  assert.equal(await ok('exec', 'cc', 'echo', 'hi'), 'hi')
  assert.equal((await docker.run(['exec', 'cc', 'sh', '-c', 'exit 42'])).code, 42)
  const both = await docker.run(['exec', 'cc', 'sh', '-c', 'echo out; echo err >&2'])
  assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n'])
  assert.equal((await docker.run(['exec', '-i', 'cc', 'cat'], { input: 'abc' })).stdout, 'abc')
  const big = 'y'.repeat(2_000_000)
  assert.equal((await docker.run(['exec', '-i', 'cc', 'wc', '-c'], { input: big })).stdout.trim(), String(big.length))
  const env = (await ok('exec', '-e', 'A=b', 'cc', 'env')).split('\n')
  assert.ok(env.includes('A=b') && env.includes('FROM=run'), env.join())
  assert.match(env.find((line) => line.startsWith('HOSTNAME='))!, /^HOSTNAME=[0-9a-f]{12}$/)
  assert.equal(await ok('exec', '-u', '1000:2000', 'cc', 'id', '-g'), '2000')
  assert.equal(await ok('exec', '-w', '/tmp', 'cc', 'pwd'), '/tmp')
  assert.equal((await docker.run(['exec', '-d', 'cc', 'touch', '/tmp/done'])).code, 0)
  assert.match(await fails(1, 'exec', 'nosuch', 'ls'), /No such container: nosuch/)
})

test('what cannot be started says so on standard output, with 126 or 127', async () => {
  const cases: [number, RegExp, ...string[]][] = [
    [127, /exec: "nosuch": executable file not found in \$PATH/, 'cc', 'nosuch'],
    [126, /exec: "\/etc": is a directory/, 'cc', '/etc'],
    [127, /exec: "sh": executable file not found in \$PATH/, '-e', 'PATH=/nowhere', 'cc', 'sh'],
    [126, /exec: "\/etc\/passwd": permission denied/, 'cc', '/etc/passwd'],
    [
      127,
      /chdir to cwd \("\/nodir"\) set in config.json failed: no such file or directory/,
      '-w',
      '/nodir',
      'cc',
      'pwd',
    ],
    [126, /^unable to find user nouser: no matching entries in passwd file\r\n$/, '-u', 'nouser', 'cc', 'id'],
  ]
  for (const [code, message, ...args] of cases) {
    const ran = await docker.run(['exec', ...args])
    assert.equal(ran.code, code, args.join(' '))
    assert.match(ran.stdout, message)
    assert.equal(ran.stderr, '')
  }
  // A program's own words that look like the runtime's are its own.
  const same = await docker.run(['exec', 'cc', 'sh', '-c', 'echo "exec it" >&2; echo more >&2'])
  assert.equal(same.stderr, 'exec it\nmore\n')
})

test('a container that ends meanwhile is said to have ended, and nothing else', async () => {
  const said = /^(?:hi\n|.*(?:is not running|cannot exec in a stopped container: unknown|received 404)\s*|)$/
  const race = async (ms: number): Promise<void> => {
    const id = await ok('run', '-d', 'busybox', 'sleep', String(ms / 1000))
    for (let i = 0; i < 4; i++) {
      const { code, stdout, stderr } = await docker.run(['exec', id, 'sh', '-c', 'echo hi'])
      assert.match(stdout + stderr, said)
      // One that has spoken can still be killed with the container before it has ended.
      assert.ok(stdout === 'hi\n' ? [0, 137].includes(code) : code !== 0, `${code} ${stdout}`)
    }
    await ok('rm', '-f', id)
  }
  await Promise.all(Array.from({ length: 12 }, (_, i) => race(100 + 15 * i)))
})

test('exec instances can be inspected, and start only once', async () => {
  const created = await docker.api('POST', '/containers/cc/exec', { Cmd: ['sh', '-c', 'exit 5'], AttachStdout: true })
  const { Id } = JSON.parse(created.body)
  assert.equal((await docker.api('POST', `/exec/${Id}/start`, { Detach: false })).status, 200)
  const seen = JSON.parse((await docker.api('GET', `/exec/${Id}/json`)).body)
  assert.deepEqual([seen.Running, seen.ExitCode, seen.ProcessConfig.entrypoint], [false, 5, 'sh'])
  assert.equal((await docker.api('POST', `/exec/${Id}/start`, {})).status, 409)
  assert.equal((await docker.api('GET', '/exec/nosuch/json')).status, 404)
})

test('exec -d: runs when it is answered, and says why when it cannot', async () => {
  const why = /OCI runtime exec failed: .*"nosuch": executable file not found in \$PATH/
  assert.match(await fails(1, 'exec', '-d', 'cc', 'nosuch'), why)
  assert.match(await fails(1, 'exec', '-dt', 'cc', 'nosuch'), why)
  for (const Tty of [false, true]) {
    const run = async (...Cmd: string[]) => {
      const { Id } = JSON.parse((await docker.api('POST', '/containers/cc/exec', { Cmd, Tty })).body)
      const started = await docker.api('POST', `/exec/${Id}/start`, { Detach: true })
      return {
        started: started.status,
        look: async () => JSON.parse((await docker.api('GET', `/exec/${Id}/json`)).body),
      }
    }
    const missing = await run('nosuch')
    assert.deepEqual([missing.started, (await missing.look()).ExitCode], [400, 127])
    await ok('exec', 'cc', 'sh', '-c', 'rm -f /tmp/go; mkfifo /tmp/go')
    const waits = await run('sh', '-c', 'echo unheard; read word </tmp/go; exit $word')
    const { Running, Pid } = await waits.look()
    assert.deepEqual([waits.started, Running], [200, true])
    // The runtime says that all is well a moment before it becomes the program.
    const isIt = () => readFileSync(`/proc/${Pid}/cmdline`, 'utf8').includes('unheard')
    for (let tries = 0; !isIt() && tries < 500; tries++) await sleep(20)
    assert.ok(isIt())
    await ok('exec', 'cc', 'sh', '-c', 'echo 7 >/tmp/go')
    for (let tries = 0; (await waits.look()).Running && tries < 500; tries++) await sleep(20)
    assert.equal((await waits.look()).ExitCode, 7)
  }
})

test('an upgrade is taken without the word that belongs to it', async () => {
  const created = await docker.api('POST', '/containers/cc/exec', {
    Cmd: ['echo', 'said'],
    AttachStdout: true,
    Tty: true,
  })
  const body = '{"Tty":true}'
  const head = `POST /exec/${JSON.parse(created.body).Id}/start HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  const socket = connect(docker.instance.dockerSocket)
  socket.write(`${head}\r\n\r\n${body}`)
  socket.setTimeout(10_000, () => socket.destroy())
  let answer = ''
  for await (const chunk of socket) answer += chunk
  assert.match(answer, /^HTTP\/1.1 101 .*\r\n\r\nsaid\r\n$/s)
})

test('an attachment that is refused is told why in plain text, as clients print what comes', async () => {
  const refused = async (path: string) => {
    const { status, body } = await docker.api('POST', `/containers/${path}`)
    return [status, body]
  }
  assert.deepEqual(await refused('nosuch/attach?stream=1'), [404, 'No such container: nosuch\r\n'])
  const badKeys = [400, 'Invalid detach keys (ctrl-A,a) provided\r\n']
  assert.deepEqual(await refused('cc/attach?stream=1&detachKeys=ctrl-A,a'), badKeys)
})

test('run -it: a terminal of the right size, the exit code, Control-D', async () => {
  const shell = await docker.atTerminal(['run', '-it', '--rm', 'busybox', 'sh'], ['stty size\n', 'tty; exit 5\n'])
  assert.match(shell.output, /\n24 80\n/)
  assert.match(shell.output, /\n\/dev\/pts\/0\n/)
  assert.equal(shell.code, 5)
  const cat = await docker.atTerminal(['run', '-it', '--rm', 'busybox', 'cat'], ['hello\n', '\u0004'])
  assert.deepEqual([cat.code, cat.output.match(/hello/g)?.length], [0, 2])
})

test('exec -it, the detach keys, and coming back with attach', async () => {
  const shell = await docker.atTerminal(['exec', '-it', 'cc', 'sh'], ['stty size; exit 9\n'])
  assert.match(shell.output, /\n24 80\n/)
  assert.equal(shell.code, 9)
  await ok('run', '-dit', '--name', 'tt', 'busybox', 'sh')
  const left = await docker.atTerminal(['attach', 'tt'], ['x=kept\n', '\u0010\u0011'])
  assert.match(left.output, /read escape sequence/)
  const back = await docker.atTerminal(['attach', 'tt'], ['echo $x; exit 4\n'])
  assert.match(back.output, /\nkept\n/)
  assert.equal(back.code, 4)
  assert.equal(await ok('inspect', '-f', '{{.State.ExitCode}}', 'tt'), '4')
  await ok('rm', 'tt')
  assert.equal((await docker.atTerminal(['exec', '-it', 'cc', 'nosuch'], [])).code, 127)
})

test('an IPC namespace is joined only where its container was made to share it', async () => {
  await ok('run', '-d', '--ipc', 'shareable', '--name', 'donor', 'busybox', 'sleep', '1000')
  await ok('exec', 'donor', 'sh', '-c', 'echo told >/dev/shm/note')
  assert.equal(await ok('run', '--rm', '--ipc', 'container:donor', 'busybox', 'cat', '/dev/shm/note'), 'told')
  assert.match(await fails(125, 'run', '--rm', '--ipc', 'container:cc', 'busybox', 'true'), /non-shareable IPC/)
  assert.equal(
    await ok('run', '--rm', '--ipc', 'none', 'busybox', 'sh', '-c', 'grep -c /dev/shm /proc/mounts || true'),
    '0',
  )
  assert.equal(
    await ok(
      'run',
      '--rm',
      '--shm-size',
      '8m',
      'busybox',
      'sh',
      '-c',
      'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2',
    ),
    '8192',
  )
  await ok('rm', '-f', 'donor')
})
