import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { busyboxDockerfile, createInstance, freePort, projectFolder, type Ran, start } from './instance.ts'

const slipway = createInstance('bad')
let cwd = ''
before(async () => {
  cwd = projectFolder(slipway.home, 'bad', { Dockerfile: busyboxDockerfile })
  await slipway.ok(['-f', '-', 'build', '-q'], { cwd, input: 'name: bad\nservices: {box: {build: ., image: box}}\n' })
})
after(() => slipway.destroy())

const file = (web: string): string =>
  `name: bad\nservices:\n  web:\n    image: box\n    init: true\n    stop_grace_period: 1s\n${web}`
const up = (text: string, ...args: string[]): Promise<Ran> =>
  slipway.run(['-f', '-', 'up', '-d', ...args], { cwd, input: text })
const fails = async (text: string, ...args: string[]): Promise<string> => {
  const ran = await up(text, ...args)
  assert.equal(ran.code, 1, ran.stdout + ran.stderr)
  return ran.stderr
}
const down = (): Promise<Ran> => slipway.ok(['-p', 'bad', 'down', '-v', '-t', '0'])
/** The name and port a test needs that someone else has. */
const kubectl = (...args: string[]): string =>
  execFileSync('kubectl', ['--kubeconfig', slipway.kubeconfig, ...args], { encoding: 'utf8' })

test('no compose file', async () => {
  const empty = join(slipway.home, 'empty')
  mkdirSync(empty)
  const { code, stderr } = await slipway.run(['up', '-d'], { cwd: empty })
  assert.equal(code, 1)
  assert.match(stderr, /^no configuration file provided: not found\nThere is no compose.yaml in .*-f\.\n$/)
})

test('broken YAML and unknown keys: file, line, column, caret, nearest name', async () => {
  const broken = projectFolder(slipway.home, 'broken', {
    'compose.yaml': 'services:\n  web:\n    image: [x\n    tty: true\n',
  })
  const { stderr } = await slipway.run(['up', '-d'], { cwd: broken })
  assert.match(stderr, /compose\.yaml:\d+:\d+: /)
  assert.match(stderr, /^> +\d \| .*\n +\| +\^/m)
  const unknown = await fails('services:\n  web:\n    image: x\n    comand: y\n')
  assert.match(unknown, /:4:5: services\.web: additional properties 'comand' not allowed; did you mean 'command'\?/)
  assert.match(unknown, /> {4}4 \| {5}comand: y\n +\| {5}\^/)
})

test('unknown commands, flags, services', async () => {
  assert.match((await slipway.run(['pss'])).stderr, /'pss' is not a slipway command\nDid you mean ps\?/)
  assert.match((await slipway.run(['up', '--detatch'])).stderr, /unknown flag: --detatch\nDid you mean --detach\?/)
  assert.match(await fails(file(''), '--build', '--no-build'), /--build and --no-build are incompatible/)
  assert.match(await fails(file(''), 'wbe'), /no such service: wbe\nDid you mean web\?/)
  assert.match(await fails(file(''), '--scale', 'wbe=2'), /no such service: wbe/)
  assert.match(await fails(file(''), '--scale', 'web'), /invalid --scale option: web/)
})

test('a taken port: who has it, and nothing is left behind', async (t) => {
  const server = createServer().listen(0)
  t.after(() => server.close())
  await new Promise((listening) => server.once('listening', listening))
  const { port } = server.address() as { port: number }
  const message = await fails(file(`    command: [sleep, "100"]\n    ports: ["${port}:80"]\n`))
  assert.match(
    message,
    new RegExp(`service web: port ${port}/tcp is already in use by node[^ ]* \\(pid ${process.pid}\\)`),
  )
  assert.throws(() => kubectl('get', 'namespace', 'bad'), /NotFound/)
})

test('a port that another project has', async (t) => {
  const port = await freePort()
  const text = file(`    command: [sleep, "100"]\n    ports: ["${port}:80"]\n`)
  t.after(down)
  assert.equal((await up(text)).code, 0)
  assert.equal((await up(text)).code, 0, 'its own port is no trouble')
  assert.match(
    await fails(text.replace('name: bad', 'name: other')),
    new RegExp(`port ${port}/tcp is already in use by service web of project bad`),
  )
})

test('a failing build: its output, the step, the line; once', async () => {
  const folder = projectFolder(slipway.home, 'build', {
    Dockerfile: `${busyboxDockerfile}RUN echo doing it; echo broken >&2; exit 4\n`,
    'compose.yaml': 'services: {web: {build: .}, other: {build: {context: ., target: none}}}\n'.replace(
      ', other: {build: {context: ., target: none}}',
      '',
    ),
  })
  const { code, stderr } = await slipway.run(['up', '-d'], { cwd: folder })
  assert.equal(code, 1)
  assert.match(stderr, /#\d+ [\d.]+ broken\n/)
  assert.match(stderr, / 5 \| >>> RUN echo doing it/)
  assert.equal(stderr.split('>>> RUN').length, 2, 'shown once')
  assert.match(stderr, /Dockerfile:5:1: service web could not be built: process .* exit code: 4\n$/)
  const quiet = await slipway.run(['--progress', 'quiet', 'up', '-d'], { cwd: folder })
  assert.match(quiet.stderr, /^Dockerfile:5:1: process "\/bin\/sh -c echo doing it/)
})

test('an image that no registry has', async () => {
  assert.match(
    await fails('name: bad\nservices: {web: {image: "localhost:1/nothing:1"}}\n'),
    /localhost:1.*(refused|ECONNREFUSED)/s,
  )
  assert.match(
    await fails('name: bad\nservices: {web: {image: "nowhere/image:1", pull_policy: never}}\n'),
    /No such image: nowhere\/image:1\npull_policy is never/,
  )
  assert.match(
    await fails('name: bad\nservices: {web: {build: ., image: never-built}}\n', '--no-build'),
    /no such image: never-built/,
  )
})

test('an image that the registry does not have', async (t) => {
  const at = await freePort()
  const config = join(slipway.home, 'registry.yml')
  const root = join(slipway.home, 'registry')
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${root}}}\nhttp: {addr: "127.0.0.1:${at}"}\n`,
  )
  const registry = start(['docker-registry', 'serve', config])
  t.after(() => registry.child.kill())
  for (let tries = 0; tries < 100; tries++) {
    if (await fetch(`http://127.0.0.1:${at}/v2/`).catch(() => undefined)) break
    await new Promise((go) => setTimeout(go, 50))
  }
  const message = await fails(`name: bad\nservices: {web: {image: "127.0.0.1:${at}/team/nothing:1"}}\n`)
  assert.match(message, /Image 127\.0\.0\.1:\d+\/team\/nothing:1 {2}Error\n.*(not found|manifest unknown)/s)
  assert.throws(() => kubectl('get', 'namespace', 'bad'), /NotFound/)
})

test('a service that never gets healthy: what its probe said, what it said, exit 1', async (t) => {
  t.after(down)
  const message = await fails(
    file(`    command: [sh, -c, "echo i run; exec sleep 100"]
    healthcheck: {test: [CMD-SHELL, "echo my-probe-output; exit 1"], interval: 1s, start_interval: 100ms, start_period: 1s, retries: 1}
`),
  )
  assert.match(message, /service web did not become ready/)
  assert.match(message, /web-\S+: is unhealthy, restarted \d/)
  assert.match(message, /Startup probe failed: my-probe-output/)
  assert.match(message, /\| i run/)
})

test('a service that ends at once, with an error and without', async (t) => {
  t.after(down)
  const crash = await fails(file('    command: [sh, -c, "echo starting; echo oh no >&2; exit 3"]\n'))
  assert.match(crash, /service web did not become ready\n {2}web-\S+: exited with code 3/)
  assert.match(crash, /\| oh no/)
  assert.match(await fails(file('    command: [echo, done]\n')), /ends by itself.*restart: "no"/)
})

test('--wait-timeout', async (t) => {
  t.after(down)
  const message = await fails(
    file(
      '    command: [sleep, "100"]\n    healthcheck: {test: [CMD, "false"], start_period: 60s, start_interval: 1s}\n',
    ),
    '--wait-timeout',
    '1',
  )
  assert.match(message, /service web was not ready after 1s/)
})

test('an unknown context lists those there are', async () => {
  const env = { KUBECONFIG: slipway.kubeconfig }
  const { code, stderr } = await slipway.run(['--context', 'prod', 'ps', '-p', 'x'], { env, cwd })
  assert.equal(code, 1)
  assert.match(stderr, /^context "prod" does not exist\nContexts in .*kubeconfig: slipway/)
})

test('not root: says so', async () => {
  const folder = mkdtempSync('/tmp/slipway-nobody-')
  chmodSync(folder, 0o777)
  try {
    const main = join(import.meta.dirname, '../../src/main.ts')
    const nobody = start(
      [
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        main,
        'ps',
        '-p',
        'x',
      ],
      { cwd: '/', env: { SLIPWAY_HOME: join(folder, 'home'), HOME: folder, NODE_COMPILE_CACHE: undefined } },
    )
    const { code, stderr } = await nobody.ended
    assert.equal(code, 1)
    assert.match(
      stderr,
      /^the slipway daemon is not running, and only root can start it\nRun the same command with sudo\.\n$/,
    )
    const running = start(
      [
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        main,
        'ps',
        '-p',
        'x',
      ],
      { cwd: '/', env: { SLIPWAY_HOME: slipway.home, HOME: folder, NODE_COMPILE_CACHE: undefined } },
    )
    const other = await running.ended
    assert.equal(other.code, 1)
    assert.match(other.stderr, /sudo/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a daemon that cannot start says why', async () => {
  const home = mkdtempSync('/tmp/slipway-broken-')
  try {
    mkdirSync(join(home, 'lib'))
    writeFileSync(
      join(home, 'lib/slipway.db'),
      'this is no database, and long enough to be taken for one: '.repeat(100),
    )
    const { code, stderr } = await slipway.run(['daemon', 'start'], { env: { SLIPWAY_HOME: home } })
    assert.equal(code, 1)
    assert.match(stderr, /the slipway daemon did not start\n.*(not a database|malformed)/)
    assert.doesNotMatch(stderr, /\n +at /, 'no stack')
    assert.match(stderr, /Its log is .*daemon\.log/)
  } finally {
    rmSync(home, { recursive: true })
  }
})

test('no space: a message, and the daemon lives', async () => {
  const small = createInstance('small')
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small.home])
  try {
    const folder = projectFolder(small.home, 'big', {
      Dockerfile: `${busyboxDockerfile}RUN dd if=/dev/zero of=/file bs=1M count=100\n`,
      'compose.yaml': 'services: {web: {build: .}}\n',
    })
    const { code, stderr } = await small.run(['up', '-d'], { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, /no space left on device/i)
    assert.equal((await small.run(['daemon', 'status'])).code, 0)
  } finally {
    await small.run(['system', 'reset', '--yes'])
    execFileSync('umount', ['-l', small.home])
    rmSync(small.home, { recursive: true, force: true })
  }
})

test('an interrupt while building leaves nothing half-made', async () => {
  const folder = projectFolder(slipway.home, 'slow', {
    Dockerfile: `${busyboxDockerfile}RUN echo in the middle; sleep 30\n`,
    'compose.yaml': 'services: {web: {build: .}}\n',
  })
  const running = slipway.begin(['up', '-d'], { cwd: folder })
  await running.says(/in the middle\n/)
  running.child.kill('SIGINT')
  const { code, stderr } = await running.ended
  assert.equal(code, 130)
  assert.match(stderr, /Image slow-web {2}Interrupted\n(.*\n)*canceled\n$/)
  assert.throws(() => kubectl('get', 'namespace', 'slow'), /NotFound/)
  for (let tries = 0; tries < 50; tries++) {
    const left = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).match(/in the middle/g)
    if (!left) return
    await new Promise((go) => setTimeout(go, 100))
  }
  assert.fail('the step still runs')
})

test('an interrupt while waiting: what is applied stays whole, and up goes on from there', async (t) => {
  t.after(down)
  const slow = (test: string): string =>
    file(
      `    command: [sleep, "100"]\n    healthcheck: {test: [CMD, "${test}"], start_period: 60s, start_interval: 100ms}\n`,
    )
  const running = slipway.begin(['-f', '-', 'up', '-d'], { cwd, input: slow('false') })
  await running.says(/0\/1 ready/)
  running.child.kill('SIGINT')
  const { code, stderr } = await running.ended
  assert.equal(code, 130)
  assert.match(stderr, /canceled\n$/)
  assert.equal((await up(slow('true'))).code, 0)
})

test('foreground: logs, an interrupt stops, 130', async (t) => {
  t.after(down)
  const port = await freePort()
  const running = slipway.begin(['-f', '-', 'up'], {
    cwd,
    input: file(`    command: [sh, -c, "echo hello; exec httpd -f -p 80"]\n    ports: ["${port}:80"]\n`),
  })
  await running.says(/web-1 {2}\| hello/)
  running.child.kill('SIGINT')
  const { code, stderr } = await running.ended
  assert.equal(code, 130)
  assert.match(stderr, /Gracefully Stopping\.\.\. press Ctrl\+C again to force\n/)
  assert.match(stderr, /Service web {2}Stopped/)
  await assert.rejects(
    new Promise((resolve, reject) => connect(port, '127.0.0.1', () => resolve(undefined)).on('error', reject)),
  )
})

test('foreground: the end of one ends all, with its exit code', async (t) => {
  t.after(down)
  const text = `${file('    command: [sleep, "100"]\n')}  test:
    image: box
    restart: "no"
    command: [sh, -c, "echo testing; exit 4"]
`
  const ran = await slipway.run(['-f', '-', 'up', '--exit-code-from', 'test'], { cwd, input: text })
  assert.equal(ran.code, 4, ran.stdout + ran.stderr)
  assert.match(ran.stdout, /test-1 {1,2}\| testing/)
  assert.match(ran.stdout, /test-1 exited with code 4/)
  assert.match(ran.stderr, /Service web {2}Stopped/)
})

test('a folder moved to another place is the same project', async () => {
  const moved = join(slipway.home, 'elsewhere')
  cpSync(cwd, moved, { recursive: true })
  writeFileSync(join(moved, 'compose.yaml'), file('    command: [sleep, "100"]\n'))
  await slipway.ok(['up', '-d'], { cwd: moved })
  assert.match((await slipway.ok(['ls'])).stdout, /bad +running\(1\) +.*elsewhere/)
  await down()
})
