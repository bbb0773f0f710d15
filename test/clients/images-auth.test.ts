/** docker login, push and pull against docker-registry: a password, tokens with scopes, identity tokens, TLS from an own authority, mirrors. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startDocker } from './docker-kit.ts'
import { makeAuthority, type Registry, startRegistry, startTokenServer, type TokenServer } from './images-kit.ts'

const docker = startDocker()
const stops: (() => void)[] = []
after(() => {
  for (const stop of stops) stop()
  docker.stop()
})
const { ok, fails, dir } = docker
const state = join(docker.instance.home, 'lib')
let [locked, tokened, secure]: Registry[] = []
let tokens: TokenServer

before(async () => {
  tokens = await startTokenServer(join(dir, 'tokens'))
  stops.push(() => tokens.close())
  locked = await startRegistry(dir, { password: 'secret' })
  tokened = await startRegistry(dir, { token: tokens })
  secure = await startRegistry(dir, { password: 'secret', tls: makeAuthority(join(dir, 'tls')) })
  stops.push(...[locked, tokened, secure].map((registry) => registry!.stop))
})
const settings = (value: object): void => writeFileSync(join(state, 'registries.json'), JSON.stringify(value))
const login = (host: string, password: string, config?: string) =>
  docker.run(['login', '-u', 'user', '--password-stdin', host], {
    input: password,
    ...(config && { env: { ...docker.instance.env, DOCKER_CONFIG: config } }),
  })
const fresh = async (name: string): Promise<void> => {
  await ok('tag', 'busybox', name)
}

test('a password: login is checked, push and pull need it, logout forgets it', async () => {
  const { host } = locked!
  const wrong = await login(host, 'wrong')
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /login attempt to http:\/\/[^ ]*\/v2\/ failed with status: 401 Unauthorized/)
  await fresh(`${host}/a/b:1`)
  assert.match(await fails(1, 'push', `${host}/a/b:1`), /denied: requested access to the resource is denied/)
  assert.match((await login(host, 'secret')).stdout, /Login Succeeded/)
  const pushed = await ok('push', `${host}/a/b:1`)
  assert.match(
    pushed,
    /^The push refers to repository \[[^\]]*\/a\/b\]\n[0-9a-f]{12}: Preparing\n[0-9a-f]{12}: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+$/,
  )
  const digest = /sha256:[0-9a-f]{64}/.exec(pushed)![0]
  await ok('rmi', `${host}/a/b:1`)
  const pulled = await ok('pull', `${host}/a/b:1`)
  assert.match(
    pulled,
    new RegExp(`^1: Pulling from a/b\nDigest: ${digest}\nStatus: Downloaded newer image for ${host}/a/b:1\n`),
  )
  assert.equal((pulled.match(/Digest:/g) ?? []).length, 1)
  const now = (Date.now() / 1000).toFixed(3)
  const events = ['events', '--since', '1m', '--until', now, '--filter', 'event=pull', '--filter', 'event=push']
  assert.deepEqual(
    (await ok(...events, '--format', '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}')).split('\n'),
    [`push ${host}/a/b:1 ${host}/a/b`, `pull ${host}/a/b:1 ${host}/a/b`],
  )
  await ok('pull', `${host}/a/b@${digest}`)
  assert.match(await ok('manifest', 'inspect', '--insecure', `${host}/a/b:1`), /"schemaVersion": 2/)
  const remote = JSON.parse((await docker.api('GET', `/distribution/${host}/a/b:1/json`)).body)
  assert.match(remote.message, /pull access denied/)
  await ok('logout', host)
  assert.match(await fails(1, 'pull', `${host}/a/b:1`), /pull access denied/)
})

test('credentials of a helper', async () => {
  const config = mkdtempSync(join(dir, 'config-'))
  writeFileSync(join(config, 'config.json'), JSON.stringify({ credHelpers: { [locked!.host]: 'testkeys' } }))
  const store = join(config, 'kept')
  const helper = join(config, 'docker-credential-testkeys')
  writeFileSync(
    helper,
    `#!/bin/sh\ncase $1 in store) cat >'${store}' ;; get) cat '${store}' 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;; erase) rm -f '${store}' ;; list) echo '{}' ;; esac\n`,
  )
  chmodSync(helper, 0o755)
  const env = { ...docker.instance.env, DOCKER_CONFIG: config, PATH: `${config}:${process.env.PATH}` }
  const run = (...args: string[]) => docker.run(args, { env })
  const name = `${locked!.host}/helper/b:1`
  await fresh(name)
  assert.equal((await run('push', name)).code, 1)
  assert.equal(
    (await docker.run(['login', '-u', 'user', '--password-stdin', locked!.host], { input: 'secret', env })).code,
    0,
  )
  assert.equal(JSON.parse(readFileSync(store, 'utf8')).Secret, 'secret')
  assert.doesNotMatch(readFileSync(join(config, 'config.json'), 'utf8'), /"auth":/)
  const pushed = await run('push', name)
  assert.equal(pushed.code, 0, pushed.stderr)
  await run('logout', locked!.host)
  assert.equal((await run('pull', name)).code, 1)
  // Our own command line reads the same configuration.
  assert.equal(
    (await docker.run(['login', '-u', 'user', '--password-stdin', locked!.host], { input: 'secret', env })).code,
    0,
  )
})

test('tokens: scopes as asked for, anonymous where that is allowed, an identity token instead of the password', async () => {
  const { host } = tokened!
  const wrong = await login(host, 'wrong')
  assert.match(wrong.stderr, /failed with status: 401 Unauthorized/)
  const config = mkdtempSync(join(dir, 'config-'))
  tokens.asked.length = 0
  const logged = await login(host, 'secret', config)
  assert.match(logged.stdout, /Login Succeeded/, logged.stderr)
  assert.ok(tokens.asked.every(({ offline, scopes }) => offline && scopes.length === 0))
  const kept = JSON.parse(readFileSync(join(config, 'config.json'), 'utf8')).auths[host]
  assert.ok(kept.identitytoken, 'the identity token is kept')
  assert.doesNotMatch(Buffer.from(kept.auth, 'base64').toString(), /secret/)

  const env = { ...docker.instance.env, DOCKER_CONFIG: config }
  for (const name of ['public/b:1', 'private/b:1']) {
    await fresh(`${host}/${name}`)
    tokens.asked.length = 0
    const pushed = await docker.run(['push', `${host}/${name}`], { env })
    assert.equal(pushed.code, 0, pushed.stderr)
    assert.equal(tokens.asked[0]!.method, 'POST')
    assert.ok(tokens.asked.some(({ scopes }) => scopes.includes(`repository:${name.split(':')[0]}:pull,push`)))
    await ok('rmi', `${host}/${name}`)
  }
  // Nobody logged in here.
  tokens.asked.length = 0
  await ok('pull', `${host}/public/b:1`)
  assert.deepEqual(tokens.asked, [
    { method: 'GET', scopes: ['repository:public/b:pull'], account: undefined, offline: false },
  ])
  assert.match(await fails(1, 'pull', `${host}/private/b:1`), /pull access denied for .*\/private\/b/)
  await ok('tag', `${host}/public/b:1`, `${host}/public/c:1`)
  assert.match(await fails(1, 'push', `${host}/public/c:1`), /denied/)
  // A layer that is known in another repository is mounted, with leave to read there.
  await ok('tag', `${host}/public/b:1`, `${host}/private/mounted:1`)
  tokens.asked.length = 0
  const mounted = await docker.run(['push', `${host}/private/mounted:1`], { env })
  assert.match(mounted.stdout, /Mounted from public\/b/, mounted.stderr)
  assert.ok(tokens.asked[0]!.scopes.includes('repository:public/b:pull'))
})

test('a token that ends in the middle of a push is replaced', async () => {
  const config = mkdtempSync(join(dir, 'config-'))
  assert.equal((await login(tokened!.host, 'secret', config)).code, 0)
  tokens.lifeSeconds = 1
  try {
    const name = `${tokened!.host}/short/b:1`
    const big = join(dir, 'big')
    mkdirSync(big)
    writeFileSync(join(big, 'f'), Buffer.from(Array.from({ length: 6_000_000 }, () => Math.floor(Math.random() * 256))))
    const { execFileSync } = await import('node:child_process')
    const layer = execFileSync('tar', ['-C', big, '-cf', '-', '.'], { maxBuffer: 1 << 28 })
    assert.equal((await docker.run(['import', '-', name], { input: layer })).code, 0)
    for (let i = 0; i < 2; i++) {
      const pushed = await docker.run(['push', name], { env: { ...docker.instance.env, DOCKER_CONFIG: config } })
      assert.equal(pushed.code, 0, pushed.stdout + pushed.stderr)
      await new Promise((go) => setTimeout(go, 1100))
    }
  } finally {
    tokens.lifeSeconds = 300
  }
})

test('TLS: refused without the authority, taken with it, by certs.d or by hosts.toml', async () => {
  const { host } = secure!
  // A loopback registry is taken as it is; as "insecure" is what it would be elsewhere, an authority that is given counts.
  const certs = join(state, 'certs.d', host)
  mkdirSync(certs, { recursive: true })
  const { rootCertificates } = await import('node:tls')
  writeFileSync(join(certs, 'ca.crt'), rootCertificates[0]!)
  const refused = await login(host, 'secret')
  assert.match(refused.stderr, /tls: failed to verify certificate: x509: certificate signed by unknown authority/)
  assert.match(refused.stderr, /certs\.d/)
  writeFileSync(join(certs, 'ca.crt'), readFileSync(join(dir, 'tls/ca.crt')))
  assert.match((await login(host, 'secret')).stdout, /Login Succeeded/)
  await fresh(`${host}/tls/b:1`)
  await ok('push', `${host}/tls/b:1`)
  await ok('rmi', `${host}/tls/b:1`)
  await ok('pull', `${host}/tls/b:1`)
  rmSync(join(certs, 'ca.crt'))
  const toml = (text: string): void => writeFileSync(join(certs, 'hosts.toml'), text)
  toml(`server = "https://${host}"\nca = "${join(dir, 'nothing.crt')}"\n`)
  assert.match(await fails(1, 'pull', `${host}/tls/b:1`), /hosts\.toml: cannot read/)
  toml(`server = "https://${host}"\nca = "${join(dir, 'tls/ca.crt')}"\n`)
  await ok('pull', `${host}/tls/b:1`)
  toml(`server = \n`)
  assert.match(await fails(1, 'pull', `${host}/tls/b:1`), /hosts\.toml:1: a value is missing/)
  await ok('logout', host)
})

test('mirrors: asked first, without the credentials, passed over when they lack something, are down, or lie', async () => {
  const upstream = await startRegistry(dir)
  const copy = await startRegistry(dir)
  stops.push(upstream.stop, copy.stop)
  for (const registry of [upstream, copy]) {
    await fresh(`${registry.host}/m/b:1`)
    await ok('push', `${registry.host}/m/b:1`)
  }
  await fresh(`${upstream.host}/m/only:1`)
  await ok('push', `${upstream.host}/m/only:1`)
  const asked: { url: string; authorization: string | undefined }[] = []
  let lie = false
  const front = createServer((request, response) => {
    asked.push({ url: request.url!, authorization: request.headers.authorization })
    void fetch(`http://${copy.host}${request.url}`, {
      method: request.method!,
      headers: { accept: request.headers.accept ?? '*/*' },
    }).then(async (answer) => {
      const body = Buffer.from(await answer.arrayBuffer())
      if (lie && request.url!.includes('/blobs/') && body.length > 1000) body[body.length - 20]! ^= 1
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(body)
    })
  })
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  stops.push(() => {
    front.closeAllConnections()
    front.close()
  })
  const mirror = `http://127.0.0.1:${(front.address() as AddressInfo).port}`
  const again = async (name: string): Promise<string> => {
    for (const image of (await ok('images', '-q', '--no-trunc')).split('\n')) await docker.run(['rmi', '-f', image])
    asked.length = 0
    return ok('pull', name)
  }
  settings({ mirrors: { [upstream.host]: [`${mirror.replace('//', '//me:mine@')}`] } })
  await again(`${upstream.host}/m/b:1`)
  assert.ok(
    asked.length >= 3 && asked.every(({ url }) => url.includes(`ns=${encodeURIComponent(upstream.host)}`)),
    JSON.stringify(asked),
  )
  assert.equal(asked[0]!.authorization, undefined, 'credentials go where they are asked for')
  await again(`${upstream.host}/m/only:1`)
  assert.ok(asked.length > 0)
  lie = true
  await again(`${upstream.host}/m/b:1`)
  assert.ok(asked.some(({ url }) => url.includes('/blobs/')))
  assert.match((await docker.run(['info', '-f', '{{json .RegistryConfig}}'])).stdout, /"InsecureRegistryCIDRs"/)
  settings({ mirrors: { '*': ['http://127.0.0.1:1'] } })
  await again(`${upstream.host}/m/b:1`)
  assert.equal(asked.length, 0)
  settings({ mirror: {} })
  assert.match(await fails(1, 'pull', `${upstream.host}/m/b:1`), /registries\.json: "mirror" is not known/)
  settings({})
})
