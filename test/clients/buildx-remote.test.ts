/** Contexts and Dockerfiles that are no directory of the client: at an address, on its standard input; and options of steps. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { buildkitClient, type Solve } from './buildkit-client.ts'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx()
const { ok, run, start, project, dir, instance } = buildx
const served = new Map<string, Buffer>()
const modified = new Map<string, string>()
const server = createServer((req, res) => {
  const body = served.get(req.url ?? '')
  const time = modified.get(req.url ?? '')
  res.writeHead(body ? 200 : 404, time === undefined ? {} : { 'last-modified': time }).end(body)
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

test('SOURCE_DATE_EPOCH of what comes from an address: what the server says, else the newest file of an archive', async () => {
  const source = project('epoch-source', {
    Dockerfile: 'FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo ${SOURCE_DATE_EPOCH-none} > /epoch\n',
  })
  const archive = join(dir, 'epoch.tar')
  execFileSync('tar', ['-cf', archive, '--mtime=@1600000000', '-C', source, 'Dockerfile'])
  execFileSync('tar', ['-rf', archive, '--mtime=@1500000000', '-C', source, 'busybox'])
  served.set('/epoch.tar', readFileSync(archive))
  served.set('/dated.tar', readFileSync(archive))
  modified.set('/dated.tar', new Date(1_650_000_000_000).toUTCString())
  const epoch = async (value: string, ...args: string[]): Promise<string> => {
    await ok(['buildx', 'build', '-t', 'epoch', '--build-arg', `SOURCE_DATE_EPOCH=${value}`, ...args])
    return (await says('epoch', '/epoch')).trim()
  }
  assert.equal(await epoch('context', `${url}/epoch.tar`), '1600000000')
  assert.equal(await epoch('context', `${url}/dated.tar`), '1650000000')
  assert.equal(await epoch('more', '--build-context', `more=${url}/dated.tar`, source), '1650000000')
  assert.equal(await epoch('context', source), 'none')
  assert.equal(await epoch('more', '--build-context', `more=${source}`, source), 'none')
  const stage = (text: string): string =>
    project('epoch-stage', {
      Dockerfile: `${text}\nFROM base\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /epoch\n`,
    })
  assert.equal(await epoch('It', stage(`FROM scratch AS it\nADD ${url}/epoch.tar /\n`)), '1600000000')
  for (const [text, message] of [
    ['FROM base AS it', 'SOURCE_DATE_EPOCH stage must use FROM scratch'],
    ['FROM scratch AS it\nCOPY busybox /', 'source-only requirements: unsupported COPY instruction'],
    [`FROM scratch AS it\nADD ${url}/epoch.tar ${url}/dated.tar /`, 'exactly one remote ADD'],
    ['FROM scratch AS other', 'invalid SOURCE_DATE_EPOCH: it'],
  ]) {
    const { code, all } = await run(['buildx', 'build', '--build-arg', 'SOURCE_DATE_EPOCH=it', stage(text!)])
    assert.equal(code, 1)
    assert.ok(all.includes(message!), all)
  }
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
  const parent = `/slipway-of-a-test-${process.pid}`
  const flags = [
    ...['--add-host', 'seven:10.7.7.7', '--ulimit', 'nofile=512:1024', '--shm-size', '8m'],
    ...['--network', 'none', '--cgroup-parent', parent],
  ]
  const name = ['--build-arg', 'BUILDKIT_SANDBOX_HOSTNAME=named']
  const { all } = await ok(['buildx', 'build', '--no-cache', ...flags, ...name, options])
  assert.match(all, / named$/m)
  assert.match(all, /10\.7\.7\.7\s+seven/)
  assert.match(all, / 512$/m)
  assert.match(all, / 8192 /)
  assert.match(all, new RegExp(`${parent}/step-`))
  assert.doesNotMatch(all, /eth0/)
  // Like dockerd's, a parent that was named stays.
  for (const left of globSync(`/sys/fs/cgroup/{.,*}${parent}`)) rmdirSync(left)
})

test('a policy of the client says where sources may come from, and from where instead', async () => {
  const adding = project('policed', { Dockerfile: `FROM base\nADD ${url}/Dockerfile /added\nRUN echo built\n` })
  const under = async (...rules: object[]) => {
    const file = join(dir, 'policy.json')
    writeFileSync(file, JSON.stringify({ rules }))
    return await run(['buildx', 'build', '-t', 'policed', adding], {
      env: { EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: file },
    })
  }
  const rule = (action: string, identifier: string, more: object = {}, updates?: object) => ({
    action,
    selector: { identifier, ...more },
    updates,
  })
  const base = 'docker-image://docker.io/library/base:latest'
  const denies = async (source: string, ...rules: object[]): Promise<void> =>
    assert.match((await under(...rules)).all, new RegExp(`ERROR: .*source "${source}" denied by policy`))
  await denies(base, rule('DENY', 'docker-image://*'))
  await denies(base, rule('DENY', 'library/b[a]se:', { match_type: 'REGEX' }))
  await denies(`${url}/Dockerfile`, rule('DENY', `${url}/*`))
  await denies('local://context', rule('DENY', '*'), rule('ALLOW', 'local://dockerfile'), rule('ALLOW', base))
  await denies(base, rule('DENY', base, { constraints: [{ key: 'a', value: 'b', condition: 'NOTEQUAL' }] }))
  const kept = await under(
    rule('DENY', '*'),
    rule('ALLOW', 'local://*'),
    rule('ALLOW', base),
    rule('ALLOW', `${url}/*`),
  )
  assert.equal(kept.code, 0, kept.all)
  const moved = await under(rule('CONVERT', `${url}/Dockerfile`, {}, { identifier: `${url}/plain.tar` }))
  assert.equal(moved.code, 0, moved.all)
  assert.match(await says('policed', '/added'), /from afar/)
  const pinned = { attrs: { 'http.checksum': `sha256:${'0'.repeat(64)}` } }
  assert.match((await under(rule('CONVERT', `${url}/*`, {}, pinned))).all, /digest mismatch sha256:\w+: sha256:0000/)
})

test("BuildKit's own clients: a session through the API, a Dockerfile; other frontends and definitions are refused at once", async () => {
  const client = buildkitClient(start(['buildx', 'dial-stdio']))
  try {
    client.session('own-session')
    const attrs = { context: `${url}/Dockerfile`, 'no-cache': '' }
    const dockerfile = { session: 'own-session', frontend: 'dockerfile.v0', attrs, name: 'by-own-client' }
    assert.deepEqual(await client.solve({ ref: 'own-1', ...dockerfile }), { status: 0, message: '' })
    assert.equal(await says('by-own-client', '/data'), 'from an address\n')
    const redirected = { ...dockerfile, frontend: 'gateway.v0', attrs: { ...attrs, source: 'docker/dockerfile:1' } }
    assert.equal((await client.solve({ ref: 'own-2', ...redirected })).status, 0)
    const refused = async (request: Partial<Solve>, message: RegExp): Promise<void> => {
      const answer = await client.solve({ ref: `own-${message.source.length}`, session: 'own-session', ...request })
      assert.notEqual(answer.status, 0)
      assert.match(answer.message, message)
    }
    const source = 'docker-image://docker.io/library/base:latest'
    await refused({ source }, /low-level definition are not supported: only Dockerfiles are built/)
    const gateway = { frontend: 'gateway.v0' }
    await refused({ ...gateway, attrs: { source: 'some/nix' } }, /frontend some\/nix is not run here/)
    await refused(gateway, /frontend gateway\.v0 is not run here/)
    await refused({ frontend: 'nix.v0' }, /frontend nix\.v0 not found/)
    assert.match((await client.call('Solve', Buffer.from('ffffff', 'hex'))).message, /malformed/)
    assert.equal((await client.call('Unheard')).status, 12)
    assert.equal((await client.call('ListWorkers')).status, 0)
  } finally {
    client.close()
  }
})

test('libraries that ask for BuildKit and send all files with the request', async () => {
  const archive = readFileSync(join(dir, 'plain.tar'))
  const query = new URLSearchParams({ version: '2', t: 'by-library', networkmode: 'default' })
  for (const host of ['one:10.0.0.1', 'six:fd00::1']) query.append('extrahosts', host)
  served.set('/Dockerfile', Buffer.from('FROM base\nRUN cat /etc/hosts > /data\n'))
  const send = (path: string, body?: Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const options = {
        socketPath: instance.dockerSocket,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/x-tar' },
      }
      const sent = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve(text))
      })
      sent.on('error', reject).end(body)
    })
  assert.match(await send(`/v1.44/build?${query}`, archive), /"moby\.image\.id"/)
  assert.equal(await says('by-library', '/data'), 'from afar\n')
  query.set('remote', `${url}/Dockerfile`)
  assert.match(await send(`/v1.44/build?${query}`), /"moby\.image\.id"/)
  const hosts = await says('by-library', '/data')
  assert.match(hosts, /^10\.0\.0\.1\s+one$/m)
  assert.match(hosts, /^fd00::1\s+six$/m)
})
