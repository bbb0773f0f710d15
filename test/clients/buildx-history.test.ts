/** The newest buildx there is, and the history of builds that it asks for. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { shell, startBuildx } from './buildx-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const buildx = startBuildx(true)
const { ok, run, start, project } = buildx
let registry: Registry
after(() => {
  registry?.stop()
  buildx.stop()
})
before(async () => {
  registry = await startRegistry(buildx.dir)
  await ok(['buildx', 'build', '-t', 'base', project('base', { Dockerfile: shell })])
})

interface Listed {
  ref: string
  name: string
  status: string
  total_steps: number
  completed_steps: number
  cached_steps: number
}
/** Newest first. */
const listed = async (...args: string[]): Promise<Listed[]> =>
  (await ok(['buildx', 'history', 'ls', '--format', 'json', ...args])).stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Listed)
const refOf = ({ ref }: Listed): string => ref.split('/').at(-1)!
const inspect = async (ref: string): Promise<Record<string, unknown>> =>
  JSON.parse((await ok(['buildx', 'history', 'inspect', ref, '--format', 'json'])).stdout) as Record<string, unknown>
const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
  for (const end = Date.now() + 30_000; ; await sleep(50)) {
    const found = await look()
    if (found !== undefined) return found
    assert.ok(Date.now() < end, `waited in vain for ${what}`)
  }
}

test('builds that ended: well, badly, by their client; what they said and what they were made of', async () => {
  await ok(['buildx', 'history', 'rm', '--all'])
  const good = project('good', { Dockerfile: 'FROM base\nARG WORD\nRUN echo said $WORD > /said; cat /said\n' })
  const metadata = join(buildx.dir, 'history-metadata.json')
  const args = ['--build-arg', 'WORD=once', '--label', 'a=b', '--metadata-file', metadata]
  await ok(['buildx', 'build', '-t', 'good', ...args, good])
  const bad = project('bad', { Dockerfile: 'FROM base\nRUN echo last words; exit 3\n' })
  assert.equal((await run(['buildx', 'build', bad])).code, 1)
  const endless = project('endless', { Dockerfile: 'FROM base\nRUN echo begun; sleep 1000\n' })
  const child = start(['buildx', 'build', endless])
  const closed = new Promise((resolve) => child.once('close', resolve))
  let said = ''
  child.stderr!.on('data', (chunk: Buffer) => void (said += chunk))
  await until('the step', async () => (/\d begun/.test(said) ? true : undefined))
  const [running, ...others] = await listed()
  assert.deepEqual([running!.name, running!.status, others.length], ['endless', 'Running', 2])
  // What runs is followed from its beginning.
  const following = start(['buildx', 'history', 'logs', refOf(running!)])
  let followed = ''
  following.stderr!.on('data', (chunk: Buffer) => void (followed += chunk))
  await until('its output', async () => (/\d begun/.test(followed) ? true : undefined))
  const done = new Promise((resolve) => following.once('close', resolve))
  child.kill('SIGINT')
  await closed
  await done
  await until('its end', async () => ((await listed())[0]!.status === 'Running' ? undefined : true))

  assert.deepEqual(
    (await listed()).map(({ name, status }) => [name, status]),
    [
      ['endless', 'Error'],
      ['bad', 'Error'],
      ['good', 'Completed'],
    ],
  )
  const [stopped, failed, worked] = await listed()
  assert.equal((await inspect(refOf(stopped!))).Status, 'canceled')
  assert.deepEqual(
    [await listed('--filter', 'status=error'), await listed('--filter', `ref=${refOf(worked!)}`)].map((rows) =>
      rows.map(({ name }) => name),
    ),
    [['bad'], ['good']],
  )
  assert.equal(worked!.completed_steps, worked!.total_steps)

  // A daemon that is killed remembers.
  const pid = (): number =>
    (JSON.parse(readFileSync(join(buildx.instance.home, 'run/daemon.json'), 'utf8')) as { pid: number }).pid
  const old = pid()
  process.kill(old, 'SIGKILL')
  await until('another daemon', async () => (pid() === old ? undefined : true))
  assert.equal((await listed()).length, 3)

  const told = await inspect(refOf(worked!))
  assert.deepEqual([told.Name, told.Status], ['good', 'completed'])
  assert.deepEqual(told.BuildArgs, [{ Name: 'WORD', Value: 'once' }])
  assert.deepEqual(told.Labels, [{ Name: 'a', Value: 'b' }])
  assert.match(JSON.stringify(told.Materials), /pkg:docker\/base@latest/)
  const { all: log } = await ok(['buildx', 'history', 'logs', refOf(worked!)])
  assert.match(log, /\[2\/2\] RUN echo said once/)
  assert.match(log, /\d said once/)
  assert.match(log, /naming to docker\.io\/library\/good/)
  const attachment = ['buildx', 'history', 'inspect', 'attachment', refOf(worked!), '--type', 'provenance']
  const provenance = JSON.parse((await ok(attachment)).stdout)
  assert.equal(provenance.invocation.parameters.frontend, 'dockerfile.v0')
  const file = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, { buildType?: string }>
  assert.equal(file['buildx.build.provenance']?.buildType, provenance.buildType)

  const wrong = await inspect(refOf(failed!))
  const error = wrong.Error as { Message: string; Sources: string; Name: string; Logs: string[] }
  assert.match(error.Message, /did not complete successfully: exit code: 3/)
  assert.match(Buffer.from(error.Sources, 'base64').toString(), />>> RUN echo last words/)
  assert.equal(error.Name, '[2/2] RUN echo last words; exit 3')
  assert.deepEqual(error.Logs, ['last words'])
  assert.match((await ok(['buildx', 'history', 'logs', refOf(failed!)])).all, /\d last words/)

  await ok(['buildx', 'history', 'rm', refOf(worked!)])
  const gone = await run(['buildx', 'history', 'rm', refOf(worked!)])
  assert.match(gone.all, /no record found/)
  assert.equal((await listed()).length, 2)
  await ok(['buildx', 'history', 'rm', '--all'])
  assert.deepEqual(await listed(), [])
})

test('several platforms: provenance of each is remembered', async () => {
  const dir = project('both', { Dockerfile: 'FROM scratch\nCOPY busybox /\n' })
  const out = ['-o', `type=oci,dest=${join(buildx.dir, 'both.tar')}`]
  await ok(['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', ...out, dir])
  const [row] = await listed()
  const { Attachments } = (await inspect(refOf(row!))) as { Attachments: { Platform: string; Type: string }[] }
  assert.deepEqual(
    Attachments.map(({ Platform, Type }) => [Platform, Type]),
    ['linux/amd64', 'linux/arm64'].map((platform) => [platform, 'https://slsa.dev/provenance/v0.2']),
  )
})

test('everything else that it does: bake, push with attestations, questions, caches, debugging', async () => {
  const dir = project('bake', {
    Dockerfile: '# first\nFROM base AS first\nRUN echo first > /first\n',
    'docker-bake.hcl': [
      'group "default" {\n  targets = ["a", "b"]\n}',
      'target "a" {\n  tags = ["baked:a"]\n}',
      'target "b" {\n  dockerfile-inline = "FROM start\\nRUN cat /first > /second"\n  contexts = { start = "target:a" }\n  tags = ["baked:b"]\n}\n',
    ].join('\n'),
  })
  await ok(['buildx', 'bake', '--progress', 'plain'], { cwd: dir })
  assert.equal((await ok(['run', '--rm', 'baked:b', 'cat', '/second'])).stdout, 'first\n')
  const name = `${registry.host}/newest:1`
  await ok(['buildx', 'build', '--push', '--provenance=mode=max', '-t', name, dir])
  const { stdout } = await ok(['buildx', 'imagetools', 'inspect', name, '--format', '{{json .Provenance}}'])
  assert.ok((JSON.parse(stdout) as { SLSA: { buildConfig?: object } }).SLSA.buildConfig)
  await ok(['buildx', 'imagetools', 'create', '-t', `${registry.host}/newest:2`, name])
  assert.match((await ok(['buildx', 'build', '--call', 'targets', dir])).stdout, /first/)
  assert.match((await ok(['buildx', 'build', '--call', 'outline', dir])).stdout, /TARGET: +first/)
  assert.match((await ok(['buildx', 'build', '--check', dir])).all, /no warnings found/)
  await ok(['--debug', 'buildx', 'build', dir])
  await ok(['buildx', '--debug', 'build', '--no-cache', dir])
  assert.match((await ok(['buildx', 'du'])).stdout, /Reclaimable/)
  assert.match((await ok(['buildx', 'ls'])).stdout, /default.*docker/)
  assert.match((await ok(['buildx', 'prune', '-af'])).stdout, /Total/)
  const refused = await run(['buildx', 'build', '--provenance=mode=what', dir])
  assert.match(refused.all, /invalid mode "what"/)
})

test('docker compose of today: one bake for all services, one on another, with secrets; checks and failures', async () => {
  const cwd = project('composed', {
    'compose.yaml': `services:
  web:
    build:
      context: .
      args: { GREETING: hello }
      additional_contexts: { base: service:base }
      secrets: [token]
      tags: [composed:also]
  base:
    build:
      dockerfile_inline: |
${shell.replace(/^/gm, '        ')}
secrets:
  token: { file: ./token }
`,
    token: 'sesame',
    Dockerfile:
      'FROM base\nARG GREETING\nRUN --mount=type=secret,id=token echo "$GREETING $(cat /run/secrets/token)" > /text\nCMD ["/bin/busybox", "cat", "/text"]\n',
  })
  const { all } = await ok(['compose', 'up', '--build', 'web'], { cwd })
  assert.match(all, /load local bake definitions/)
  assert.match(all, /web-1 +\| hello sesame\n/)
  assert.equal((await ok(['image', 'inspect', '-f', '{{len .RepoTags}}', 'composed:also'])).stdout, '2\n')
  await ok(['compose', 'down', '--rmi', 'local', '-t', '0'], { cwd })
  writeFileSync(join(cwd, 'Dockerfile'), 'FROM base as one\nRUN echo last words; exit 7\n')
  const failed = await run(['compose', 'build'], { cwd })
  assert.equal(failed.code, 1)
  assert.match(failed.all, /last words\n[\s\S]*Dockerfile:2\s[\s\S]*exit code: 7/)
  assert.equal((await run(['compose', 'build', '--check'], { cwd })).code, 1)
})

test('so are builds by slipway up and the classic endpoint', async () => {
  const dir = project('composed-here', {
    Dockerfile: 'FROM base\nARG WHO\nRUN echo here is $WHO\nCMD ["/bin/busybox", "true"]\n',
    'compose.yaml': 'name: remembered\nservices:\n  one:\n    build: {context: ., args: {WHO: up}, target: ""}\n',
  })
  buildx.instance.slipway('-f', join(dir, 'compose.yaml'), 'build')
  await ok(['build', '-t', 'classic', '--label', 'k=v', '--build-arg', 'WHO=tar', dir], {
    env: { DOCKER_BUILDKIT: '0' },
  })
  writeFileSync(join(dir, 'Dockerfile'), 'FROM base\nRUN echo never; exit 5\n')
  assert.equal((await run(['build', dir], { env: { DOCKER_BUILDKIT: '0' } })).code, 5)
  const [failed, classic, composed] = await listed()
  assert.deepEqual([failed!.status, classic!.status, composed!.status], ['Error', 'Completed', 'Completed'])
  assert.match((await ok(['buildx', 'history', 'logs', refOf(failed!)])).all, /never/)
  const told = await inspect(refOf(classic!))
  assert.deepEqual([told.Labels, told.Context], [[{ Name: 'k', Value: 'v' }], undefined])
  assert.match(JSON.stringify(told.Materials), /pkg:docker\/base@latest/)
  assert.match((await ok(['buildx', 'history', 'logs', refOf(composed!)])).all, /here is up/)
  assert.deepEqual((await inspect(refOf(composed!))).Context, dir)
})

test('a record goes to another machine', async () => {
  const [newest] = await listed()
  const bundle = join(buildx.dir, 'one.dockerbuild')
  await ok(['buildx', 'history', 'export', refOf(newest!), '-o', bundle])
  assert.deepEqual([...readFileSync(bundle).subarray(0, 2)], [0x1f, 0x8b])
})

test('builds by slipway build are remembered as well', async () => {
  const dir = project('by-slipway', {
    Dockerfile: 'FROM base AS one\nARG WHO\nRUN echo said to $WHO\n',
    bad: 'FROM base\nRUN exit 9\n',
  })
  buildx.instance.slipway('build', '-q', '--target', 'one', '--build-arg', 'WHO=you', '-t', 'by:slipway', dir)
  assert.throws(() => buildx.instance.slipway('build', '-f', join(dir, 'bad'), dir))
  const [bad, good] = await listed()
  assert.deepEqual([bad!.status, good!.status, good!.name], ['Error', 'Completed', `${dir} (one)`])
  const told = await inspect(refOf(good!))
  assert.deepEqual([told.Context, told.Target, told.Dockerfile], [dir, 'one', 'Dockerfile'])
  assert.deepEqual(told.BuildArgs, [{ Name: 'WHO', Value: 'you' }])
  assert.match((await ok(['buildx', 'history', 'logs', refOf(good!)])).all, /said to you/)
  assert.match((await ok(['buildx', 'history', 'inspect', refOf(bad!)])).stdout, /exit code: 9/)
})

test('what is said of an image where nobody has said anything comes with it when its exporter is told so', async () => {
  const dir = project('inline', { Dockerfile: 'FROM base\nRUN echo inline > /inline\n' })
  const name = `${registry.host}/inline:1`
  const mediaType = async (more: string): Promise<string> => {
    await ok(['buildx', 'build', '-o', `type=image,name=${name},push=true${more}`, dir])
    const { stdout } = await ok(['buildx', 'imagetools', 'inspect', '--raw', name])
    return (JSON.parse(stdout) as { mediaType: string }).mediaType
  }
  assert.match(await mediaType(''), /manifest/)
  assert.match(await mediaType(',attestation-inline=true'), /index/)
  const canonical = await ok(['buildx', 'build', '-o', `type=image,name=${name},name-canonical=true`, dir])
  assert.match(canonical.all, /name-canonical is left out/)
})

test('what names another frontend is said, whatever it is built with, also where it is no Dockerfile', async () => {
  const dir = project('frontends', {
    ours: '# syntax=my.mirror:5000/docker/dockerfile:99-labs\nFROM scratch\nCOPY busybox /\n',
    other: '#!/usr/bin/env docker\n# syntax=example.test/nix:1\nFROM scratch\nCOPY busybox /\n',
    strange: '// syntax=example.test/nix:1\nlet it = build\n',
    'compose.yaml': 'name: frontends\nservices:\n  one:\n    build: {context: ., dockerfile: other}\n',
  })
  const notice = /syntax=example\.test\/nix:1: other frontends are not run here, the file is read as a Dockerfile/
  const file = (name: string): string[] => ['-f', join(dir, name), dir]
  assert.doesNotMatch((await ok(['buildx', 'build', ...file('ours')])).all, /syntax=/)
  assert.match((await ok(['buildx', 'build', ...file('other')])).all, notice)
  assert.match((await ok(['buildx', 'build', '--check', ...file('other')])).all, notice)
  assert.match((await ok(['build', ...file('other')], { env: { DOCKER_BUILDKIT: '0' } })).all, notice)
  assert.match((await ok(['compose', 'build'], { cwd: dir })).all, notice)
  const strange = await run(['buildx', 'build', ...file('strange')])
  assert.equal(strange.code, 1)
  assert.match(strange.all, notice)
  assert.match(strange.all, /unknown instruction: \/\//)
  const syntax = ['--build-arg', 'BUILDKIT_SYNTAX=example.test/nix:1']
  assert.match((await ok(['buildx', 'build', ...syntax, ...file('ours')])).all, notice)
})

test('the builder tells what it can do, and the rules by which its cache is pruned', async () => {
  const { stdout } = await ok(['buildx', 'inspect'])
  assert.match(stdout, /Platforms: +linux\/(amd64|arm64)/)
  assert.match(
    stdout,
    /GC Policy rule#0:\n All: +false\n Filters: +type==source\.local[\s\S]*Keep Duration: +48h0m0s\n Max Used Space: +488\.3MiB/,
  )
  const sizes = ['--max-used-space', '1gb', '--min-free-space', '1', '--reserved-space', '1gb']
  assert.match((await ok(['buildx', 'prune', '-f', ...sizes])).stdout, /Total:\s+0B/)
})
