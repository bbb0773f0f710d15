/** A second slipway is the cluster elsewhere: everything goes over its kubeconfig and a registry, as it would to any other. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { busyboxDockerfile, createInstance, freePort, projectFolder, type Ran } from './instance.ts'

const here = createInstance('here')
const there = createInstance('there')
let registry: ChildProcess | undefined
let prefix = ''
let cwd = ''
let port = 0
let env: Record<string, string> = {}

const answers = (at: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(at, '127.0.0.1', () => resolve(true) ?? socket.destroy())
    socket.on('error', () => resolve(false))
  })

const startRegistry = async (): Promise<void> => {
  const at = await freePort()
  const config = join(here.home, 'registry.yml')
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(here.home, 'registry')}}}\nhttp: {addr: "127.0.0.1:${at}"}\n`,
  )
  registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  registry.once('error', (error) => assert.fail(`docker-registry does not run: ${error.message}`))
  for (let tries = 0; !(await answers(at)); tries++) {
    assert.ok(tries < 100, 'docker-registry does not come up')
    await new Promise((go) => setTimeout(go, 50))
  }
  prefix = `127.0.0.1:${at}/team`
}

before(async () => {
  await startRegistry()
  await there.ok(['daemon', 'start'])
  await here.ok(['daemon', 'start'])
  // Two clusters of the same make: under names of their own they fit into one kubeconfig.
  const other = readFileSync(there.kubeconfig, 'utf8').replaceAll(
    /(name|cluster|user|current-context): "?slipway\S*$/gm,
    '$1: prod',
  )
  writeFileSync(join(here.home, 'prod.yaml'), other, { mode: 0o600 })
  env = { KUBECONFIG: `${here.kubeconfig}:${join(here.home, 'prod.yaml')}` }
  port = await freePort()
  cwd = projectFolder(here.home, 'shop', {
    Dockerfile: `${busyboxDockerfile}CMD ["sleep", "1000"]\n`,
    'compose.yaml': `
name: shop
services:
  db:
    build: .
    command: [sh, -c, "echo db up; exec sleep 1000"]
    stop_grace_period: 1s
    x-slipway: {drain: 1ms}
    volumes: [data:/data]
    healthcheck: {test: [CMD, "true"], interval: 1s, start_interval: 100ms, start_period: 5s}
  web:
    build: .
    depends_on: {db: {condition: service_healthy}}
    environment: {PAINT: "\${PAINT:-blue}", TOKEN_SECRET: "s3cr3t"}
    command: [sh, -c, "echo $$PAINT > /www/index.html; echo web up $$PAINT; exec httpd -f -p 80 -h /www"]
    stop_grace_period: 1s
    x-slipway: {drain: 1ms}
    ports: ["${port}:80"]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1/"], interval: 1s, start_interval: 100ms, start_period: 5s}
    deploy: {replicas: 2}
volumes: {data: {}}
`,
  })
})
after(async () => {
  registry?.kill()
  await Promise.all([here.destroy(), there.destroy()])
})

const prod = (...args: string[]): Promise<Ran> => here.ok(['--context', 'prod', ...args], { cwd, env })
const kubectl = (kubeconfig: string, ...args: string[]): string =>
  execFileSync('kubectl', ['--kubeconfig', kubeconfig, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
const page = async (): Promise<string> =>
  (await (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text()).trim()

test('a cluster cannot pull what only this machine has', async () => {
  const ran = await here.run(['--context', 'prod', 'up', '-d'], { cwd, env })
  assert.equal(ran.code, 1)
  assert.match(ran.stderr, /the cluster cannot pull "shop-(db|web)".*\nSay where to push it: --image-prefix/)
  assert.throws(() => kubectl(there.kubeconfig, 'get', 'namespace', 'shop'), /NotFound/)
})

test('up --context builds here, pushes, and runs there, pinned by digest', async () => {
  const { stderr } = await prod('up', '-d', '--image-prefix', prefix)
  assert.match(stderr, new RegExp(`Image ${prefix}/shop-web:[0-9a-f]{12} {2}Pushed`))
  assert.match(stderr, /Service web {2}Ready \(2\/2 ready\)/)
  const images = kubectl(
    there.kubeconfig,
    '-n',
    'shop',
    'get',
    'pods',
    '-o',
    'jsonpath={.items[*].spec.containers[*].image}',
  )
  for (const image of images.split(' '))
    assert.match(image, new RegExp(`^${prefix}/shop-(db|web)@sha256:[0-9a-f]{64}$`))
  assert.throws(() => kubectl(here.kubeconfig, 'get', 'namespace', 'shop'), /NotFound/, 'nothing runs here')
  assert.equal(await page(), 'blue')
})

test('ps, logs, exec, scale, rollout, restart, stop, start work on it', async () => {
  const rows = (await prod('ps', '--format', 'json')).stdout.trim().split('\n')
  assert.deepEqual(
    rows.map((r) => JSON.parse(r).Service),
    ['db', 'web', 'web'],
  )
  assert.match((await prod('ls')).stdout, /^shop +running\(3\)/m)
  assert.match((await prod('logs', 'web')).stdout, /^web-1 {2}\| web up blue$/m)
  assert.equal((await prod('exec', '-T', 'web', 'sh', '-c', 'echo $PAINT $TOKEN_SECRET')).stdout, 'blue s3cr3t\n')
  assert.equal((await here.run(['--context', 'prod', 'exec', 'web', 'false'], { cwd, env })).code, 1)
  await prod('scale', 'web=3')
  assert.equal((await prod('ps', '-q', 'web')).stdout.trim().split('\n').length, 3)
  await here.ok(['--context', 'prod', 'up', '-d', '--image-prefix', prefix], { cwd, env: { ...env, PAINT: 'red' } })
  assert.match((await prod('rollout', 'status', 'web')).stderr, /Rolled out/)
  assert.match((await prod('logs', 'web')).stdout, /web up red/)
  await prod('rollout', 'undo', 'web')
  assert.match((await prod('logs', '--no-log-prefix', 'web')).stdout, /web up blue/)
  assert.match((await prod('rollout', 'history', 'web')).stdout, /current\n$/)
  await prod('restart', 'web')
  await prod('stop')
  assert.equal((await prod('ps', '-q')).stdout, '')
  await prod('start')
  assert.equal((await prod('ps', '-q', '--status', 'running')).stdout.trim().split('\n').length, 3)
})

test('down leaves what others have in the namespace', async () => {
  kubectl(there.kubeconfig, '-n', 'shop', 'create', 'configmap', 'others')
  assert.match((await prod('down', '-v')).stderr, /Namespace shop stays: others have objects in it/)
  kubectl(there.kubeconfig, '-n', 'shop', 'delete', 'configmap', 'others')
  await prod('up', '-d', '--image-prefix', prefix)
  assert.match((await prod('down', '-v')).stderr, /Namespace shop {2}Removed/)
})

test('convert writes what kubectl apply takes, and it runs', async () => {
  const folder = join(here.home, 'manifests')
  await here.ok(['convert', '-o', folder, '--image-prefix', prefix], { cwd })
  assert.match(readdirSync(folder).sort()[0]!, /^00-namespace\.yaml$/)
  kubectl(there.kubeconfig, 'apply', '-f', folder)
  kubectl(there.kubeconfig, '-n', 'shop', 'rollout', 'status', 'deployment/web', '--timeout=60s')
  assert.match(kubectl(there.kubeconfig, '-n', 'shop', 'logs', 'deployment/web'), /web up blue/)
  // Objects made by kubectl are the same project to us.
  assert.match((await prod('ls')).stdout, /^shop +running\(3\)/m)
  await prod('down', '-v')
})

test('up applies exactly what convert writes', async () => {
  const folder = join(here.home, 'local')
  await here.ok(['build'], { cwd })
  await here.ok(['convert', '--for', 'local', '-o', folder], { cwd })
  await here.ok(['up', '-d'], { cwd })
  // Exits with 1 and shows it, if there is a difference.
  const diff = ['diff', '--server-side', '--force-conflicts', '--field-manager=slipway', '-f', folder]
  assert.equal(kubectl(here.kubeconfig, ...diff), '')
  await here.ok(['down', '-v'], { cwd })
})

test('several platforms: build makes all, with provenance, up here what runs here, and a registry gets all of them', async () => {
  const folder = projectFolder(here.home, 'wide', {
    Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY busybox /bin/busybox\nLABEL for=$TARGETARCH\n',
    'compose.yaml': `
name: wide
services:
  box:
    build: {context: ., platforms: [linux/arm64, linux/amd64], provenance: mode=min}
    command: [/bin/busybox, sleep, "1000"]
    stop_grace_period: 1s
`,
  })
  const run = (...args: string[]): Promise<Ran> => here.ok(args, { cwd: folder, env })
  const label = async (...args: string[]): Promise<string> =>
    (await run('image', 'inspect', '-f', '{{index .Config.Labels "for"}}', ...args, 'wide-box')).stdout.trim()
  const mine = process.arch === 'x64' ? 'amd64' : 'arm64'
  const other = mine === 'amd64' ? 'arm64' : 'amd64'
  const { stderr } = await run('up', '-d')
  assert.doesNotMatch(stderr, /platforms|provenance/)
  assert.equal(await label(), mine)
  const missing = await here.run(['image', 'inspect', '--platform', `linux/${other}`, 'wide-box'], { cwd: folder, env })
  assert.equal(missing.code, 1)
  await run('build')
  assert.deepEqual([await label(), await label('--platform', `linux/${other}`)], [mine, other])
  const pushed = await run('build', '--push', '--image-prefix', prefix)
  const tag = /wide-box:([0-9a-f]{12}) {2}Pushed/.exec(pushed.stderr)![1]
  const answer = await fetch(`http://${prefix.replace('/', '/v2/')}/wide-box/manifests/${tag}`, {
    headers: { accept: 'application/vnd.oci.image.index.v1+json' },
  })
  const index = (await answer.json()) as { manifests: { platform: { architecture: string } }[] }
  // The other two are the provenance of each.
  assert.deepEqual(index.manifests.map(({ platform }) => platform.architecture).sort(), [
    'amd64',
    'arm64',
    'unknown',
    'unknown',
  ])
  await run('down')
})
