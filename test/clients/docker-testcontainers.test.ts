/** testcontainers for JavaScript: containers that are waited for, filled, built, and cleared away by Ryuk when their test dies. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'
import { clientsIn, npmClients } from './tools.ts'

const docker = startDocker()
after(() => docker.stop())
const { ok, dir } = docker
// What it finds its engine and docker compose by. This process cleans up after itself; the one that is killed cannot.
Object.assign(process.env, {
  DOCKER_HOST: docker.instance.env.DOCKER_HOST,
  DOCKER_CONFIG: docker.instance.env.DOCKER_CONFIG,
  TESTCONTAINERS_RYUK_DISABLED: 'true',
  PATH: `${clientsIn('docker-compose-v2')}:${process.env.PATH}`,
})
const require = npmClients()
const { GenericContainer, Network, Wait } = require('testcontainers')

/** Ryuk's protocol: each line names what to watch over; half a second after the last client has gone, all of it is removed. */
const ryuk = `
const { createServer } = require('node:net')
const { request } = require('node:http')
const call = (method, path) => new Promise((resolve, reject) => {
  const req = request({ socketPath: '/var/run/docker.sock', method, path: '/v1.44' + path }, (res) => {
    let text = ''
    res.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text && JSON.parse(text)))
  })
  req.on('error', reject).end()
})
const watched = new Set()
let clients = 0
const reap = async () => {
  for (const label of watched) {
    const query = '?all=1&filters=' + encodeURIComponent(JSON.stringify({ label: new URLSearchParams(label).getAll('label') }))
    for (const c of await call('GET', '/containers/json' + query))
      if (!c.Labels['org.testcontainers.ryuk']) await call('DELETE', '/containers/' + c.Id + '?force=1&v=1')
    for (const n of await call('GET', '/networks' + query)) await call('DELETE', '/networks/' + n.Id)
    for (const v of (await call('GET', '/volumes' + query)).Volumes ?? []) await call('DELETE', '/volumes/' + v.Name)
    for (const i of await call('GET', '/images/json' + query)) await call('DELETE', '/images/' + i.Id + '?force=1')
  }
  process.exit(0)
}
createServer((socket) => {
  clients++
  let text = ''
  socket.on('error', () => {}).on('data', (chunk) => {
    const lines = (text += chunk).split('\\n')
    text = lines.pop()
    for (const line of lines) watched.add(line.trim()) && socket.write('ACK\\n')
  })
  socket.on('close', () => --clients || setTimeout(() => clients || reap(), 500))
}).listen(8080, () => console.log('Started'))
`
const server = `require('node:http').createServer((q, s) => { s.statusCode = q.url === '/no' ? 401 : 200; s.end(q.method + ' ' + q.url) })
  .listen(8080, () => console.log('ready'))`

/** Node itself and the libraries it needs, in an image: what serves and what reaps here. */
test('images to stand in for those of the registry', async () => {
  const root = join(dir, 'node')
  mkdirSync(join(root, 'bin'), { recursive: true })
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  execFileSync('cp', ['-L', '--parents', ...libraries, root])
  cpSync(process.execPath, join(root, 'bin/node'), { dereference: true })
  writeFileSync(join(root, 'ryuk.js'), ryuk)
  writeFileSync(join(root, 'server.js'), server)
  execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', join(dir, 'node.tar'), '.'])
  // By its image's label Ryuk is told from what it watches over.
  const changes = ['-c', 'CMD ["node", "/ryuk.js"]', '-c', 'LABEL org.testcontainers.ryuk=true']
  await ok('import', ...changes, join(dir, 'node.tar'), 'testcontainers/ryuk:0.14.0')
  writeFileSync(join(dir, 'Dockerfile'), 'FROM busybox\nADD node.tar /\nEXPOSE 8080\nCMD ["node", "/server.js"]\n')
  writeFileSync(join(dir, '.dockerignore'), '*\n!node.tar\n')
  await ok('build', '-q', '-t', 'web', dir)
})

const web = () => new GenericContainer('web').withExposedPorts(8080)
const fetched = async (c: { getHost(): string; getMappedPort(port: number): number }, path: string): Promise<string> =>
  (await fetch(`http://${c.getHost()}:${c.getMappedPort(8080)}${path}`)).text()

test('waiting for a port, a line, an answer, a health check, a command, all of them, an end', async () => {
  const health = { test: ['CMD', 'true'], interval: 300, timeout: 2000, retries: 3 }
  const started = await Promise.all([
    web().start(),
    web().withWaitStrategy(Wait.forLogMessage(/read./)).start(),
    web().withWaitStrategy(Wait.forHttp('/no', 8080).forStatusCode(401).withMethod('POST')).start(),
    web().withHealthCheck(health).withWaitStrategy(Wait.forHealthCheck()).start(),
    web().withWaitStrategy(Wait.forSuccessfulCommand('grep -q . /etc/hostname')).start(),
    web()
      .withWaitStrategy(Wait.forAll([Wait.forListeningPorts(), Wait.forLogMessage('ready')]))
      .start(),
    new GenericContainer('busybox').withCommand(['true']).withWaitStrategy(Wait.forOneShotStartup()).start(),
  ])
  assert.equal(await fetched(started[0], '/x'), 'GET /x')
  await Promise.all(started.map((c) => c.stop()))
  const never = web().withWaitStrategy(Wait.forLogMessage('never')).withStartupTimeout(300)
  await assert.rejects(never.start(), /not received after 300ms/)
})

test('files, directories and content go in and come out; exec; logs; networks with aliases; restart', async () => {
  const files = mkdtempSync(join(dir, 'files-'))
  writeFileSync(join(files, 'one'), 'file ')
  const network = await new Network().start()
  const c = await web()
    .withNetwork(network)
    .withNetworkAliases('www')
    .withCopyFilesToContainer([{ source: join(files, 'one'), target: '/tmp/one', mode: 0o640 }])
    .withCopyDirectoriesToContainer([{ source: files, target: '/data' }])
    .withCopyContentToContainer([{ content: 'content', target: '/new/place' }])
    .withTmpFs({ '/scratch': 'rw,size=1m' })
    .withResourcesQuota({ memory: 0.25, cpu: 0.5 })
    .start()
  const cat = await c.exec(['sh', '-c', 'stat -c %a /tmp/one; cat /tmp/one /data/one /new/place; echo no >&2; exit 3'])
  assert.deepEqual([cat.exitCode, cat.stdout, cat.stderr], [3, '640\nfile file content', 'no\n'])
  const tar = await c.copyArchiveFromContainer('/data')
  assert.ok(Buffer.concat(await tar.toArray()).includes('data/one'))
  const other = await new GenericContainer('busybox').withNetwork(network).withCommand(['sleep', '100']).start()
  assert.equal((await other.exec(['nslookup', 'www'])).exitCode, 0)
  let lines = ''
  const logs = await c.logs()
  logs.on('data', (line: string) => (lines += line))
  await until('a line', async () => lines.includes('ready'))
  await c.restart()
  assert.equal(await fetched(c, '/again'), 'GET /again')
  for (const each of [c, other, network]) await each.stop()
})

test('images built from a Dockerfile, by either builder', async () => {
  const context = mkdtempSync(join(dir, 'context-'))
  writeFileSync(
    join(context, 'Dockerfile'),
    'FROM busybox AS one\nARG V\nENV V=$V\nFROM one\nCMD ["sh", "-c", "echo V$V; sleep 100"]\n',
  )
  for (const builder of ['classic', 'kit']) {
    const plan = GenericContainer.fromDockerfile(context).withBuildArgs({ V: builder })
    const image = await (builder === 'kit' ? plan.withBuildkit() : plan).build()
    const c = await image.withWaitStrategy(Wait.forLogMessage(`V${builder}`)).start()
    await c.stop()
  }
})

test('Ryuk removes through our socket what a killed test left', async () => {
  const script = `
    const { GenericContainer, Network } = require('testcontainers')
    const main = async () => {
      const network = await new Network().start()
      await new GenericContainer('busybox').withNetwork(network).withName('left').withCommand(['sleep', '1000']).start()
      console.log('left behind')
      await new Promise(() => setInterval(() => {}, 1000))
    }
    void main()`
  const child = spawn(process.execPath, ['-e', script], {
    cwd: join(require.resolve('testcontainers/package.json'), '..', '..', '..'),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TESTCONTAINERS_RYUK_DISABLED: 'false' },
  })
  after(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  await until('a test that waits', async () => said.includes('left behind'), 30_000)
  assert.equal(await ok('ps', '-q', '--filter', 'name=left'), await ok('ps', '-lq'))
  child.kill('SIGKILL')
  await until('nothing to be left of it', async () => (await ok('ps', '-aq', '--filter', 'name=left')) === '', 20_000)
  await until('the network to be gone', async () => (await ok('network', 'ls', '-q', '--filter', 'type=custom')) === '')
})
