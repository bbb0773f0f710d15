/** Credentials for base images come over the session; --push sends the result to a registry. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { shell, startBuildx } from './buildx-kit.ts'
import { freePort } from '../root/instance.ts'

const buildx = startBuildx()
let registry: ChildProcess | undefined
let host = ''
after(() => {
  registry?.kill()
  buildx.stop()
})
const { ok, run, project } = buildx

/** "user" with the password "secret", by bcrypt. */
const password = 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n'

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })

before(async () => {
  const port = await freePort()
  host = `127.0.0.1:${port}`
  mkdirSync(join(buildx.dir, 'registry'))
  writeFileSync(join(buildx.dir, 'htpasswd'), password)
  const config = join(buildx.dir, 'registry.yml')
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(buildx.dir, 'registry')}}}\nhttp: {addr: "${host}"}\nauth: {htpasswd: {realm: test, path: ${join(buildx.dir, 'htpasswd')}}}\n`,
  )
  registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  registry.once('error', (error) => assert.fail(`docker-registry does not run: ${error.message}`))
  for (let i = 0; !(await answers(port)); i++) {
    assert.ok(i < 100, 'docker-registry does not come up')
    await sleep(100)
  }
})

test('--push, and a base that only credentials give', async () => {
  const dir = project('base', { Dockerfile: shell })
  const refused = await run(['buildx', 'build', '--push', '-t', `${host}/base:1`, dir])
  assert.equal(refused.code, 1)
  assert.match(refused.all, /denied|unauthorized/)

  await ok(['login', '-u', 'user', '--password-stdin', host], { input: 'secret' })
  await ok(['buildx', 'build', '--push', '-t', `${host}/base:1`, dir])
  await ok(['rmi', `${host}/base:1`])

  const onIt = project('on', { Dockerfile: `FROM ${host}/base:1\nRUN echo built on it\n` })
  const { all } = await ok(['buildx', 'build', onIt])
  assert.match(all, new RegExp(`load metadata for ${host}/base:1`))
  assert.match(all, /\d built on it/)

  await ok(['logout', host])
  await ok(['buildx', 'prune', '-af'])
  const without = await run(['buildx', 'build', '--pull', onIt])
  assert.equal(without.code, 1)
  assert.match(without.all, /denied|unauthorized/)
})

test('registry.insecure: a registry elsewhere is spoken to by http; without, by nothing but https', async () => {
  const dir = project('insecure', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
  const { stdout } = await ok(['network', 'inspect', 'bridge', '--format', '{{(index .IPAM.Config 0).Gateway}}'])
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(403).end()
  })
  try {
    await new Promise<void>((listening) => server.listen(0, stdout.trim(), listening))
    const { port } = server.address() as { port: number }
    const name = `name=${stdout.trim()}:${port}/team/app:1,push=true`
    assert.equal((await run(['buildx', 'build', '-o', `type=image,${name}`, dir])).code, 1)
    assert.deepEqual(asked, [])
    assert.equal((await run(['buildx', 'build', '-o', `type=image,registry.insecure=true,${name}`, dir])).code, 1)
    assert.match(asked[0] ?? 'nothing', /\/v2\/team\/app\/blobs\//)
  } finally {
    server.close()
  }
})
