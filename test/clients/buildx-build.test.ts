/** `docker build` with buildx installed: options, failures, warnings, cancelling. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { after, before, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx()
after(() => buildx.stop())
const { ok, run, project } = buildx

before(async () => {
  await ok(['build', '-t', 'base', project('base', { Dockerfile: shell })])
})

test('docker announces BuildKit, and buildx sees one builder', async () => {
  const { stdout } = await ok(['buildx', 'inspect'])
  assert.match(stdout, /Driver: +docker\n/)
  assert.match(stdout, /Status: +running/)
  assert.match(stdout, /linux\/(amd64|arm64)/)
})

test('arguments, labels, target, several tags, files that tell the result', async () => {
  const dir = project('options', {
    Dockerfile:
      'FROM base AS one\nARG WHO=nobody\nRUN echo "hello $WHO" > /who\nFROM one AS two\nRUN echo two > /two\nFROM one\n',
  })
  const files = ['--iidfile', join(dir, 'iid'), '--metadata-file', join(dir, 'meta')]
  const args = ['--build-arg', 'WHO=me', '--label', 'a=b', '--target', 'two', '--platform', 'linux/amd64']
  const built = await ok(['buildx', 'build', ...files, ...args, '-t', 'first:1', '-t', 'second:2', dir])
  assert.match(built.all, /\[one 2\/2\] RUN echo "hello me" > \/who/)
  assert.match(built.all, /naming to docker.io\/library\/second:2/)
  const id = readFileSync(join(dir, 'iid'), 'utf8')
  const meta = JSON.parse(readFileSync(join(dir, 'meta'), 'utf8')) as Record<string, string>
  assert.equal(meta['containerimage.config.digest'], id)
  assert.equal(meta['image.name'], 'docker.io/library/first:1,docker.io/library/second:2')
  const { stdout } = await ok(['inspect', '--format', '{{.Id}} {{.Config.Labels.a}}', 'first:1', 'second:2'])
  assert.equal(stdout, `${id} b\n${id} b\n`)
  assert.equal((await ok(['run', '--rm', 'second:2', 'sh', '-c', 'cat /who /two'])).stdout, 'hello me\ntwo\n')
})

test('-q prints the id alone; a second build is cached; --no-cache and --no-cache-filter are not', async () => {
  const dir = project('cache', { Dockerfile: 'FROM base AS a\nRUN echo a > /a\nFROM a AS b\nRUN echo b > /b\n' })
  assert.match((await ok(['build', '-q', dir])).stdout, /^sha256:[0-9a-f]{64}\n$/)
  const cached = (text: string): number => text.match(/RUN echo .*\n#\d+ CACHED/g)?.length ?? 0
  assert.equal(cached((await ok(['build', dir])).all), 2)
  assert.equal(cached((await ok(['build', '--no-cache-filter', 'b', dir])).all), 1)
  assert.equal(cached((await ok(['build', '--no-cache', dir])).all), 0)
})

test('secrets from files and the environment are mounted and not kept', async () => {
  const dir = project('secrets', {
    token: 'from-file',
    Dockerfile:
      'FROM base\nRUN --mount=type=secret,id=f --mount=type=secret,id=e cat /run/secrets/f /run/secrets/e\nRUN ls /run/secrets | wc -l\n',
  })
  const secrets = ['--secret', `id=f,src=${join(dir, 'token')}`, '--secret', 'id=e,env=SECRET']
  const { all } = await ok(['buildx', 'build', ...secrets, dir], { env: { SECRET: 'from-env' } })
  assert.match(all, /from-filefrom-env/)
  const missing = await run([
    'build',
    '--no-cache',
    project('nosecret', { Dockerfile: 'FROM base\nRUN --mount=type=secret,id=x,required=true true\n' }),
  ])
  assert.equal(missing.code, 1)
  assert.match(missing.all, /secret x: not found/)
})

test('named contexts: a directory, an image, another stage', async () => {
  const dir = project('named', { Dockerfile: 'FROM root\nCOPY --from=other f /f\n', 'other/f': 'named\n' })
  const contexts = ['--build-context', `other=${join(dir, 'other')}`, '--build-context', 'root=docker-image://base']
  await ok(['buildx', 'build', ...contexts, '-t', 'named', dir])
  assert.equal((await ok(['run', '--rm', 'named', 'cat', '/f'])).stdout, 'named\n')
})

test('the Dockerfile or the whole context from standard input', async () => {
  const dir = project('piped', { file: 'in the context\n', Dockerfile: 'FROM base\nCOPY file /\nRUN cat /file\n' })
  const fromInput = await ok(['build', '-f', '-', dir], { input: 'FROM base\nCOPY file /x\nRUN cat /x\n' })
  assert.match(fromInput.all, /\d in the context/)
  await ok(['build', '-'], { input: 'FROM base\nRUN true\n' })
  const tar = execFileSync('tar', ['-C', dir, '-c', '.'], { maxBuffer: 64 * 1024 * 1024 })
  assert.match((await ok(['build', '--no-cache', '-'], { input: tar })).all, /\d in the context/)
})

test('a step that fails shows its output and the lines of the Dockerfile', async () => {
  const dir = project('fails', { Dockerfile: 'FROM base\nRUN true\nRUN echo "what went wrong" >&2; \\\n  exit 3\n' })
  const { code, all } = await run(['build', dir])
  assert.equal(code, 1)
  assert.match(all, /ERROR: process "\/bin\/sh -c echo .* did not complete successfully: exit code: 3/)
  assert.match(all, / > \[3\/3\] RUN echo "what went wrong".*:\n\d+\.\d+ what went wrong\n------/)
  assert.match(all, /Dockerfile:3\n-+\n +1 \| +FROM base\n +2 \| +RUN true\n +3 \| >>> RUN echo/)
  assert.match(all, /failed to solve: process /)
})

test('mistakes in the file, a missing file and a missing source are told in words', async () => {
  const mistakes: [Record<string, string>, RegExp][] = [
    [
      { Dockerfile: 'FROM base\nRUNN x\n' },
      /Dockerfile:2\n(.*\n)+.*failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN/,
    ],
    [{}, /failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory/],
    [{ Dockerfile: 'FROM base\nCOPY nothere /\n' }, /"\/nothere": not found/],
    [
      { Dockerfile: 'FROM base\nFROM x AS y\n', '.dockerignore': 'Dockerfile' },
      /failed to resolve source metadata for docker.io\/library\/x:latest/,
    ],
  ]
  for (const [i, [files, expected]] of mistakes.entries()) {
    const { code, all } = await run(['build', project(`mistake-${i}`, files)])
    assert.equal(code, 1)
    assert.match(all, expected)
  }
})

test('warnings name their rule and line', async () => {
  const { all } = await ok(['build', project('warns', { Dockerfile: 'FROM base as X\nMAINTAINER me\n' })])
  assert.match(all, /warnings? found/)
  assert.match(all, /FromAsCasing: .*\(line 1\)/)
  assert.match(all, /MaintainerDeprecated: .*\(line 2\)/)
})

test('--output: a directory, a tar, and image archives that load again', async () => {
  const dir = project('output', {
    Dockerfile:
      'FROM base AS made\nRUN mkdir /out && echo data > /out/f && chmod 600 /out/f && ln -s f /out/l\nFROM scratch\nCOPY --from=made /out /out\n',
  })
  await ok(['buildx', 'build', '--output', join(dir, 'local'), dir])
  assert.equal(readFileSync(join(dir, 'local/out/l'), 'utf8'), 'data\n')
  assert.deepEqual(readdirSync(join(dir, 'local')), ['out'])
  await ok(['buildx', 'build', '-o', `type=tar,dest=${join(dir, 'root.tar')}`, dir])
  const listed = execFileSync('tar', ['-tvf', join(dir, 'root.tar')], { encoding: 'utf8' })
  assert.match(listed, /^drwxr-xr-x 0\/0 .* out\/\n-rw------- 0\/0 +5 .* out\/f\nlrwxrwxrwx 0\/0 .* out\/l -> f\n$/)
  for (const type of ['docker', 'oci']) {
    const file = join(dir, `${type}.tar`)
    const { all } = await ok(['buildx', 'build', '-o', `type=${type},dest=${file},name=archived:${type}`, dir])
    assert.match(all, new RegExp(`exporting to ${type} image format`))
    assert.doesNotMatch((await ok(['images', '-q', `archived:${type}`])).stdout, /./)
    assert.match((await ok(['load', '-i', file])).stdout, new RegExp(`archived:${type}`))
  }
  await ok(['buildx', 'build', '--load', '-t', 'loaded', dir])
  assert.match((await ok(['images', '-q', 'loaded'])).stdout, /./)
})

test('an interrupted or killed client leaves nothing running', async () => {
  const dir = project('endless', { Dockerfile: 'FROM base\nRUN echo begun; sleep 98765\n' })
  const sleeping = (): boolean => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (readFileSync(`/proc/${pid}/cmdline`, 'utf8') === 'sleep\u000098765\u0000') return true
      } catch {
        // gone meanwhile
      }
    }
    return false
  }
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    const child = buildx.start(['buildx', 'build', dir])
    await new Promise<void>((resolve, reject) => {
      let said = ''
      child.stderr!.on('data', (chunk: Buffer) => {
        said += chunk
        if (/\d begun/.test(said)) resolve()
      })
      child.once('close', () => reject(new Error(said)))
    })
    assert.ok(sleeping())
    child.kill(signal)
    for (let i = 0; sleeping() && i < 100; i++) await sleep(50)
    assert.ok(!sleeping(), `the step goes on after ${signal}`)
    const work = join(buildx.instance.home, 'run/build')
    for (let i = 0; existsSync(work) && readdirSync(work).length > 0 && i < 100; i++) await sleep(50)
    assert.deepEqual(existsSync(work) ? readdirSync(work) : [], [])
  }
})

test('bake: targets side by side, one on another', async () => {
  const dir = project('bake', {
    Dockerfile: 'FROM base\nRUN echo first > /first\n',
    'docker-bake.hcl': [
      'group "default" {\n  targets = ["a", "b"]\n}',
      'target "a" {\n  tags = ["baked:a"]\n}',
      'target "b" {\n  dockerfile-inline = "FROM start\\nRUN cat /first > /second"\n  contexts = { start = "target:a" }\n  tags = ["baked:b"]\n}\n',
    ].join('\n'),
  })
  await ok(['buildx', 'bake'], { cwd: dir })
  assert.equal((await ok(['run', '--rm', 'baked:b', 'cat', '/second'])).stdout, 'first\n')
})

test('a client that is gone at any time: while it sends, while it is sent to', async () => {
  const dir = project('gone', { Dockerfile: 'FROM base\nCOPY big /big\nRUN echo more > /more\n' })
  const cache = join(dir, '..', 'gone-cache')
  const tar = join(dir, '..', 'gone.tar')
  for (let delay = 60; delay <= 660; delay += 100) {
    writeFileSync(join(dir, 'big'), randomBytes(24 << 20))
    const outputs = ['-o', `type=oci,dest=${tar}`, '--cache-to', `type=local,dest=${cache},mode=max`]
    const child = buildx.start(['buildx', 'build', ...outputs, dir])
    const gone = new Promise((closed) => child.once('close', closed))
    await sleep(delay)
    child.kill('SIGKILL')
    await gone
  }
  const left = (): string[] =>
    ['run/build', 'run/steps', 'lib/build/contexts', 'lib/content/ingest'].flatMap((path) => {
      const whole = join(buildx.instance.home, path)
      return existsSync(whole) ? readdirSync(whole).map((name) => `${path}/${name}`) : []
    })
  for (let i = 0; left().length > 0 && i < 200; i++) await sleep(50)
  assert.deepEqual(left(), [])
  const { stdout } = await ok(['buildx', 'du', '--verbose'])
  assert.doesNotMatch(stdout, /In use:\s+true/)
  await ok(['buildx', 'build', '-t', 'gone', dir])
  const sum = createHash('sha256')
    .update(readFileSync(join(dir, 'big')))
    .digest('hex')
  assert.match((await ok(['run', '--rm', 'gone', 'sha256sum', '/big'])).stdout, new RegExp(sum))
})

test('questions about a Dockerfile: outline, targets, lint', async () => {
  const dir = project('asked', {
    Dockerfile: [
      '# first where it begins',
      'FROM base AS first',
      '# WHO whom to greet',
      'ARG WHO=nobody',
      'RUN --mount=type=secret,id=token,required=true true',
      'FROM base',
      'FROM first as last',
      'RUN --mount=type=secret,id=another true',
    ].join('\n'),
  })
  const ask = async (what: string): Promise<string> =>
    (await ok(['buildx', 'build', `--print=${what}`, dir], { env: { BUILDX_EXPERIMENTAL: '1' } })).stdout
  assert.match(await ask('outline'), /WHO +nobody +whom to greet\n[\s\S]*token +true\nanother/)
  assert.match(await ask('targets'), /first +where it begins\n *\nlast \(default\)/)
  assert.match(await ask('lint'), /FromAsCasing[\s\S]*Dockerfile:7/)
  assert.match(
    await ask('subrequests.describe'),
    /^outline +1\.0\.0 +List all[\s\S]*^subrequests\.describe 1\.0\.0 +List/m,
  )
})

test('what steps may use: hosts, limits, shared memory, networks by leave', async () => {
  const dir = project('steps', {
    Dockerfile: 'FROM base\nRUN cat /etc/hosts; ulimit -n; df /dev/shm\n',
    'host.Dockerfile': 'FROM base\nRUN --network=host true\n',
  })
  const flags = [
    '--add-host',
    'a=1.2.3.4',
    '--add-host',
    'out=host-gateway',
    '--ulimit',
    'nofile=100:200',
    '--shm-size',
    '32m',
  ]
  const { all } = await ok(['buildx', 'build', ...flags, dir])
  assert.match(all, /1\.2\.3\.4\ta\n[\s\S]*\d+\.\d+\.\d+\.\d+\tout\n[\s\S]* 100\n[\s\S]*shm +32768/)
  const host = ['buildx', 'build', '-f', join(dir, 'host.Dockerfile'), dir]
  const refused = await run(host)
  assert.match(refused.all, /network\.host is not allowed/)
  await ok([...host, '--allow', 'network.host'])
})

test('an ssh agent nobody offers is left out, unless it is required', async () => {
  const dir = project('agents', {
    Dockerfile: 'FROM base\nRUN --mount=type=ssh echo "agent: [$SSH_AUTH_SOCK]"\n',
    'required.Dockerfile': 'FROM base\nRUN --mount=type=ssh,required=true true\n',
  })
  assert.match((await ok(['buildx', 'build', dir])).all, /agent: \[\]/)
  const { code, all } = await run(['buildx', 'build', '-f', join(dir, 'required.Dockerfile'), dir])
  assert.equal(code, 1)
  assert.match(all, /unset ssh forward key default/)
})

test('an agent is a socket while the step runs, and gone afterwards', async () => {
  const socket = join(buildx.dir, 'agent')
  const env = { SSH_AUTH_SOCK: socket }
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  agent.once('error', (error) => assert.fail(`ssh-agent does not run: ${error.message}`))
  try {
    for (let i = 0; !existsSync(socket) && i < 100; i++) await sleep(50)
    const dir = project('with-agent', {
      Dockerfile: [
        'FROM base',
        'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo "agent: $SSH_AUTH_SOCK"',
        'RUN --mount=type=ssh,uid=7,gid=8,mode=640 stat -c "owned: %u %g %a" "$SSH_AUTH_SOCK"',
        '',
      ].join('\n'),
    })
    const { all } = await ok(['buildx', 'build', '--ssh', 'default', dir], { env })
    assert.match(all, /\d agent: \/run\/buildkit\/ssh_agent\.0/)
    assert.match(all, /\d owned: 7 8 640/)
  } finally {
    agent.kill()
  }
  const left = join(buildx.instance.home, 'run/agents')
  assert.deepEqual(existsSync(left) ? readdirSync(left) : [], [])
})

test('what is not done is said', async () => {
  const dir = project('told', { Dockerfile: 'FROM base\n' })
  const refused = await run(['buildx', 'build', '--attest', 'type=other', dir])
  assert.equal(refused.code, 1)
  assert.match(refused.all, /unsupported attestation type "other"/)
  assert.match((await ok(['buildx', 'build', '--sbom=true', dir])).all, /images without a name have no attestations/)
  assert.doesNotMatch((await ok(['buildx', 'build', '--provenance=false', '--sbom=false', dir])).all, /ttestations/)
})

test('the cache is listed and pruned', async () => {
  const { stdout } = await ok(['buildx', 'du'])
  assert.match(stdout, /Total:/)
  const { stdout: rows } = await ok(['system', 'df', '-v', '--format', '{{json .BuildCache}}'])
  const cache = JSON.parse(rows) as { ID: string; CacheType: string; Shared: string }[]
  assert.match(stdout, new RegExp(`^${cache[0]!.ID}`, 'm'), 'system df and buildx du tell of the same')
  const count = async (): Promise<number> =>
    Number((await ok(['system', 'df', '--format', '{{.TotalCount}}'])).stdout.split('\n').at(3))
  assert.equal(await count(), cache.length)
  for (const kept of [
    ['builder', 'prune', '-f', '--keep-storage', '10gb'],
    ['builder', 'prune', '-af', '--filter', 'until=1h'],
    ['builder', 'prune', '-af', '--filter', 'type=frontend'],
    ['buildx', 'prune', '-af', '--filter', 'id==nothing'],
  ])
    await ok(kept)
  assert.equal(await count(), cache.length)
  const local = cache.filter(({ CacheType }) => CacheType === 'source.local').length
  assert.ok(local > 0)
  await ok(['builder', 'prune', '-f', '--filter', 'type=source.local'])
  assert.equal(await count(), cache.length - local)
  assert.match((await ok(['buildx', 'prune', '-af'])).stdout, /Total:/)
  assert.equal(await count(), 0)
})

test('DOCKER_BUILDKIT=0: a context of many files, again and again; what has changed is seen', async () => {
  const dir = project('classic-many', { Dockerfile: 'FROM base\nCOPY src /src\n' })
  mkdirSync(join(dir, 'src'))
  for (let i = 0; i < 300; i++) writeFileSync(join(dir, 'src', String(i)), `file ${i}\n`)
  const env = { DOCKER_BUILDKIT: '0' }
  const build = async (): Promise<string> => (await ok(['build', '-q', '-t', 'classic-many', dir], { env })).stdout
  const files = async (): Promise<string> =>
    (await ok(['run', '--rm', 'classic-many', 'sh', '-c', 'cd /src; cat 0 7; ls | wc -l'])).stdout
  const first = await build()
  assert.equal(await build(), first)
  assert.equal(await files(), 'file 0\nfile 7\n300\n')
  // As long as before, and of the same second: the content decides.
  const { atime, mtime } = statSync(join(dir, 'src/7'))
  writeFileSync(join(dir, 'src/7'), 'FILE 7\n')
  utimesSync(join(dir, 'src/7'), atime, mtime)
  rmSync(join(dir, 'src/299'))
  assert.notEqual(await build(), first)
  assert.equal(await files(), 'file 0\nFILE 7\n299\n')
  assert.match((await ok(['buildx', 'du', '--verbose'])).stdout, /received-/)
  await ok(['builder', 'prune', '-af'])
  assert.doesNotMatch((await ok(['buildx', 'du', '--verbose'])).stdout, /received-/)
  assert.equal(await files(), 'file 0\nFILE 7\n299\n')
})

test('DOCKER_BUILDKIT=0 builds the classic way, within limits', async () => {
  const limits = 'cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes'
  const dir = project('classic', { Dockerfile: `FROM base\nRUN ${limits}\n` })
  const { all } = await ok(['build', '-t', 'classic', '--memory', '64m', dir], { env: { DOCKER_BUILDKIT: '0' } })
  assert.match(all, /Step 2\/2 : RUN cd /)
  assert.match(all, /\n67108864\n/)
})

test('attestations of files lie beside them; what clashes is said', async () => {
  const at = (name: string): string => join(buildx.dir, name)
  const dir = project('said', {
    Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY text /text-$TARGETARCH\n',
    text: 'x',
  })
  const said = ['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', '--provenance=true', '-o']
  await ok([...said, `type=local,dest=${at('said')}`, dir])
  const { subject, predicateType } = JSON.parse(readFileSync(at('said/linux_arm64/provenance.json'), 'utf8'))
  const sha256 = createHash('sha256').update('x').digest('hex')
  assert.deepEqual(subject, [{ name: 'text-arm64', digest: { sha256 } }])
  assert.equal(predicateType, 'https://slsa.dev/provenance/v0.2')
  await ok([...said, `type=tar,dest=${at('said.tar')},platform-split=false,attestation-prefix=of-`, dir])
  const listed = execFileSync('tar', ['tf', at('said.tar')], { encoding: 'utf8' }).split('\n')
  assert.deepEqual(listed.slice(0, 2), ['of-provenance.linux_amd64.json', 'of-provenance.linux_arm64.json'])
  const same = project('same', {
    Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /file\n',
    amd64: 'a',
    arm64: 'b',
  })
  for (const output of [`type=tar,dest=${at('clash.tar')}`, `type=local,dest=${at('clash')}`]) {
    const { all } = await run([...said, `${output},platform-split=false`, same])
    assert.match(all, /cannot overwrite file of one platform with another's when split option is disabled/)
  }
})

/** The layout in `directory` with all layers compressed anew, in `to`, as `name`. */
const compressedAnew = (directory: string, to: string, name: string): void => {
  const at = (root: string, digest: string): string => join(root, 'blobs', digest.replace(':', '/'))
  mkdirSync(join(to, 'blobs/sha256'), { recursive: true })
  const put = (data: Buffer): { digest: string; size: number } => {
    const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`
    writeFileSync(at(to, digest), data)
    return { digest, size: data.length }
  }
  const changed = (descriptor: { digest: string }): object => {
    const document = JSON.parse(readFileSync(at(directory, descriptor.digest), 'utf8'))
    if (document.manifests) document.manifests = document.manifests.map(changed)
    else {
      put(readFileSync(at(directory, document.config.digest)))
      for (const layer of document.layers)
        Object.assign(layer, put(gzipSync(gunzipSync(readFileSync(at(directory, layer.digest))), { level: 1 })))
    }
    return { ...descriptor, ...put(Buffer.from(JSON.stringify(document))) }
  }
  const [root] = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')).manifests
  const manifests = [{ ...changed(root), annotations: { 'io.containerd.image.name': name } }]
  writeFileSync(join(to, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  writeFileSync(join(to, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

test('names for several platforms share layers whose archives differ: each goes out as it was', async () => {
  const dir = project('shared', {
    Dockerfile: 'FROM scratch\nCOPY busybox /\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n',
  })
  await ok(['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', '-t', 'shared:own', dir])
  const saved = async (name: string): Promise<{ root: string; digest: string }> => {
    const root = join(buildx.dir, `saved-${name.replace(':', '-')}`)
    mkdirSync(root, { recursive: true })
    await ok(['save', '-o', `${root}.tar`, name])
    execFileSync('tar', ['-xf', `${root}.tar`, '-C', root])
    return { root, digest: JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')).manifests[0].digest }
  }
  const own = await saved('shared:own')
  const other = join(buildx.dir, 'other')
  compressedAnew(own.root, other, 'docker.io/library/shared:other')
  execFileSync('tar', ['-cf', `${other}.tar`, '-C', other, '.'])
  assert.match((await ok(['load', '-i', `${other}.tar`])).stdout, /^Loaded image: shared:other\n$/)
  const { digest } = JSON.parse(readFileSync(join(other, 'index.json'), 'utf8')).manifests[0]
  assert.notEqual(digest, own.digest)
  assert.deepEqual([(await saved('shared:own')).digest, (await saved('shared:other')).digest], [own.digest, digest])
  await ok(['rmi', 'shared:other'])
  assert.equal((await saved('shared:own')).digest, own.digest)
})
