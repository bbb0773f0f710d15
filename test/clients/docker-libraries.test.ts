/** What libraries do that the docker client does not: dockerode's requests, attach over WebSocket, testcontainers' Ryuk. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { WebSocket } from 'ws'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, api } = docker
const { dockerSocket } = docker.instance

/** As dockerode sends it without `hijack`: no Upgrade, a JSON body; the answer is 200 and streams. */
const startWithoutUpgrade = (path: string, body: object): Promise<{ status: number; type: string; bytes: Buffer }> =>
  new Promise((resolve, reject) => {
    const text = JSON.stringify(body)
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }
    const req = request({ socketPath: dockerSocket, method: 'POST', path, headers }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () =>
        resolve({ status: res.statusCode!, type: String(res.headers['content-type']), bytes: Buffer.concat(chunks) }),
      )
    })
    req.on('error', reject)
    req.end(text)
  })

/** As dockerode sends it with `hijack`: Upgrade, and its JSON body chunked or with a length. */
const upgraded = async (path: string, body: object): Promise<Socket> => {
  const text = JSON.stringify(body)
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'tcp',
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  }
  const req = request({ socketPath: dockerSocket, method: 'POST', path, headers })
  req.end(text)
  const [res, socket] = (await once(req, 'upgrade')) as [{ statusCode: number }, Socket]
  assert.equal(res.statusCode, 101)
  return socket
}

const newExec = async (id: string, body: object): Promise<string> => {
  const { status, body: text } = await api('POST', `/containers/${id}/exec`, body)
  assert.equal(status, 201, text)
  return (JSON.parse(text) as { Id: string }).Id
}

test('exec without an upgrade: 200, frames until the end; the exit code after it', async () => {
  const id = await ok('run', '-d', 'busybox', 'sleep', '100')
  const exec = await newExec(id, { AttachStdout: true, AttachStderr: true, Cmd: ['sh', '-c', 'echo out; exit 6'] })
  const { status, type, bytes } = await startWithoutUpgrade(`/exec/${exec}/start`, { Detach: false, Tty: false })
  assert.deepEqual([status, type], [200, 'application/vnd.docker.multiplexed-stream'])
  assert.deepEqual(bytes, Buffer.from([1, 0, 0, 0, 0, 0, 0, 4, ...Buffer.from('out\n')]))
  const { body } = await api('GET', `/exec/${exec}/json`)
  assert.equal((JSON.parse(body) as { ExitCode: number }).ExitCode, 6)
})

test('exec with an upgrade: input, its end, output', async () => {
  const id = await ok('run', '-d', 'busybox', 'sleep', '100')
  const exec = await newExec(id, { AttachStdin: true, AttachStdout: true, Cmd: ['cat'] })
  const socket = await upgraded(`/exec/${exec}/start`, { Detach: false, Tty: false })
  socket.end('typed')
  const chunks = await socket.toArray()
  assert.equal(Buffer.concat(chunks as Buffer[]).toString(), '\u0001\0\0\0\0\0\0\u0005typed')
})

test('attach with its options repeated in a JSON body, before the start', async () => {
  const id = await ok('create', '-i', 'busybox', 'sh', '-c', 'read line; echo got $line')
  const socket = await upgraded(`/containers/${id}/attach?stream=1&stdin=true&stdout=true&stderr=true`, {
    stream: true,
    stdin: true,
    stdout: true,
  })
  assert.equal((await api('POST', `/containers/${id}/start`)).status, 204)
  socket.write('it\n')
  assert.match(Buffer.concat((await socket.toArray()) as Buffer[]).toString(), /got it\n$/)
})

test('filters as JSON lists in the query, auth as header, stats once', async () => {
  const id = await ok('run', '-d', '--label', 'which=this', 'busybox', 'sleep', '100')
  const filters = encodeURIComponent(JSON.stringify({ label: ['which=this'], status: ['running'] }))
  const list = JSON.parse((await api('GET', `/containers/json?all=true&filters=${filters}`)).body) as { Id: string }[]
  assert.deepEqual(
    list.map((c) => c.Id),
    [id],
  )
  const once = JSON.parse((await api('GET', `/containers/${id}/stats?stream=false&one-shot=true`)).body)
  assert.equal(once.preread, '0001-01-01T00:00:00Z')
  assert.ok(once.memory_stats.usage > 0)
  await ok('kill', id)
  const dead = JSON.parse((await api('GET', `/containers/${id}/stats?stream=false`)).body)
  assert.deepEqual([dead.read, dead.id], ['0001-01-01T00:00:00Z', id])
})

test('attach over WebSocket: logs, input, output unframed', async () => {
  const id = await ok('run', '-di', 'busybox', 'sh', '-c', 'echo before; cat')
  await until('the first line', async () => (await ok('logs', id)) === 'before')
  const path = `/v1.50/containers/${id}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1&logs=1`
  const socket = new WebSocket(`ws+unix://${dockerSocket}:${path}`)
  let text = ''
  socket.on('message', (data: Buffer, binary: boolean) => {
    assert.equal(binary, true)
    text += data.toString()
  })
  await once(socket, 'open')
  socket.send('typed\n')
  await until('the echo', async () => text === 'before\ntyped\n')
  const closed = once(socket, 'close')
  await ok('kill', id)
  await closed
  const missing = new WebSocket(`ws+unix://${dockerSocket}:/containers/nope/attach/ws?stream=1`)
  const [error] = (await once(missing, 'error')) as [Error]
  assert.match(error.message, /404/)
  assert.equal((await api('GET', `/containers/${id}/attach/ws?stream=1`)).status, 400)
})

/** As Ryuk: a connection says what to watch over; when the last one has gone, all of that is removed. */
const reaper = `
import { createServer } from 'node:net'
import { request } from 'node:http'
const call = (method, path) => new Promise((resolve, reject) => {
  const req = request({ socketPath: '/var/run/docker.sock', method, path }, (res) => {
    let text = ''
    res.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text && JSON.parse(text)))
  })
  req.on('error', reject).end()
})
createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (line) => {
    const label = new URLSearchParams(line.toString().trim()).getAll('label')
    const filters = 'filters=' + encodeURIComponent(JSON.stringify({ label }))
    socket.write('ACK\\n')
    socket.once('close', async () => {
      for (const c of await call('GET', '/v1.44/containers/json?all=1&' + filters))
        await call('DELETE', '/v1.44/containers/' + c.Id + '?force=1&v=1')
      await call('POST', '/v1.44/networks/prune?' + filters)
      await call('POST', '/v1.44/volumes/prune?' + 'filters=' + encodeURIComponent(JSON.stringify({ label, all: ['true'] })))
      process.exit(0)
    })
  })
}).listen(8080, () => console.log('Started!'))
`

test("Ryuk's pattern: a container with our socket removes what a dead client left", async () => {
  const script = join(docker.dir, 'reaper.mjs')
  writeFileSync(script, reaper)
  const host = ['/usr', '/lib', '/lib64'].flatMap((dir) => ['-v', `${dir}:${dir}:ro`])
  const label = ['--label', 'org.testcontainers.session=abc']
  const node = ['-v', `${process.execPath}:/node:ro`, '-v', `${script}:/reaper.mjs:ro`]
  await ok(
    ...['run', '-d', '--rm', '--name', 'ryuk', '-p', '127.0.0.1::8080', '--privileged', ...host, ...node],
    ...['-v', `${dockerSocket}:/var/run/docker.sock`, 'busybox', '/node', '/reaper.mjs'],
  )
  await until('the reaper', async () => (await ok('logs', 'ryuk')).includes('Started!'))
  const port = Number((await ok('port', 'ryuk', '8080')).split(':').at(-1))
  const client = connect(port, '127.0.0.1')
  client.write('label=org.testcontainers.session%3Dabc\n')
  assert.equal(String((await once(client, 'data'))[0]), 'ACK\n')
  await ok('network', 'create', ...label, 'left-net')
  await ok('volume', 'create', ...label, 'left-vol')
  await ok('run', '-d', ...label, '--network', 'left-net', '-v', 'left-vol:/v', 'busybox', 'sleep', '1000')
  await ok('run', '-d', '--name', 'mine', 'busybox', 'sleep', '1000')
  client.destroy()
  await until('everything to be gone', async () => (await ok('ps', '-a', '--format', '{{.Names}}')) === 'mine')
  assert.equal(await ok('network', 'ls', '-q', '--filter', 'type=custom'), '')
  assert.equal(await ok('volume', 'ls', '-q'), '')
})

test('outside a swarm, without plugins and checkpoints', async () => {
  const answers = async (method: string, path: string): Promise<string> => {
    const { status, body } = await api(method, path, method === 'POST' ? {} : undefined)
    return `${status} ${(JSON.parse(body) as { message?: string }).message?.slice(0, 32) ?? body.trim()}`
  }
  for (const [method, path] of [
    ['GET', '/swarm'],
    ['GET', '/services'],
    ['POST', '/services/create'],
    ['GET', '/services/x'],
    ['DELETE', '/services/x'],
    ['POST', '/nodes/x/update?version=1'],
    ['GET', '/tasks/x/logs'],
    ['POST', '/secrets/create'],
    ['GET', '/configs'],
    ['GET', '/swarm/unlockkey'],
  ] as const)
    assert.equal(await answers(method, path), '503 This node is not a swarm manager', `${method} ${path}`)
  assert.equal(await answers('POST', '/swarm/leave'), '503 This node is not part of a swarm')
  assert.match(await answers('POST', '/swarm/init'), /^501 swarm mode is not offered/)
  assert.equal(await answers('GET', '/plugins'), '200 []')
  assert.equal(await answers('GET', '/plugins/some/thing:latest/json'), '404 plugin "some/thing:latest" not f')
  assert.equal(await answers('DELETE', '/plugins/x'), '404 plugin "x" not found')
  assert.match(await answers('GET', '/containers/x/checkpoints'), /^501 This experimental feature/)
})

test('rm -f: one kill, and no stop; a limit of open files too low to start says so', async () => {
  const since = String(Date.now() / 1000)
  const id = await ok('run', '-d', '--name', 'gone', 'busybox', 'sleep', '100')
  await ok('rm', '-f', 'gone')
  const filter = ['--filter', `container=${id}`, '--filter', 'type=container']
  const events = await ok(
    'events',
    '--since',
    since,
    '--until',
    String(Date.now() / 1000),
    ...filter,
    '--format',
    '{{.Action}}',
  )
  assert.deepEqual(events.split('\n').slice(-4), ['start', 'kill', 'die', 'destroy'])
  assert.match(
    await docker.fails(125, 'run', '--ulimit', 'nofile=10:10', 'busybox', 'true'),
    /nofile=10: too many open/,
  )
})
