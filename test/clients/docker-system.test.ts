/** What is about the engine as a whole, and how its answers come: events, version, df, prune, headers sent at once, pods. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { createConnection } from 'node:net'
import { after, afterEach, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails } = docker
const { dockerSocket, kubeSocket } = docker.instance

/** The headers of an answer that has no end of its own. */
const headersOf = async (method: string, path: string): Promise<number> => {
  const req = request({ socketPath: dockerSocket, method, path })
  req.end()
  const [res] = await once(req, 'response')
  res.on('error', () => {})
  req.destroy()
  return res.statusCode
}

test('headers of wait, events, and followed logs are sent before there is anything to say', async () => {
  const id = await ok('create', 'busybox', 'sleep', '100')
  // Nothing of what they tell of ever happens.
  for (const [method, path] of [
    ['POST', `/v1.50/containers/${id}/wait?condition=next-exit`],
    ['GET', '/v1.50/events'],
    ['GET', `/v1.50/containers/${id}/logs?follow=1&stdout=1`],
  ] as const)
    assert.equal(await headersOf(method, path), 200, path)
})

test('versions in the path: old and new enough, too new, too old', async () => {
  const { status, res } = await docker.api('GET', '/_ping')
  assert.deepEqual([status, res.headers['api-version'], res.headers.ostype], [200, '1.50', 'linux'])
  assert.equal((await docker.api('GET', '/v1.24/containers/json')).status, 200)
  const tooNew = await docker.api('GET', '/v1.99/info')
  assert.deepEqual(
    [tooNew.status, JSON.parse(tooNew.body).message],
    [400, 'client version 1.99 is too new. Maximum supported API version is 1.50'],
  )
  assert.equal((await docker.api('GET', '/v1.11/info')).status, 400)
  assert.deepEqual(JSON.parse((await docker.api('GET', '/nosuch')).body), { message: 'page not found' })
})

test('attach by hand: 101, frames, and the half-closed connection carries the end of stdin', async () => {
  const { body } = await docker.api('POST', '/v1.50/containers/create', {
    Image: 'busybox',
    Cmd: ['cat'],
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
  })
  const { Id } = JSON.parse(body)
  const req = request({
    socketPath: dockerSocket,
    method: 'POST',
    path: `/v1.50/containers/${Id}/attach?stream=1&stdin=1&stdout=1&stderr=1`,
    headers: { Connection: 'Upgrade', Upgrade: 'tcp' },
  })
  req.end()
  const [res, socket] = await once(req, 'upgrade')
  assert.deepEqual([res.statusCode, res.headers['content-type']], [101, 'application/vnd.docker.multiplexed-stream'])
  await docker.api('POST', `/v1.50/containers/${Id}/start`)
  socket.end('through')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const all = Buffer.concat(chunks)
  assert.deepEqual([all[0], all.readUInt32BE(4), all.subarray(8).toString()], [1, 7, 'through'])
  assert.equal(JSON.parse((await docker.api('POST', `/v1.50/containers/${Id}/wait`)).body).StatusCode, 0)
})

test('input reaches a program also where the body of the request came after its head', async () => {
  await ok('run', '-d', '--name', 'late', 'busybox', 'sleep', '100')
  const exec = { Cmd: ['cat'], AttachStdin: true, AttachStdout: true, Tty: true }
  const { Id } = JSON.parse((await docker.api('POST', '/v1.50/containers/late/exec', exec)).body)
  const socket = createConnection(dockerSocket)
  const body = JSON.stringify({ Tty: true })
  socket.write(
    `POST /v1.50/exec/${Id}/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
  )
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  await new Promise((go) => setTimeout(go, 100))
  socket.write(body)
  await until('the answer', async () => heard.startsWith('HTTP/1.1 101 '))
  socket.write('typed\n')
  await until('the echo', async () => heard.includes('typed\r\ntyped\r\n'))
  socket.destroy()
})

test('events: past and live, filtered', async () => {
  const since = String(Date.now() / 1000)
  const live = docker.start('events', '--format', '{{.Type}} {{.Action}}', '--filter', 'container=seen')
  let heard = ''
  live.stdout!.on('data', (chunk) => {
    heard += chunk
  })
  await ok('run', '--rm', '--name', 'early', 'busybox', 'true')
  await until('the listener', async () => {
    await ok('run', '--name', 'seen', 'busybox', 'true')
    await ok('rm', 'seen')
    return heard.includes('container destroy')
  })
  live.kill()
  for (const action of ['create', 'start', 'die', 'destroy'])
    assert.match(heard, new RegExp(`^container ${action}$`, 'm'))
  await ok('volume', 'create', 'ev')
  await ok('volume', 'rm', 'ev')
  await ok('tag', 'busybox', 'ev')
  await ok('rmi', 'ev')
  const past = (
    await ok('events', '--since', since, '--until', String(Date.now() / 1000), '--format', '{{.Type}} {{.Action}}')
  ).split('\n')
  for (const event of [
    'container create',
    'network connect',
    'network disconnect',
    'volume create',
    'volume destroy',
    'image tag',
    'image untag',
  ])
    assert.ok(past.includes(event), `${event} in ${past}`)
})

test('version, info, df, prune, and what there is none of', async () => {
  assert.equal(await ok('version', '--format', '{{.Server.APIVersion}} {{.Server.Os}}'), '1.50 linux')
  assert.equal(
    await ok('info', '--format', '{{.Driver}} {{.LoggingDriver}} {{.Swarm.LocalNodeState}} {{.Images}}'),
    'overlay2 json-file inactive 1',
  )
  await ok('run', '--name', 'gone', 'busybox', 'sh', '-c', 'echo x > /x')
  await ok('network', 'create', 'unused')
  assert.match(await ok('system', 'df'), /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +1 +1 /)
  const pruned = await ok('system', 'prune', '-f')
  assert.match(pruned, /Deleted Containers:\n[0-9a-f]{64}\n/)
  assert.match(pruned, /Deleted Networks:\nunused\n/)
  assert.equal(await ok('images', '-q'), (await ok('inspect', '-f', '{{.Id}}', 'busybox')).slice(7, 19))
  assert.match(await fails(1, 'service', 'ls'), /This node is not a swarm manager/)
  assert.equal((await docker.run(['swarm', 'init', '--advertise-addr', '127.0.0.1'])).code, 1)
})

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: 'busybox:latest',
        imagePullPolicy: 'Never',
        command: ['sh', '-c', 'echo from the pod; sleep 1000'],
      },
    ],
  },
}
const kube = (method: string, path: string, body?: unknown): Promise<number> =>
  new Promise((resolve, reject) => {
    const req = request(
      { socketPath: kubeSocket, method, path, headers: { 'Content-Type': 'application/json' } },
      (res) => {
        res.resume()
        res.on('end', () => resolve(res.statusCode!))
      },
    )
    req.on('error', reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })

test("the cluster's pods are containers like others: ps, logs, exec, inspect, top, cp, stats", async () => {
  const path = '/api/v1/namespaces/default/pods'
  await until(
    'the service account',
    async () => (await kube('GET', '/api/v1/namespaces/default/serviceaccounts/default')) === 200,
  )
  assert.equal(await kube('POST', path, pod), 201)
  const name = await until(
    'the container',
    async () => await ok('ps', '--format', '{{.Names}}', '--filter', 'label=io.kubernetes.pod.name=web'),
  )
  assert.match(name, /^k8s_main_web_default_[0-9a-f-]{36}_0$/)
  await until('its output', async () => (await ok('logs', name)) === 'from the pod')
  assert.equal(await ok('exec', name, 'hostname'), 'web')
  assert.equal((await docker.run(['exec', '-i', name, 'cat'], { input: 'in' })).stdout, 'in')
  assert.equal(await ok('inspect', '-f', '{{.Config.Hostname}} {{.State.Status}}', name), 'web running')
  assert.match(await ok('top', name), /sleep 1000/)
  assert.match(await ok('stats', '--no-stream', '--format', '{{.Name}}', name), /^k8s_main/)
  assert.equal((await docker.run(['cp', `${name}:/etc/passwd`, '-'])).code, 0)
  assert.equal(await ok('network', 'ls', '-q', '--filter', 'name=slipway'), '')
  // What docker ends, the cluster starts again.
  await ok('kill', name)
  await until('the next one', async () => (await ok('ps', '--format', '{{.Names}}')).endsWith('_1'), 20_000)
  assert.equal(await ok('container', 'prune', '-f'), 'Total reclaimed space: 0B')
  assert.equal(await kube('DELETE', `${path}/web`), 200)
  await until('the end of the pod', async () => (await ok('ps', '-aq')) === '', 20_000)
})
