import assert from 'node:assert/strict'
import { get } from 'node:http'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { busyboxDockerfile, createInstance, freePort, projectFolder, type Ran, start } from './instance.ts'

const slipway = createInstance()
let cwd = ''
let port = 0
before(async () => {
  port = await freePort()
  cwd = projectFolder(slipway.home, 'shop', {
    Dockerfile: `${busyboxDockerfile}CMD ["sleep", "1000"]\n`,
    'compose.yaml': `
name: shop
services:
  db:
    build: .
    image: shop-db
    init: true
    command: [sh, -c, "echo db up; exec sleep 1000"]
    stop_grace_period: 1s
    volumes: [data:/data]
    healthcheck: {test: [CMD, "true"], interval: 1s, start_interval: 100ms, start_period: 5s}
  web:
    build: .
    init: true
    depends_on: {db: {condition: service_healthy}}
    environment: {PAINT: "\${PAINT:-blue}"}
    command: [sh, -c, "echo $$PAINT > /www/index.html; echo web up $$PAINT; echo complaint >&2; exec httpd -f -p 80 -h /www"]
    stop_grace_period: 1s
    ports: ["127.0.0.1:${port}:80"]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1/"], interval: 1s, start_interval: 100ms, start_period: 5s}
    deploy: {replicas: 2, resources: {reservations: {cpus: "0.01"}}}
volumes: {data: {}}
`,
  })
})
after(() => slipway.destroy())
const ok = (...args: string[]): Promise<Ran> => slipway.ok(args, { cwd })
const run = (...args: string[]): Promise<Ran> => slipway.run(args, { cwd })
/** A connection of its own: one that is kept open stays with its pod until that is gone. */
const page = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const req = get({ host: '127.0.0.1', port, agent: false, timeout: 3000 }, (res) => {
      let body = ''
      res.on('data', (chunk) => (body += chunk))
      res.on('end', () => resolve(body.trim()))
      res.on('error', reject)
    })
    req.on('timeout', () => req.destroy(new Error('no answer')))
    req.on('error', reject)
  })

test('up builds, starts in order and says where it is; again, it changes nothing', async () => {
  const first = await ok('up', '-d')
  assert.match(first.stderr, /Image shop-db {2}Built/)
  assert.match(first.stderr, /Volume data {2}Created/)
  assert.ok(first.stderr.indexOf('Service db  Ready (1/1') < first.stderr.indexOf('Service web  Created'))
  assert.match(first.stderr, new RegExp(` web is at http://127.0.0.1:${port}\n$`))
  assert.equal(await page(), 'blue')
  const pods = (await ok('ps', '-q')).stdout
  const again = await ok('up', '-d')
  assert.doesNotMatch(again.stderr, /Build|Created|Configured/)
  assert.equal((await ok('ps', '-q')).stdout, pods)
})

test('ps: a table, JSON lines, names, services, states', async () => {
  const [titles, ...rows] = (await ok('ps')).stdout.trimEnd().split('\n')
  assert.match(titles!, /^NAME +IMAGE +COMMAND +SERVICE +CREATED +STATUS +PORTS$/)
  assert.equal(rows.length, 3)
  assert.match(rows[2]!, new RegExp(`web +.* ago +Up .* \\(healthy\\) +127.0.0.1:${port}->80/tcp`))
  const json = (await ok('ps', '--format', 'json', 'web')).stdout.trimEnd().split('\n')
  const parsed = json.map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    parsed.map((r) => [r.Service, r.State, r.Health, r.ExitCode]),
    [
      ['web', 'running', 'healthy', 0],
      ['web', 'running', 'healthy', 0],
    ],
  )
  assert.deepEqual(parsed[0]!.Publishers, [{ URL: '127.0.0.1', TargetPort: 80, PublishedPort: port, Protocol: 'tcp' }])
  assert.match(rows[2]!, /"sh -c echo \$PAINT .*…"/)
  assert.match((await ok('ps', '--no-trunc', 'web')).stdout, /"sh -c echo \$PAINT > [^…]*httpd -f -p 80 -h \/www"/)
  assert.equal((await ok('ps', '--services')).stdout, 'db\nweb\n')
  assert.equal((await ok('ps', '-q', '--status', 'exited')).stdout, '')
  assert.match((await run('ps', '--status', 'sleeping')).stderr, /unknown status sleeping/)
  assert.match((await run('ps', 'wbe')).stderr, /no such service: wbe\nDid you mean web\?/)
})

test('logs: prefix, tail, timestamps, index; both streams', async () => {
  const all = (await ok('logs', '--no-color')).stdout
  assert.match(all, /^db-1 {3}\| db up$/m)
  assert.match(all, /^web-1 {2}\| web up blue$/m)
  assert.match(all, /^web-2 {2}\| complaint$/m)
  assert.match((await ok('logs', '--tail', '1', '-t', 'db')).stdout, /^db-1 {2}\| \d{4}-\d\d-\d\dT[\d:.]+Z db up\n$/)
  const second = (await ok('logs', '--index', '2', '--no-log-prefix', 'web')).stdout
  assert.equal(second, 'web up blue\ncomplaint\n')
  assert.equal((await ok('logs', '--since', '2099-01-01T00:00:00Z')).stdout, '')
  assert.equal((await ok('logs', '--until', '2000-01-01T00:00:00Z')).stdout, '')
  const following = slipway.begin(['logs', '-f', 'db'], { cwd })
  await following.says(/db up/)
  await ok('exec', '-T', 'db', 'sh', '-c', 'echo later > /proc/1/fd/1')
  await following.says(/db-1 {2}\| later/)
  following.child.kill('SIGINT')
  assert.equal((await following.ended).code, 130)
})

test('exec: streams, exit codes, environment, directory', async () => {
  assert.equal((await run('exec', 'web', 'sh', '-c', 'exit 7')).code, 7)
  const both = await ok('exec', 'web', 'sh', '-c', 'echo out; echo err >&2')
  assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n'])
  assert.equal(
    (await slipway.ok(['exec', '-T', 'db', 'wc', '-c'], { cwd, input: 'x'.repeat(100_000) })).stdout,
    '100000\n',
  )
  assert.equal((await ok('exec', '-e', 'A=5', '-w', '/www', 'web', 'sh', '-c', 'echo $A $PWD')).stdout, '5 /www\n')
  assert.equal((await run('exec', 'web', 'nosuch')).code, 127)
  assert.match((await run('exec', '--index', '9', 'web', 'true')).stderr, /is not running container #9\nIt has 2/)
  const one = (await ok('exec', '--index', '1', 'web', 'hostname')).stdout
  assert.notEqual((await ok('exec', '--index', '2', 'web', 'hostname')).stdout, one)
})

test('exec in the background, and what only docker can', async () => {
  await ok('exec', '-d', 'db', 'sh', '-c', 'sleep 0.3; echo done > /tmp/later')
  for (let tries = 0; (await run('exec', 'db', 'cat', '/tmp/later')).code !== 0; tries++) {
    assert.ok(tries < 20, 'the command did not go on')
    await new Promise((go) => setTimeout(go, 100))
  }
  const { code, stderr } = await run('exec', '-u', '5', 'db', 'id')
  assert.equal(code, 1)
  assert.match(stderr, /docker -H unix:\/\/\S+docker.sock exec --user=5 [0-9a-f]{12}/)
})

test('up on a terminal: a count, marks, times; the cursor comes back', async () => {
  const main = `${import.meta.dirname}/../../src/main.ts`
  const script = 'import pty, sys, os; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
  const python = start(
    ['python3', '-c', script, process.execPath, '--disable-warning=ExperimentalWarning', main, 'up', '-d', '--build'],
    { cwd, env: { SLIPWAY_HOME: slipway.home, COMPOSE_PROGRESS: undefined }, limitMs: 30_000, input: '' },
  )
  const { code, stdout } = await python.ended
  assert.equal(code, 0, stdout)
  const text = stripVTControlCharacters(stdout)
  assert.match(text, /\[\+\] up 0\/2\r\n . Image shop-db +Building +0\.\ds/)
  assert.match(text, /\[\+\] up 6\/6\r\n ✔ Image shop-db +Built +\d\.\ds\r\n/)
  assert.match(text, / ✔ Service web +Ready \(2\/2 ready\) +\d\.\ds\r\n web is at http/)
  assert.ok(stdout.lastIndexOf('\u001b[?25h') > stdout.lastIndexOf('\u001b[?25l'))
})

test('--progress json: a document a line', async () => {
  const { stderr } = await ok('--progress', 'json', 'up', '-d')
  const documents = stderr
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { id?: string; status?: string })
  assert.ok(documents.some((d) => d.id === 'Service web' && d.status === 'Done'))
})

test('exec on a terminal', async () => {
  const script = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
out = b''
def until(what):
    global out
    while what not in out:
        out += os.read(fd, 4096)
os.write(fd, b'tty; stty size; echo re""ady\\n')
until(b'ready')
os.write(fd, b'exit 5\\n')
try:
    while True:
        data = os.read(fd, 4096)
        if not data: break
        out += data
except OSError: pass
print(out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`
  const main = `${import.meta.dirname}/../../src/main.ts`
  const python = start(
    ['python3', '-c', script, process.execPath, '--disable-warning=ExperimentalWarning', main, 'exec', 'web', 'sh'],
    { cwd, env: { SLIPWAY_HOME: slipway.home }, limitMs: 20_000 },
  )
  const { stdout, stderr } = await python.ended
  assert.match(stdout, /\/dev\/pts\/0/, stdout + stderr)
  assert.match(stdout, / 5\n$/)
})

/** `rollout undo` does not wait for the proxy as `up` does: an instant in which the old pods answer, too, is fine. */
const settles = async (color: string): Promise<void> => {
  let same = 0
  for (const until = Date.now() + 3000; same < 10 && Date.now() < until; )
    same = (await page()) === color ? same + 1 : 0
  assert.equal(same, 10, `not yet ${color} only`)
}

test('scale, restart, and a new environment without an interruption', async (t) => {
  assert.match((await ok('scale', 'web=3')).stderr, /Service web {2}Scaled \(3\/3 ready\)/)
  assert.equal((await ok('ps', '-q', 'web')).stdout.trim().split('\n').length, 3)
  const db = (await ok('ps', '-q', 'db')).stdout
  let failures = 0
  let requests = 0
  let going = true
  t.after(() => (going = false))
  const knocking = (async () => {
    while (going) {
      requests++
      await page().catch(() => failures++)
      await new Promise((go) => setTimeout(go, 5))
    }
  })()
  await ok('restart', 'web')
  await slipway.ok(['up', '-d'], { cwd, env: { PAINT: 'red' } })
  await settles('red')
  await ok('rollout', 'undo', 'web')
  await settles('blue')
  going = false
  await knocking
  assert.ok(requests > 50)
  assert.equal(failures, 0, `${failures} of ${requests} requests failed`)
  assert.equal((await ok('ps', '-q', 'db')).stdout, db, 'what did not change is not restarted')
  assert.match((await ok('rollout', 'history', 'web')).stdout, /web +\d+ +.* current\n$/)
  assert.match((await ok('rollout', 'status')).stderr, /Service web {2}Rolled out \(2\/2 ready\)/)
  assert.match((await run('scale', 'web=many')).stderr, /invalid scale specifier: web=many/)
  assert.match((await run('scale', 'wbe=1')).stderr, /Did you mean web/)
  assert.match(
    (await run('rollout', 'undo', '--to-revision', '99', 'web')).stderr,
    /unable to find specified revision 99/,
  )
})

test('stop keeps, start brings back, ls and ps tell', async () => {
  const stopped = await ok('stop')
  assert.ok(
    stopped.stderr.indexOf('web  Stopped') < stopped.stderr.indexOf('db  Stopping') ||
      stopped.stderr.indexOf('web  Stopped') < stopped.stderr.indexOf('db  Stopped'),
  )
  assert.equal((await ok('ps', '-q')).stdout, '')
  assert.match((await ok('ps', '-a')).stdout, /web .* Stopped \(2 to start\)/)
  assert.equal((await ok('ls', '-q')).stdout, '')
  assert.match((await ok('ls', '-a')).stdout, /^shop +exited\(3\) +\/.*compose.yaml$/m)
  assert.match((await run('exec', 'web', 'true')).stderr, /service "web" is not running\nStart it/)
  await ok('start')
  assert.deepEqual(JSON.parse((await ok('ls', '--format', 'json')).stdout), [
    { Name: 'shop', Status: 'running(3)', ConfigFiles: `${cwd}/compose.yaml` },
  ])
  assert.equal(await page(), 'blue')
})

test('autoscale owns the number of instances; up does not fight it', async () => {
  assert.match((await run('autoscale', 'db', '--max', '4')).stderr, /service "db" has no cpu reservation/)
  assert.match((await run('autoscale', 'web')).stderr, /--max=MAXPODS is required/)
  assert.match((await run('autoscale', 'web', '--min', '5', '--max', '4')).stderr, /--min must be between 1 and/)
  const count = async (): Promise<number> => (await ok('ps', '-q', 'web')).stdout.trim().split('\n').length
  assert.match((await ok('autoscale', 'web', '--min', '2', '--max', '4')).stderr, /Autoscaled between 2 and 4/)
  await ok('scale', 'web=3')
  await ok('up', '-d')
  assert.equal(await count(), 3)
  assert.match((await ok('autoscale', 'web', '--off')).stderr, /Autoscaling off/)
  await ok('up', '-d')
  // The third may still be ending.
  for (let tries = 0; (await count()) > 2 && tries < 50; tries++) await sleep(200)
  assert.equal(await count(), 2)
})

test('the daemon: status, stop and start while everything runs on, stop with all that runs', async () => {
  const status = JSON.parse((await ok('daemon', 'status', '--format', 'json')).stdout)
  assert.equal(status.running, true)
  assert.equal(status.counts.pods, 3)
  const { stdout } = await ok('env')
  assert.match(stdout, /^export DOCKER_HOST=unix:\/\/\S+docker.sock\nexport KUBECONFIG=\S+\nexport SLIPWAY_HOME=\S+\n$/)
  const pods = (await ok('ps', '-q')).stdout
  await ok('daemon', 'stop')
  assert.equal((await run('daemon', 'status')).code, 3)
  assert.equal((await ok('ps', '-q')).stdout, pods, 'any command starts it again')
  await settles('blue')
  await ok('daemon', 'stop', '--containers')
  await assert.rejects(page())
  await ok('daemon', 'start')
  await ok('up', '-d')
  await settles('blue')
})

test('config and convert', async () => {
  assert.equal((await ok('config', '--services')).stdout, 'db\nweb\n')
  assert.match((await ok('config', '--hash', 'web')).stdout, /^web [0-9a-f]{64}\n$/)
  assert.match((await ok('config', '--variables')).stdout, /^PAINT +false +blue$/m)
  assert.equal(JSON.parse((await ok('config', '--format', 'json', 'db')).stdout).services.web, undefined)
  assert.equal((await ok('config', '-q')).stdout, '')
  assert.match((await run('convert')).stderr, /cannot pull "shop-db"/)
})

test('down keeps data, down -v does not', async () => {
  await ok('exec', 'db', 'sh', '-c', 'echo kept > /data/file')
  const down = await ok('down')
  assert.ok(down.stderr.indexOf('web  Removed') < down.stderr.indexOf('db  Removed'), 'dependents go first')
  assert.equal((await ok('ls', '-a', '-q')).stdout, '')
  await assert.rejects(page())
  await ok('up', '-d', '--scale', 'web=1')
  assert.equal((await ok('exec', 'db', 'cat', '/data/file')).stdout, 'kept\n')
  assert.equal((await ok('ps', '-q', 'web')).stdout.trim().split('\n').length, 1)
  await ok('down', '-v', '-t', '0')
  await ok('up', '-d', '--no-start')
  assert.match((await ok('ps', '-a')).stdout, /web .* Stopped \(2 to start\)/)
  await ok('start', 'db')
  assert.equal((await run('exec', 'db', 'cat', '/data/file')).code, 1)
  assert.match((await ok('down', '-v')).stderr, /Namespace shop {2}Removed/)
  assert.match((await ok('down')).stderr, /No resource found to remove for project "shop"/)
})
