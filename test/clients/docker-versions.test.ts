/** What older versions of the API mean, and what clients of all ages count on: found with docker-py's and compose's own tests. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails, api } = docker
const { dockerSocket } = docker.instance

const json = async (method: string, path: string, body?: unknown) => {
  const answer = await api(method, path, body)
  assert.ok(answer.status < 400, `${method} ${path}: ${answer.status} ${answer.body}`)
  return answer.body === '' ? undefined : JSON.parse(answer.body)
}
const created = async (version: string, body: object): Promise<string> =>
  (await json('POST', `/${version}/containers/create`, { Image: 'busybox', Cmd: ['sleep', '100'], ...body })).Id
const refused = async (version: string, body: object): Promise<string> => {
  const answer = await api('POST', `/${version}/containers/create`, { Image: 'busybox', ...body })
  assert.equal(answer.status, 400, answer.body)
  return JSON.parse(answer.body).message
}

test('creation: what a version does not know is not heard, or refused', async () => {
  const both = { NetworkingConfig: { EndpointsConfig: { bridge: {}, other: {} } } }
  assert.match(await refused('v1.43', both), /multiple network endpoints: bridge, other$/)
  assert.match(
    await refused('v1.47', { HostConfig: { Mounts: [{ Type: 'image', Source: 'busybox', Target: '/i' }] } }),
    /Mount type "Image" needs API v1.48/,
  )
  const health = { Healthcheck: { Test: ['CMD', 'true'], StartInterval: 1_000_000_000 } }
  for (const [version, interval] of [
    ['v1.43', undefined],
    ['v1.44', 1_000_000_000],
  ] as const) {
    const id = await created(version, health)
    const seen = await json('GET', `/containers/${id}/json`)
    assert.equal(seen.Config.Healthcheck.StartInterval || undefined, interval, version)
  }
  const MacAddress = '02:42:ac:11:00:42'
  const old = await json('POST', '/v1.43/containers/create', { Image: 'busybox', Cmd: ['true'], MacAddress })
  const now = await json('POST', '/v1.44/containers/create', { Image: 'busybox', Cmd: ['true'], MacAddress })
  assert.deepEqual([old.Warnings.length, now.Warnings.length], [0, 1])
})

test('views: fields that came and went', async () => {
  const id = await created('v1.50', { HostConfig: { Annotations: { a: 'b' } } })
  const image = async (version: string) => json('GET', `/${version}/images/busybox/json`)
  const [v43, v44, v45, v50] = await Promise.all(['v1.43', 'v1.44', 'v1.45', 'v1.50'].map(image))
  assert.deepEqual([v43.VirtualSize > 0, 'VirtualSize' in v44], [true, false])
  assert.deepEqual(['ContainerConfig' in v44, 'ContainerConfig' in v45], [true, false])
  // Of 1.50 on what is an image's own, and no more.
  assert.deepEqual(
    [v45.Config.OnBuild, v50.Config.OnBuild, 'Tty' in v45.Config, 'Tty' in v50.Config],
    [null, null, true, false],
  )
  const listed = async (version: string) =>
    (await json('GET', `/${version}/containers/json?all=1`)).find((c: { Id: string }) => c.Id === id).HostConfig
  assert.deepEqual([(await listed('v1.45')).Annotations, (await listed('v1.46')).Annotations], [undefined, { a: 'b' }])
  const some = await json('GET', '/v1.42/system/df?type=volume')
  assert.deepEqual([some.Images, some.Volumes, (await json('GET', '/v1.41/system/df')).BuilderSize], [null, [], 0])
  await ok('volume', 'create', 'named')
  assert.equal((await json('POST', '/v1.42/volumes/prune')).VolumesDeleted, null)
  assert.deepEqual((await json('POST', '/v1.41/volumes/prune')).VolumesDeleted, ['named'])
})

const upgraded = async (path: string, body: object): Promise<Socket> => {
  const text = JSON.stringify(body)
  const headers = { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Type': 'application/json' }
  // Without a length it goes in chunks.
  const req = request({ socketPath: dockerSocket, method: 'POST', path, headers })
  req.end(text)
  const [, socket] = (await once(req, 'upgrade')) as [unknown, Socket]
  return socket
}

test('exec: framed as its start asks, left by the keys it was made with', async () => {
  const id = await ok('run', '-d', 'busybox', 'sleep', '100')
  const exec = async (body: object): Promise<string> => (await json('POST', `/containers/${id}/exec`, body)).Id
  const terminal = await exec({ AttachStdout: true, Tty: true, Cmd: ['echo', 'it'] })
  const framed = await upgraded(`/exec/${terminal}/start`, { Detach: false, Tty: false })
  assert.deepEqual(Buffer.concat(await framed.toArray()), Buffer.from('\x01\0\0\0\0\0\0\x04it\r\n'))
  const cat = await exec({ AttachStdin: true, AttachStdout: true, Tty: true, Cmd: ['cat'], DetachKeys: 'ctrl-a,x' })
  const socket = await upgraded(`/exec/${cat}/start`, { Tty: true })
  socket.write('\x01x')
  await once(socket.resume(), 'end')
  assert.equal((await json('GET', `/exec/${cat}/json`)).Running, true)
  const bad = await api('POST', `/containers/${id}/exec`, { Cmd: ['true'], DetachKeys: 'ctrl-nope' })
  assert.deepEqual([bad.status, JSON.parse(bad.body).message], [400, 'Invalid detach keys (ctrl-nope) provided'])
})

test('a wait ends where the program does, also when it is restarted; nothing given is the image', async () => {
  const id = await ok('create', '--restart', 'always', 'busybox', 'sh', '-c', 'sleep 1; exit 3')
  await ok('start', id)
  assert.equal((await json('POST', `/containers/${id}/wait`)).StatusCode, 3)
  assert.match(await fails(1, 'rm', id), /cannot remove container "\/.*": container is (restarting|running): stop the/)
  writeFileSync(join(docker.dir, 'Dockerfile'), 'FROM busybox\nCMD ["echo", "of the image"]\n')
  await ok('build', '-q', '-t', 'speaking', docker.dir)
  const empty = await created('v1.50', { Image: 'speaking', Cmd: [], Entrypoint: [] })
  await ok('start', empty)
  await until('its word', async () => (await ok('logs', empty)) === 'of the image')
})

test('classic builds: on a network of choice, with hosts, errors in red; loads that fail say so in their stream', async () => {
  await ok('network', 'create', 'building')
  await ok('run', '-d', '--name', 'peer', '--network', 'building', 'busybox', 'sleep', '100')
  const file = 'FROM busybox\nRUN nslookup peer && grep one /etc/hosts && grep two /etc/hosts && echo red >&2\n'
  writeFileSync(join(docker.dir, 'Dockerfile'), file)
  const hosts = ['--add-host', 'one:1.1.1.1', '--add-host', 'two:2.2.2.2']
  const build = ['build', '--network', 'building', ...hosts, docker.dir]
  const ran = await docker.run(build, { env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' } })
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  assert.ok(ran.stdout.includes('\x1b[91mred\n\x1b[0m'))
  await ok('rm', '-f', 'peer')
  await ok('network', 'rm', 'building')
  const load = await api('POST', '/images/load', { not: 'an archive' })
  assert.equal(load.status, 200)
  assert.ok(JSON.parse(load.body).errorDetail.message)
})
