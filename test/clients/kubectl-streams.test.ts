import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { type KubeSetup, kubeSetup } from './kube-setup.ts'
import { type Kubectl, kubectl, kubectls } from './kubectl-run.ts'

const setup: KubeSetup = await kubeSetup()
after(() => setup.close())
before(async () => {
  await setup.runningPod('one')
  await setup.runningPod('two', ['a', 'b'])
  await setup.runningPod('marked', ['a', 'b'], { 'kubectl.kubernetes.io/default-container': 'b' })
})

const clients = kubectls().map(({ name, path }) => ({ name, run: kubectl(path, setup.kubeconfig, setup.directory) }))

const streamTests = (run: Kubectl): void => {
  test('exec: output, errors, exit code, input', async () => {
    assert.equal(await run.ok('exec', 'one', '--', 'echo', 'hello'), 'hello\n')
    const failed = await run('exec', 'one', '--', 'sh', '-c', 'echo oops >&2; exit 7')
    assert.equal(failed.code, 7)
    assert.match(failed.stderr, /oops\n[\s\S]*command terminated with exit code 7/)
    const echoed = await run.input('typed in', 'exec', '-i', 'one', '--', 'cat')
    assert.equal(echoed.stdout, 'typed in')
    assert.equal(echoed.code, 0)
  })
  test('exec: much data in and out', async () => {
    const data = randomBytes(3_000_000).toString('base64')
    const { stdout, code, stderr } = await run.input(data, 'exec', '-i', 'one', '--', 'cat')
    assert.equal(code, 0, stderr)
    assert.equal(stdout.length, data.length)
    assert.ok(stdout === data)
  })
  test('exec: what cannot be', async () => {
    assert.match((await run('exec', 'none', '--', 'true')).stderr, /pods "none" not found/)
    assert.match(
      (await run('exec', 'one', '-c', 'x', '--', 'true')).stderr,
      /container x is not valid for pod one|container x not found/,
    )
    const missing = await run('exec', 'one', '--', '/no/such/program')
    assert.notEqual(missing.code, 0)
    assert.match(missing.stderr, /executable file not found/)
  })
  test('exec: the container is the annotated one, or the first', async () => {
    setup.node.calls.length = 0
    await run.ok('exec', 'marked', '--', 'true')
    await run.ok('exec', 'two', '--', 'true')
    await run.ok('exec', 'two', '-c', 'b', '--', 'true')
    assert.deepEqual(
      setup.node.calls.filter((c) => c.startsWith('exec')),
      ['exec marked/b true', 'exec two/a true', 'exec two/b true'],
    )
  })
  test('exec with a terminal: one stream, and its size', async () => {
    setup.node.sizes.length = 0
    const path = run.path
    const command = `stty rows 33 cols 99; exec ${path} exec -it one -- sh -c 'sleep 0.3; echo on a tty'`
    const typed = spawn('script', ['-qec', command, '/dev/null'], { env: run.env, stdio: 'pipe' })
    assert.match((await buffer(typed.stdout)).toString(), /on a tty/)
    assert.deepEqual(setup.node.sizes[0], { width: 99, height: 33 })
  })
  test('attach carries input and output', async () => {
    const { stdout, code, stderr } = await run.input('round trip\n', 'attach', '-i', 'one')
    assert.equal(code, 0, stderr)
    assert.match(stdout, /round trip/)
  })
  test('cp in and out', async () => {
    const folder = join(setup.directory, `cp-${randomBytes(3).toString('hex')}`)
    mkdirSync(folder)
    writeFileSync(join(folder, 'in'), randomBytes(200_000))
    await run.ok('cp', join(folder, 'in'), `one:${folder}/there`)
    await run.ok('cp', `one:${folder}/there`, join(folder, 'back'))
    assert.ok(readFileSync(join(folder, 'in')).equals(readFileSync(join(folder, 'back'))))
  })
  test('logs, tail, follow, and which container', async () => {
    assert.equal((await run.ok('logs', 'one')).split('\n').length, 11)
    assert.equal(await run.ok('logs', 'one', '--tail=2'), 'line 9\nline 10\n')
    const follow = run.start('logs', '-f', '--tail=1', 'one')
    const [first] = (await once(follow.stdout!, 'data')) as [Buffer]
    assert.equal(first.toString().split('\n')[0], 'line 10')
    assert.equal((await buffer(follow.stdout!)).toString().includes('tick 2'), true)
    assert.match((await run('logs', 'none')).stderr, /pods "none" not found/)
    assert.match(await run.ok('logs', 'two', '--all-containers', '--prefix', '--tail=1'), /\[pod\/two\/b\] line 10/)
  })
  test('port-forward: many connections, and a port nobody listens on', async () => {
    const server = createServer((request, response) => {
      request.resume()
      response.end(`served ${request.url}`)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const closed = createTcpServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const unused = (closed.address() as AddressInfo).port
    closed.close()
    const child = run.start('port-forward', 'pod/one', `:${port}`, `:${unused}`)
    try {
      let said = ''
      child.stdout!.on('data', (chunk: Buffer) => {
        said += chunk.toString()
      })
      let complained = ''
      child.stderr!.on('data', (chunk: Buffer) => {
        complained += chunk.toString()
      })
      const local = async (remote: number): Promise<number> => {
        for (let i = 0; i < 100; i++) {
          const match = new RegExp(`127.0.0.1:(\\d+) -> ${remote}`).exec(said)
          if (match) return Number(match[1])
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
        throw new Error(`port-forward said: ${said} ${complained}`)
      }
      const at = await local(port)
      const answers = await Promise.all(
        [1, 2, 3, 4].map(async (i) => (await fetch(`http://127.0.0.1:${at}/${i}`)).text()),
      )
      assert.deepEqual(answers, ['served /1', 'served /2', 'served /3', 'served /4'])
      // A port that speaks and closes first: the client sees the end, and the forward lives on.
      const brief = createTcpServer((socket) => socket.end('bye')).listen(0, '127.0.0.1')
      await once(brief, 'listening')
      const other = run.start('port-forward', 'pod/one', `:${(brief.address() as AddressInfo).port}`)
      let complaints = ''
      other.stderr!.on('data', (chunk: Buffer) => {
        complaints += chunk.toString()
      })
      try {
        const [line] = (await once(other.stdout!, 'data')) as [Buffer]
        const briefPort = Number(/127.0.0.1:(\d+) ->/.exec(line.toString())![1])
        for (let i = 0; i < 3; i++) {
          const told = await buffer(connect(briefPort, '127.0.0.1'))
          assert.equal(told.toString(), 'bye')
        }
        assert.equal(complaints, '')
      } finally {
        other.kill('SIGKILL')
        brief.close()
      }
      const dead = connect(await local(unused), '127.0.0.1')
      dead.on('error', () => {})
      await once(dead, 'close')
      for (let i = 0; i < 40 && !complained.includes('forwarding'); i++) await new Promise((r) => setTimeout(r, 50))
      assert.match(complained, /an error occurred forwarding .*ECONNREFUSED/)
    } finally {
      child.kill('SIGKILL')
      server.close()
      server.closeAllConnections()
    }
  })
}

test('port-forward over plain channels, as client libraries without SPDY do it', async () => {
  const server = createTcpServer((socket) => socket.end('from the port')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.once('connection', () => server.close())
  const { ca, adminCert: cert, adminKey: key } = setup.certificates
  const url = `${setup.url.replace('https', 'wss')}/api/v1/namespaces/default/pods/one/portforward?ports=${port}&ports=1`
  const socket = new WebSocket(url, ['v4.channel.k8s.io'], { ca, cert, key })
  const channels = ['', '', '', '']
  socket.on('message', (message: Buffer) => {
    channels[message[0]!] += message.subarray(1).toString('latin1')
  })
  await once(socket, 'close')
  const announced = String.fromCharCode(port & 0xff, port >> 8)
  assert.equal(channels[0], `${announced}from the port`)
  assert.equal(channels[1], announced)
  assert.match(channels[3]!, /error forwarding port 1 to pod: .*ECONNREFUSED/)
})

for (const { name, run } of clients) describe(`${name}: streams`, () => streamTests(run))
