/** `slipway image …` does what docker's image commands do, without docker's client. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startDocker } from './docker-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const docker = startDocker()
const launcher = fileURLToPath(new URL('../../slipway', import.meta.url))
let registry: Registry
before(async () => {
  registry = await startRegistry(docker.dir, { password: 'secret' })
})
after(() => {
  registry?.stop()
  docker.stop()
})

const run = (args: string[], input: string | Buffer = ''): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(launcher, ['image', ...args], { env: docker.instance.env, cwd: docker.dir })
    const [out, err]: Buffer[][] = [[], []]
    child.stdout.on('data', (chunk: Buffer) => out!.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err!.push(chunk))
    child.stdin.on('error', () => {}) // it may not read
    child.stdin.end(input)
    child.once('error', reject)
    child.once('close', (code) =>
      resolve({ code: code ?? -1, out: Buffer.concat(out!).toString('latin1'), err: Buffer.concat(err!).toString() }),
    )
  })
const ok = async (...args: string[]): Promise<string> => {
  const { code, out, err } = await run(args)
  assert.equal(code, 0, err)
  return out.trimEnd()
}

/** A command that is not of the family. */
const text = async (args: string[]): Promise<string> =>
  execFileSync(launcher, args, { env: docker.instance.env, encoding: 'utf8' }).trimEnd()

test('log in, tag, push, remove, pull, log out', async () => {
  const { host } = registry
  const name = `${host}/cli/b:1`
  await ok('tag', 'busybox', name)
  const denied = await run(['push', name])
  assert.equal(denied.code, 1)
  assert.match(denied.err, /denied: requested access/)
  const wrong = await run(['login', '-u', 'user', '--password-stdin', host], 'wrong')
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /failed with status: 401 Unauthorized/)
  const config = join(docker.instance.env.DOCKER_CONFIG!, 'config.json')
  assert.ok(!existsSync(config) || !readFileSync(config, 'utf8').includes(host))
  const logged = await run(['login', '-u', 'user', '--password-stdin', `http://${host}/v2/`], 'secret\n')
  assert.equal(logged.out, 'Login Succeeded\n')
  assert.match(logged.err, /unencrypted/)
  const pushed = await ok('push', name)
  assert.match(
    pushed,
    /^The push refers to repository .*\n(.*: Preparing\n)+(.*: Pushed\n)+1: digest: sha256:\w{64} size: \d+$/,
  )
  assert.match(await ok('rm', name), /^Untagged: .*\nUntagged: .*@sha256:/)
  assert.match(await ok('pull', name), /^1: Pulling from cli\/b\n[\s\S]*\nStatus: .*\n127[^\n]*$/)
  assert.equal(await ok('pull', '-q', name), name)
  const theirs = await docker.ok('manifest', 'inspect', '--insecure', name)
  assert.equal(await text(['manifest', 'inspect', name]), theirs)
  assert.equal(await ok('push', '-q', name), name)
  // The same credentials are docker's.
  assert.equal((await docker.run(['pull', name])).code, 0)
  assert.equal(await ok('logout', host), `Removing login credentials for ${host}`)
  assert.match((await run(['pull', name])).err, /pull access denied/)
})

test('ls, inspect, history, tag, rm, prune', async () => {
  const [titles, ...rows] = (await ok('ls', '--digests')).split('\n')
  assert.match(titles!, /^REPOSITORY +TAG +DIGEST +IMAGE ID +CREATED +SIZE$/)
  assert.ok(
    rows.some((row) => /^busybox +latest +<none> +[0-9a-f]{12} +\S.* ago +[\d.]+MB$/.test(row)),
    rows.join('\n'),
  )
  const id = (await ok('ls', '-q', '--no-trunc', 'busybox')).split('\n')[0]!
  assert.equal(id, await docker.ok('image', 'inspect', '-f', '{{.Id}}', 'busybox'))
  assert.equal(JSON.parse(await ok('inspect', 'busybox'))[0].Id, id)
  assert.match(
    await ok('history', 'busybox'),
    /^IMAGE +CREATED +CREATED BY +SIZE +COMMENT\n[0-9a-f]{12} .* Imported from -$/,
  )
  await ok('tag', 'busybox', 'localhost:5000/deep/name:x_1')
  assert.equal(await ok('rm', 'localhost:5000/deep/name:x_1'), 'Untagged: localhost:5000/deep/name:x_1')
  const missing = await run(['rm', 'nosuch', 'nosuch2'])
  assert.equal(missing.code, 1)
  assert.equal(
    missing.err,
    'Error response from daemon: No such image: nosuch:latest\nError response from daemon: No such image: nosuch2:latest\n',
  )
  assert.equal((await run(['rm', '-f', 'nosuch'])).code, 0)
  assert.equal((await run(['inspect', 'nosuch'])).code, 1)
  await ok('import', 'rest.tar').then(assert.fail, () => {})
  writeFileSync(join(docker.dir, 'rest.tar'), readFileSync(join(docker.dir, 'busybox.tar')))
  const made = await ok('import', '-m', 'said', '-c', 'ENV A=b', '-c', 'LABEL keep=1', 'rest.tar')
  assert.match(made, /^sha256:\w{64}$/)
  assert.match(await ok('prune', '-f', '--filter', 'label!=keep'), /^Total reclaimed space: 0B$/)
  const pruned = await ok('prune', '-f')
  assert.match(pruned, new RegExp(`^Deleted Images:\ndeleted: ${made}\n\nTotal reclaimed space: `))
})

test('save and load by file and by pipe; import by address', async () => {
  const archive = join(docker.dir, 'cli.tar')
  await ok('tag', 'busybox', 'cli:1')
  await ok('save', '-o', 'cli.tar', 'cli:1')
  const piped = await run(['save', 'cli:1'])
  assert.equal(piped.out, readFileSync(archive, 'latin1'))
  await ok('rm', 'cli:1')
  assert.equal(await ok('load', '-i', archive), 'Loaded image: cli:1')
  assert.equal((await run(['load'], readFileSync(archive))).out, 'Loaded image: cli:1\n')
  assert.equal((await run(['load'], 'junk')).code, 1)
  assert.match((await run(['load', '-i', 'nosuch.tar'])).err, /nosuch\.tar: no such file/)
  assert.match((await run(['save', '-o', 'x.tar', 'nosuch'])).err, /No such image: nosuch:latest/)
  assert.deepEqual(
    readdirSync(docker.dir).filter((name) => name.startsWith('x.tar')),
    [],
  )
  execFileSync('mknod', [join(docker.dir, 'device'), 'c', '1', '3'])
  assert.match(
    (await run(['save', '-o', 'device', 'cli:1'])).err,
    /^failed to save image: invalid output path: "device" must be a directory or a regular file: got a device\n$/,
  )
  assert.ok(lstatSync(join(docker.dir, 'device')).isCharacterDevice())
  const server = createServer((request, response) => {
    if (request.url === '/root.tar') response.end(readFileSync(join(docker.dir, 'busybox.tar')))
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    assert.match(await ok('import', `${base}/root.tar`, 'by:address'), /^Downloading from .*\nsha256:\w{64}$/)
    assert.match(await docker.ok('import', `${base}/root.tar`, 'by:docker'), /sha256:\w{64}/)
    assert.match((await run(['import', `${base}/none`])).err, /failed to GET .*\/none with status 404 Not Found/)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('what is typed wrong is said', async () => {
  assert.match((await run(['puhl'])).err, /unknown command: slipway image puhl/)
  assert.match((await run(['pull'])).err, /'slipway image pull' requires 1 argument\n/)
  assert.match((await run(['tag', 'a'])).err, /'slipway image tag' requires 2 arguments\n/)
  const digested = await run(['tag', 'busybox', `t@sha256:${'a'.repeat(64)}`])
  assert.equal(`${digested.code} ${digested.err}`, '1 refusing to create a tag with a digest reference\n')
  assert.match((await run(['ls', '--nosuch'])).err, /unknown flag: --nosuch/)
  assert.match((await run(['ls', '--filter', 'x'])).err, /bad format of filter \(expected name=value\)/)
  assert.match((await run(['bootstrap', 'alpine'])).err, /cannot build alpine:latest from a package archive/)
  assert.match((await run(['--help'])).out, /bootstrap +Make a base image/)
})
