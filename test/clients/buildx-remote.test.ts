/** Contexts and Dockerfiles that are no directory of the client: at an address, on its standard input; and options of steps. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx()
const { ok, run, project, dir } = buildx
const served = new Map<string, Buffer>()
const server = createServer((req, res) => {
  const body = served.get(req.url ?? '')
  res.writeHead(body ? 200 : 404).end(body)
})
let url = ''
after(() => {
  server.close()
  buildx.stop()
})

before(async () => {
  await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await ok(['buildx', 'build', '-t', 'base', project('base', { Dockerfile: shell })])
  const context = project('context', {
    Dockerfile: 'FROM base\nCOPY data /data\n',
    'other/Second': 'FROM base\nCOPY data /second\n',
    data: 'from afar\n',
  })
  for (const [name, how] of [
    ['plain.tar', ''],
    ['packed.tgz', 'z'],
    ['packed.txz', 'J'],
  ]) {
    execFileSync('tar', [`-c${how}f`, join(dir, name!), '-C', context, 'Dockerfile', 'other', 'data'])
    served.set(`/${name}`, readFileSync(join(dir, name!)))
  }
  served.set('/Dockerfile', Buffer.from('FROM base\nRUN echo from an address > /data\n'))
})

const says = async (image: string, path: string): Promise<string> =>
  (await ok(['run', '--rm', image, 'cat', path])).stdout

test('a context at an address: archives of all kinds, or the Dockerfile alone', async () => {
  const classic = { env: { DOCKER_BUILDKIT: '0' } }
  for (const name of ['plain.tar', 'packed.tgz', 'packed.txz']) {
    await ok(['buildx', 'build', '-t', 'afar', `${url}/${name}`])
    assert.equal(await says('afar', '/data'), 'from afar\n')
  }
  await ok(['buildx', 'build', '-t', 'second', '-f', 'other/Second', `${url}/plain.tar`])
  assert.equal(await says('second', '/second'), 'from afar\n')
  for (const options of [{}, classic]) {
    await ok(['build', '--no-cache', '-t', 'alone', `${url}/Dockerfile`], options)
    assert.equal(await says('alone', '/data'), 'from an address\n')
  }
  await ok(['build', '--no-cache', '-t', 'afar', `${url}/plain.tar`], classic)
  assert.equal((await run(['buildx', 'build', `${url}/missing.tar`])).code, 1)
})

test('a Dockerfile at an address, contexts on standard input', async () => {
  const here = project('here', { data: 'from here\n' })
  served.set('/remote', Buffer.from('FROM base\nCOPY data /data\n'))
  await ok(['buildx', 'build', '-t', 'remote', '-f', `${url}/remote`, here])
  assert.equal(await says('remote', '/data'), 'from here\n')

  await ok(['buildx', 'build', '-t', 'stdin', '-'], { input: readFileSync(join(dir, 'packed.tgz')) })
  assert.equal(await says('stdin', '/data'), 'from afar\n')
  await ok(['buildx', 'build', '-t', 'stdin', '-f', 'other/Second', '-'], {
    input: readFileSync(join(dir, 'plain.tar')),
  })
  assert.equal(await says('stdin', '/second'), 'from afar\n')
  await ok(['buildx', 'build', '-t', 'stdin', '-'], { input: 'FROM base\nRUN echo typed > /typed\n' })
  assert.equal(await says('stdin', '/typed'), 'typed\n')
  await ok(['buildx', 'build', '-t', 'stdin', '-f', '-', here], { input: 'FROM base\nCOPY data /piped\n' })
  assert.equal(await says('stdin', '/piped'), 'from here\n')
})

test('named contexts at addresses; ADD with a checksum, unpacked or not', async () => {
  const sum = `sha256:${createHash('sha256').update(served.get('/packed.tgz')!).digest('hex')}`
  const add = project('add', {
    Dockerfile: `FROM base
COPY --from=more data /named
ADD --checksum=${sum} ${url}/packed.tgz /as-it-is/
ADD --unpack=true --checksum=${sum} ${url}/packed.tgz /unpacked/
`,
  })
  await ok(['buildx', 'build', '-t', 'add', '--build-context', `more=${url}/plain.tar`, add])
  assert.equal(await says('add', '/named'), 'from afar\n')
  assert.equal(await says('add', '/unpacked/data'), 'from afar\n')
  assert.match((await ok(['run', '--rm', 'add', 'ls', '/as-it-is'])).stdout, /^packed.tgz$/m)
  const wrong = project('wrong', {
    Dockerfile: `FROM base\nADD --checksum=sha256:${'0'.repeat(64)} ${url}/plain.tar /\n`,
  })
  assert.match((await run(['buildx', 'build', wrong])).all, /digest mismatch sha256:\w+: sha256:0000/)
})

test('what steps see: host name, hosts, limits, shared memory, network, cgroup', async () => {
  const options = project('options', {
    Dockerfile: `FROM base
RUN hostname; grep seven /etc/hosts; ulimit -n; df -k /dev/shm | tail -1; cat /proc/self/cgroup; ls /sys/class/net
`,
  })
  const flags = [
    ...['--add-host', 'seven:10.7.7.7', '--ulimit', 'nofile=512:1024', '--shm-size', '8m'],
    ...['--network', 'none', '--cgroup-parent', '/slipway-of-a-test'],
  ]
  const name = ['--build-arg', 'BUILDKIT_SANDBOX_HOSTNAME=named']
  const { all } = await ok(['buildx', 'build', '--no-cache', ...flags, ...name, options])
  assert.match(all, / named$/m)
  assert.match(all, /10\.7\.7\.7\s+seven/)
  assert.match(all, / 512$/m)
  assert.match(all, / 8192 /)
  assert.match(all, /\/slipway-of-a-test\/step-/)
  assert.doesNotMatch(all, /eth0/)
})
