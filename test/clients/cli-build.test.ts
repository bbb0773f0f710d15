/** slipway build PATH: docker buildx's flags, outputs and displays on a machine without either. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { shellWords } from '../../src/lib/shell-words.ts'
import { type Ran, type RunOptions, startDocker, until } from './docker-kit.ts'
import { startRegistry } from './images-kit.ts'
import { slipwayHere } from './side-by-side.ts'

const docker = startDocker()
after(() => docker.stop())
const { env } = docker.instance

/** A directory of files to build. */
const project = (name: string, files: Record<string, string>): string => {
  const dir = join(docker.dir, name)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(dir, path, '..'), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  return dir
}
const build = (cwd: string, line: string, options: RunOptions = {}): Promise<Ran> =>
  slipwayHere(['build', ...shellWords(line)], { env, cwd, ...options })
const ok = async (cwd: string, line: string, options: RunOptions = {}): Promise<Ran> => {
  const ran = await build(cwd, line, options)
  assert.equal(ran.code, 0, `slipway build ${line}: ${ran.stderr}`)
  return ran
}
const inside = (image: string, ...command: string[]): Promise<string> => docker.ok('run', '--rm', image, ...command)

const stages = project('stages', {
  Dockerfile: `# syntax=docker/dockerfile:1
ARG WHICH=one
FROM busybox AS base
ARG WHICH
# GREETING what it says
ARG GREETING=hello
RUN echo "$GREETING $WHICH" > /said
FROM base AS second
RUN --mount=type=secret,id=word --mount=type=secret,id=file cat /run/secrets/word /run/secrets/file > /secrets
COPY --from=more extra /extra
FROM scratch AS files
COPY a /top
COPY b/c /below/c
FROM base
COPY a /a
CMD ["cat", "/said"]
`,
  a: 'a\n',
  'b/c': 'c\n',
  'other/extra': 'extra\n',
})

test('names, arguments, labels, targets; ids and metadata in files', async () => {
  const line =
    '-t made:1 -t made:2 --build-arg GREETING=hi --build-arg WHICH --label l=v --iidfile id --metadata-file meta .'
  const { stderr } = await ok(stages, line, { env: { ...env, WHICH: 'here' } })
  assert.match(stderr, /^#1 \[internal\] load build definition from Dockerfile\n/)
  assert.match(stderr, /naming to docker\.io\/library\/made:1 done\n/)
  assert.equal(await inside('made:2'), 'hi here')
  assert.equal(
    await docker.ok('inspect', '-f', '{{.Config.Labels.l}} {{.Id}}', 'made:1'),
    `v ${readFileSync(join(stages, 'id'))}`,
  )
  const meta = JSON.parse(readFileSync(join(stages, 'meta'), 'utf8'))
  assert.equal(meta['image.name'], 'docker.io/library/made:1,docker.io/library/made:2')
  assert.equal(meta['containerimage.config.digest'], String(readFileSync(join(stages, 'id'))))
  const quiet = await ok(stages, '-q -t made:3 .')
  assert.match(quiet.stdout, /^sha256:[0-9a-f]{64}\n$/)
  assert.equal(quiet.stderr, '')
  assert.match((await ok(stages, '-t made:3 .')).stderr, /\nCACHED|#\d+ CACHED\n/)
  assert.doesNotMatch((await ok(stages, '--no-cache --target base .')).stderr, /RUN .*\n#\d+ CACHED/)
})

test('secrets of variables and files, further contexts', async () => {
  writeFileSync(join(stages, 'secret'), 'filed\n')
  const more = '--secret id=word,env=WORD --secret id=file,src=secret --build-context more=other'
  await ok(stages, `--target second -t second ${more} .`, { env: { ...env, WORD: 'spoken ' } })
  assert.equal(await inside('second', 'cat', '/secrets', '/extra'), 'spoken filed\nextra')
  assert.match((await build(stages, '--secret id=nosuch .')).stderr, /^ERROR: failed to stat nosuch: /)
})

test("the file of buildx's variable says where sources may come from", async () => {
  const under = async (policy: string): Promise<Ran> => {
    writeFileSync(join(stages, 'policy.json'), policy)
    const given = { env: { ...env, EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: 'policy.json' } }
    return await build(stages, '--target files .', given)
  }
  const denied = await under('{"rules":[{"action":"DENY","selector":{"identifier":"local://*"}}]}')
  assert.match(denied.stderr, /ERROR: .*source "local:\/\/context" denied by policy/)
  assert.equal(denied.code, 1)
  assert.equal((await under('{"rules":[]}')).code, 0)
  assert.match((await under('[')).stderr, /ERROR: failed to parse source policy: /)
  assert.match((await under('{"rules":[{"action":"X","selector":{}}]}')).stderr, /ERROR: .*unknown action: X/)
})

test('outputs: directories, archives, layouts, standard output', async () => {
  mkdirSync(join(stages, 'out/top'), { recursive: true })
  await ok(stages, '--target files -o out .')
  assert.equal(
    readFileSync(join(stages, 'out/top'), 'utf8') + readFileSync(join(stages, 'out/below/c'), 'utf8'),
    'a\nc\n',
  )
  const piped = await ok(stages, '--target files -o - .')
  const names = execFileSync('tar', ['-t'], { input: Buffer.from(piped.stdout, 'latin1'), encoding: 'utf8' })
  assert.deepEqual(names.trim().split('\n'), ['below/', 'below/c', 'top'])
  await ok(
    stages,
    '-t saved:1 -o type=docker,dest=saved.tar -o type=oci,dest=new/dir/oci.tar -o type=oci,tar=false,dest=layout .',
  )
  assert.match(await docker.ok('load', '-i', join(stages, 'saved.tar')), /saved:1/)
  assert.match(execFileSync('tar', ['-tf', join(stages, 'new/dir/oci.tar')], { encoding: 'utf8' }), /^oci-layout$/m)
  assert.ok(existsSync(join(stages, 'layout/index.json')) && existsSync(join(stages, 'layout/oci-layout')))
  const on = project('on-layout', { Dockerfile: 'FROM there\nRUN cat /said > /again\n' })
  await ok(on, '-t again --build-context there=oci-layout://../stages/layout:1 .')
  assert.equal(await inside('again', 'cat', '/again'), 'hello one')
  const missing = await build(on, '--build-context there=oci-layout://../stages/layout:nope .')
  assert.match(missing.stderr, /could not find manifest nope in /)
  for (const wrong of ['-o type=foo .', '-o type=local .', '-o type=local,dest=- .'])
    assert.match((await build(stages, wrong)).stderr, /^ERROR: /, wrong)
})

test('mode=delete leaves nothing else in a directory; where that may be is asked', async () => {
  const elsewhere = project('elsewhere', { 'kept/old': 'x' })
  const cwd = project('deleting', { 'out/old/deep': 'x', 'out/below/stale': 'x', 'out/below/c': 'before' })
  symlinkSync(join(elsewhere, 'kept'), join(cwd, 'out/link'))
  symlinkSync(elsewhere, join(cwd, 'away'))
  const to = (dest: string, more = ''): string =>
    `--target files -o type=local,dest=${dest},mode=delete ${more} ../stages`
  await ok(cwd, to('out'))
  assert.deepEqual(readdirSync(join(cwd, 'out'), { recursive: true }).sort(), ['below', 'below/c', 'top'])
  assert.equal(readFileSync(join(cwd, 'out/below/c'), 'utf8'), 'c\n')
  assert.equal(readFileSync(join(elsewhere, 'kept/old'), 'utf8'), 'x')
  for (const dest of ['.', '..', elsewhere, 'away', 'away/new'])
    assert.match((await build(cwd, to(dest))).stderr, /only allowed below the working directory/, dest)
  await ok(cwd, to(elsewhere, '--allow buildx.local.delete'))
  assert.deepEqual(readdirSync(elsewhere).sort(), ['below', 'top'])
  assert.match((await build(cwd, to('out').replace('delete', 'move'))).stderr, /invalid local exporter mode "move"/)
})

test('limits of steps', async () => {
  // What tail has to remember is more than it may have.
  const cwd = project('limited', { Dockerfile: 'FROM busybox\nRUN head -c 20000000 /dev/zero | tail -n 1 | wc -c\n' })
  assert.match((await ok(cwd, '--progress plain --resource cpu-quota=50000 .')).stderr, /\d 20000000\n/)
  const limited = await build(cwd, '--progress plain --no-cache --resource memory=8m --resource memory-swap=8m .')
  assert.doesNotMatch(limited.stderr, /\d 20000000\n/)
  const refused = async (resource: string, message: RegExp): Promise<void> =>
    assert.match((await build(cwd, `--resource ${resource} .`)).stderr, message)
  await refused('memory=lots', /invalid resource "memory=lots": invalid size/)
  await refused('disk=1', /expected KEY=VALUE with one of memory/)
  await refused('cpu-quota=0', /invalid cpu-quota value: 0: must be > 0/)
})

test('annotations go to the levels and platforms that they name', async () => {
  const two = '--platform linux/amd64,linux/arm64 -o type=oci,dest=annotated,tar=false'
  const at = '--annotation index:a=1 --annotation manifest[linux/arm64],manifest-descriptor:b=2 --annotation c=3'
  await ok(project('annotated', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' }), `${two} ${at} .`)
  const blob = (digest: string) =>
    JSON.parse(readFileSync(join(docker.dir, 'annotated/annotated/blobs/sha256', digest.slice(7)), 'utf8'))
  const top = JSON.parse(readFileSync(join(docker.dir, 'annotated/annotated/index.json'), 'utf8')).manifests[0]
  const index = blob(top.digest)
  assert.deepEqual(index.annotations, { a: '1' })
  const [amd, arm] = index.manifests
  assert.deepEqual([amd.annotations, arm.annotations], [{ b: '2' }, { b: '2' }])
  assert.deepEqual([blob(amd.digest).annotations, blob(arm.digest).annotations], [{ c: '3' }, { b: '2', c: '3' }])
  assert.match((await build(stages, '--annotation layer:x=y .')).stderr, /unknown annotation type "layer"/)
  assert.match((await build(stages, '--annotation x .')).stderr, /expected key=value/)
})

test('contexts: standard input, Dockerfiles of elsewhere, nothing', async () => {
  const archive = execFileSync('tar', ['-C', stages, '-czf', '-', 'Dockerfile', 'a', 'b'])
  await ok(docker.dir, '-t piped -', { input: archive })
  assert.equal(await inside('piped', 'cat', '/a'), 'a')
  await ok(docker.dir, '-t typed -', { input: 'FROM busybox\nRUN echo typed > /t\n' })
  assert.equal(await inside('typed', 'cat', '/t'), 'typed')
  await ok(stages, '-t mixed -f - .', { input: 'FROM busybox\nCOPY a /mixed\n' })
  assert.equal(await inside('mixed', 'cat', '/mixed'), 'a')
  writeFileSync(join(docker.dir, 'Elsewhere'), 'FROM busybox\nCOPY a /elsewhere\n')
  await ok(stages, `-t elsewhere -f ${join(docker.dir, 'Elsewhere')} .`)
  assert.equal(await inside('elsewhere', 'cat', '/elsewhere'), 'a')
  assert.match(
    (await build(stages, './nosuch')).stderr,
    /^ERROR: unable to prepare context: path "\.\/nosuch" not found/,
  )
})

test('caches in directories', async () => {
  const dir = project('cached', { Dockerfile: 'FROM busybox\nRUN head -c 8 /dev/urandom > /random\n' })
  await ok(dir, '-t first --cache-to type=local,dest=cache,mode=max .')
  const random = await inside('first', 'dd', 'if=/random')
  await docker.ok('builder', 'prune', '-af')
  await docker.ok('rmi', 'first')
  await ok(dir, '-t second --cache-from type=local,src=cache .')
  assert.equal(await inside('second', 'dd', 'if=/random'), random)
})

test('questions: check, outline, targets', async () => {
  const dir = project('lint', { Dockerfile: 'FROM busybox AS one\nARG X=1\nCMD echo hi\n' })
  const found = await build(dir, '--check .')
  assert.equal(found.code, 1)
  assert.match(found.stdout, /^Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended - https:/)
  assert.match(found.stdout, />>> CMD echo hi\n/)
  assert.equal(
    (await ok(stages, '--check --build-context more=other .')).stdout,
    'Check complete, no warnings found.\n',
  )
  assert.match(
    (await ok(stages, '--call outline .')).stdout,
    /^BUILD ARG +VALUE +DESCRIPTION\n(?:.*\n)*GREETING +hello +what it says\n/,
  )
  assert.match(
    (await ok(stages, '--call=targets .')).stdout,
    /^TARGET +DESCRIPTION\nbase\nsecond\nfiles\n\(default\)\n$/,
  )
  const json = JSON.parse((await ok(stages, '--call targets,format=json .')).stdout)
  assert.equal(json.targets.length, 4)
})

test('a failure: the step, its last lines, the line; what cannot be', async () => {
  const dir = project('fails', { Dockerfile: 'FROM busybox AS one\nRUN echo last words; exit 3\n' })
  const { code, stderr } = await build(dir, '.')
  assert.equal(code, 1)
  assert.doesNotMatch(stderr, /load build context/, 'nothing reads it')
  assert.match(stderr, /------\n > \[2\/2\] RUN echo last words; exit 3:\n\d+\.\d{3} last words\n------\n/)
  assert.match(stderr, / {3}1 \| {5}FROM busybox AS one\n {3}2 \| >>> RUN echo last words; exit 3\n/)
  assert.match(
    stderr,
    /ERROR: failed to build: failed to solve: process "\/bin\/sh -c echo last words; exit 3" did not complete successfully: exit code: 3\n$/,
  )
  assert.match((await build(dir, '--attest mode=max .')).stderr, /^ERROR: attestation type not specified/)
  assert.match((await build(dir, '--provenance=mode=some .')).stderr, /invalid mode "some"/)
  assert.match((await build(dir, '--allow everything .')).stderr, /^ERROR: unknown entitlement everything/)
  assert.match((await build(dir, '--no-cache --no-cache-filter one .')).stderr, /cannot currently be used together/)
})

test('rawjson: what BuildKit says, line by line', async () => {
  const { stderr } = await ok(stages, '--progress rawjson --no-cache .')
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const vertices = lines.flatMap((line) => line.vertexes ?? [])
  const run = vertices.filter(({ name }: { name: string }) => name.includes('RUN echo'))
  assert.ok(run.length > 0)
  assert.deepEqual(Object.keys(run.at(-1)).sort(), ['cached', 'completed', 'digest', 'name', 'started'])
})

test('an interrupt at a terminal: the display ends, the build goes away', async () => {
  const dir = project('slow', { Dockerfile: 'FROM busybox\nRUN echo begun; sleep 60\n' })
  const program = fileURLToPath(new URL('../../slipway', import.meta.url))
  const typed = `stty rows 24 cols 80; exec ${program} build .`
  const child = spawn('script', ['-qec', typed, '/dev/null'], { env, cwd: dir, stdio: ['pipe', 'pipe', 'inherit'] })
  let shown = ''
  child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  await until('the step', async () => shown.includes('# begun'))
  assert.match(shown, /\[\+\] Building \d+\.\ds \(\d+\/\d+\) {10,}slipway/)
  child.stdin.write('\u0003')
  assert.equal(await ended, 130)
  assert.match(shown, /CANCELED \[2\/2\] RUN echo begun; sleep 60/)
  await until(
    'no process of it',
    async () => !execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).includes('echo begun; sleep 60'),
  )
  assert.equal(lstatSync(dir).isDirectory(), true)
})

test('services are built as before; the word decides', async () => {
  const dir = project('services', {
    'compose.yaml': 'name: svc\nservices:\n  web:\n    image: svc-web\n    build: ./web\n',
    'web/Dockerfile': 'FROM busybox\nRUN echo web > /w\n',
  })
  await ok(dir, 'web')
  assert.equal(await inside('svc-web', 'cat', '/w'), 'web')
  await ok(dir, '-t by-place ./web')
  await ok(dir, '-t by-flag web')
  assert.equal(await inside('by-flag', 'cat', '/w'), 'web')
  const { stdout } = await slipwayHere(['image', 'build', '--help'], { env })
  const byOtherName = await slipwayHere(['docker', 'buildx', 'build', '--help'], { env })
  assert.equal(byOtherName.stdout.replaceAll('docker buildx build', 'image build'), stdout)
  assert.match(stdout, /^Usage: {2}slipway image build \[OPTIONS\] PATH \| URL \| -\n/)
})

test('pushed by digest: no tag anywhere, here or there; with provenance as an index', async () => {
  const registry = await startRegistry(docker.dir)
  try {
    const dir = project('by-digest', { Dockerfile: 'FROM busybox\nRUN echo by digest > /said\n' })
    const name = `${registry.host}/by/digest`
    const images = await docker.ok('images', '-a', '-q')
    const digests: string[] = []
    for (const type of ['type=registry', 'type=image,push=true']) {
      const { stderr } = await ok(dir, `-o ${type},push-by-digest=true,name=${name} --metadata-file meta .`)
      const told = JSON.parse(readFileSync(join(dir, 'meta'), 'utf8'))
      assert.equal(told['image.name'], name)
      assert.ok(stderr.includes(`pushing manifest for ${name}@${told['containerimage.digest']}`), stderr)
      digests.push(told['containerimage.digest'])
    }
    assert.equal(digests[0], digests[1])
    const tagged = await fetch(`http://${registry.host}/v2/by/digest/tags/list`)
    assert.equal(((await tagged.json()) as { tags?: string[] | null }).tags ?? null, null)
    assert.equal(await docker.ok('images', '-a', '-q'), images)
    await docker.ok('pull', '-q', `${name}@${digests[0]}`)
    assert.equal(await inside(`${name}@${digests[0]}`, 'cat', '/said'), 'by digest')
    const refused = await build(dir, `-o type=registry,push-by-digest=true,name=${name}:1 .`)
    assert.match(refused.stderr, /ERROR: .*can't push tagged ref 127\.0\.0\.1:\d+\/by\/digest:1 by digest/)

    await ok(dir, `-o type=registry,push-by-digest=true,name=${name} --provenance=true --metadata-file meta .`)
    const told = JSON.parse(readFileSync(join(dir, 'meta'), 'utf8'))
    assert.equal(told['containerimage.descriptor'].mediaType, 'application/vnd.oci.image.index.v1+json')
  } finally {
    registry.stop()
  }
})
