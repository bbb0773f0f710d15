/** What becomes of a build: indexes of several platforms, archives, directories, registries, and how their parts are written. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const buildx = startBuildx()
const { ok, run, project } = buildx
let registry: Registry
after(() => {
  registry?.stop()
  buildx.stop()
})

const perPlatform = `FROM scratch
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM
COPY text /text-$TARGETARCH$TARGETVARIANT
LABEL target=$TARGETPLATFORM os=$TARGETOS build=$BUILDPLATFORM
`
let dir = ''
before(async () => {
  registry = await startRegistry(buildx.dir)
  dir = project('platforms', { Dockerfile: perPlatform, text: 'hello' })
  await ok(['buildx', 'build', '-t', 'base', project('base', { Dockerfile: shell })])
})

interface Descriptor {
  mediaType: string
  digest: string
  platform?: { os: string; architecture: string; variant?: string }
  annotations?: Record<string, string>
}
interface Document {
  mediaType: string
  manifests: Descriptor[]
  config: Descriptor
  layers: Descriptor[]
  annotations?: Record<string, string>
  artifactType?: string
  subject?: Descriptor
}
const at = (path: string): string => join(buildx.dir, path)
const json = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T
const blob = <T = Document>(layout: string, { digest }: Descriptor): T =>
  json(join(layout, 'blobs/sha256', digest.slice(7)))
const remote = async (path: string): Promise<Document> => {
  const types = [
    'oci.image.index.v1',
    'oci.image.manifest.v1',
    'docker.distribution.manifest.list.v2',
    'docker.distribution.manifest.v2',
  ]
  const accept = types.map((type) => `application/vnd.${type}+json`).join(', ')
  const answer = await fetch(`http://${registry.host}/v2/${path}`, { headers: { accept } })
  assert.equal(answer.status, 200, path)
  return (await answer.json()) as Document
}

test('several platforms: an index with an image each, as an archive, a directory and files', async () => {
  const platform = ['--platform', 'linux/amd64,linux/arm64,linux/arm/v6']
  const tar = at('multi.tar')
  const layout = at('multi-layout')
  const files = at('multi-files')
  const { all } = await ok([
    ...['buildx', 'build', ...platform, '-o', `type=oci,dest=${tar},name=reg.example/multi:1`],
    ...['-o', `type=oci,dest=${layout},tar=false`, '-o', `type=local,dest=${files}`, dir],
  ])
  assert.match(all, /\[linux\/arm64 1\/1\] COPY text \/text-arm64/)
  mkdirSync(at('multi'))
  execFileSync('tar', ['xf', tar, '-C', at('multi')])
  for (const from of [at('multi'), layout]) {
    const [top] = json<Document>(join(from, 'index.json')).manifests
    const index = blob(from, top!)
    assert.equal(index.mediaType, 'application/vnd.oci.image.index.v1+json')
    const found = index.manifests.map((each) => {
      const config = blob<{ architecture: string; variant?: string; config: { Labels: object } }>(
        from,
        blob(from, each).config,
      )
      return { ...each.platform, ...config.config.Labels, same: config.architecture === each.platform?.architecture }
    })
    const common = { os: 'linux', build: 'linux/amd64', same: true }
    assert.deepEqual(found, [
      { ...common, architecture: 'amd64', target: 'linux/amd64' },
      { ...common, architecture: 'arm64', target: 'linux/arm64' },
      { ...common, architecture: 'arm', variant: 'v6', target: 'linux/arm/v6' },
    ])
  }
  const named = json<Document>(join(at('multi'), 'index.json')).manifests[0]!.annotations
  assert.equal(named?.['io.containerd.image.name'], 'reg.example/multi:1')
  assert.deepEqual(readdirSync(files).sort(), ['linux_amd64', 'linux_arm64', 'linux_arm_v6'])
  assert.equal(readFileSync(join(files, 'linux_arm_v6/text-armv6'), 'utf8'), 'hello')
  assert.match(
    execFileSync('skopeo', ['inspect', '--override-arch=arm64', `oci:${layout}`], { encoding: 'utf8' }),
    /arm64/,
  )

  const single = at('single')
  const one = ['--build-arg', 'BUILDKIT_MULTI_PLATFORM=1', '-o', `type=oci,dest=${single},tar=false`]
  assert.match((await ok(['buildx', 'build', ...one, dir])).all, /\[linux\/amd64 1\/1\] COPY/)
  assert.equal(blob(single, json<Document>(join(single, 'index.json')).manifests[0]!).manifests.length, 1)

  const merged = at('merged')
  const split = ['-o', `type=local,dest=${merged},platform-split=false`]
  await ok(['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', ...split, dir])
  assert.deepEqual(readdirSync(merged).sort(), ['text-amd64', 'text-arm64'])
})

test('several platforms: pushed as an index that others build on; what would lose one is refused', async () => {
  const name = `${registry.host}/multi:1`
  const metadata = at('metadata.json')
  const push = ['--push', '-t', name, '--metadata-file', metadata]
  await ok(['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', ...push, dir])
  const index = await remote('multi/manifests/1')
  assert.deepEqual(
    index.manifests.map(({ platform }) => platform?.architecture),
    ['amd64', 'arm64'],
  )
  const told = json<Record<string, unknown>>(metadata)
  assert.equal((told['containerimage.descriptor'] as Descriptor).digest, told['containerimage.digest'])
  assert.equal(told['image.name'], name)
  assert.match(String(told['buildx.build.ref']), /default/)

  const on = project('on-multi', { Dockerfile: `FROM ${name}\nCOPY text /more\n`, text: 'more' })
  const files = at('on-multi-files')
  await ok(['pull', name])
  await ok(['buildx', 'build', '--platform', 'linux/arm64,linux/amd64', '-o', files, on])
  assert.deepEqual(readdirSync(join(files, 'linux_arm64')).sort(), ['more', 'text-arm64'])
  assert.deepEqual(readdirSync(join(files, 'linux_amd64')).sort(), ['more', 'text-amd64'])
  // The name is still that of this machine's image.
  assert.match((await ok(['image', 'inspect', name, '-f', '{{.Architecture}}'])).stdout, /amd64/)

  const both = ['buildx', 'build', '--platform', 'linux/amd64,linux/arm64']
  const rewritten = ['-o', 'type=image,rewrite-timestamp=true']
  for (const how of [rewritten, ['-o', `type=docker,dest=${at('lost.tar')}`]]) {
    const { code, all } = await run([...both, ...how, dir])
    assert.equal(code, 1)
    assert.match(all, /docker exporter does not (?:currently )?support exporting manifest lists/)
  }
  // Written anew under a name they come into the store as a whole, with what is said of them.
  const anew = `${registry.host}/anew:1`
  const same = [...both, '--build-arg', 'SOURCE_DATE_EPOCH=1700000000', '--provenance=true', dir]
  const stored = `type=image,name=${anew},oci-mediatypes=true,rewrite-timestamp=true`
  await ok([...same, '-o', stored])
  await ok([...same, '-o', `type=oci,dest=${at('anew')},tar=false,rewrite-timestamp=true`])
  await ok(['push', anew])
  const imagesOf = ({ manifests }: Document): string[] => manifests.slice(0, 2).map(({ digest }) => digest)
  const pushed = await remote('anew/manifests/1')
  assert.equal(pushed.manifests.length, 4)
  const layout = blob(at('anew'), json<Document>(join(at('anew'), 'index.json')).manifests[0]!)
  assert.deepEqual(imagesOf(pushed), imagesOf(layout))
  assert.match((await ok(['image', 'inspect', '--platform', 'linux/arm64', '-f', '{{.Os}}', anew])).stdout, /linux/)
})

test('several platforms in the image store: one name, tagged, pushed and removed as one', async () => {
  const name = `${registry.host}/kept:1`
  const own = project('kept', { Dockerfile: `${perPlatform}LABEL only=here\n`, text: 'kept' })
  const both = ['buildx', 'build', '--platform', 'linux/amd64,linux/arm64', '--provenance=true']
  const listed = async (): Promise<string[]> =>
    (await ok(['images', '-a', '--format', '{{.Repository}}:{{.Tag}}'])).stdout.split('\n').filter(Boolean).sort()
  await ok(['image', 'prune', '-f'])
  const before = await listed()
  const count = async (): Promise<string> => (await ok(['info', '-f', '{{.Images}}'])).stdout
  const images = Number(await count())
  await ok([...both, '-t', name, own])
  assert.deepEqual(await listed(), [...before, name].sort())
  assert.equal(Number(await count()), images + 1)
  const architecture = async (...args: string[]): Promise<string> =>
    (await ok(['image', 'inspect', '-f', '{{.Architecture}}', ...args])).stdout.trim()
  assert.deepEqual(
    [await architecture(name), await architecture('--platform', 'linux/arm64', name)],
    ['amd64', 'arm64'],
  )
  // What nobody uses goes, but not from under a name.
  await ok(['image', 'prune', '-f'])
  const { stdout } = await ok(['push', name])
  const [, digest] = /digest: (sha256:\w+)/.exec(stdout)!
  const index = await remote('kept/manifests/1')
  assert.deepEqual(
    index.manifests.map(({ platform }) => platform?.architecture),
    ['amd64', 'arm64', 'unknown', 'unknown'],
  )
  assert.deepEqual([...(await statementsAt('kept:1')).keys()].length, 2)
  // Layers that are gone from the content store are made again, the same.
  await ok(['tag', name, `${registry.host}/elsewhere/kept:2`])
  assert.match((await ok(['push', `${registry.host}/elsewhere/kept:2`])).stdout, new RegExp(digest!))
  const [id] = (await ok(['image', 'inspect', '-f', '{{.Id}}', name])).stdout.split('\n')
  const tar = at('kept-arm64.tar')
  await ok(['save', '--platform', 'linux/arm64', '-o', tar, name])
  assert.match(execFileSync('tar', ['-xOf', tar], { encoding: 'utf8' }), /text-arm64/)

  assert.match((await run(['rmi', '--platform', 'linux/arm64', name])).stderr, /Use —-force to force delete\.$/m)
  assert.deepEqual(await architecture('--platform', 'linux/arm64', name), 'arm64')

  // The image has the same id wherever it comes from; what is pulled is one of them, and goes out as it came.
  await ok(['rmi', name, `${registry.host}/elsewhere/kept:2`])
  assert.deepEqual(await listed(), before)
  assert.equal(Number(await count()), images)
  await ok(['pull', '-q', name])
  assert.equal((await ok(['image', 'inspect', '-f', '{{.Id}}', name])).stdout.trim(), id)
  await ok(['pull', '-q', '--platform', 'linux/arm64', name])
  assert.equal(await architecture(name), 'arm64')
  await ok(['tag', name, `${registry.host}/arm:1`])
  assert.match(
    (await ok(['push', `${registry.host}/arm:1`])).stdout,
    new RegExp(`digest: ${index.manifests[1]!.digest}`),
  )
  await ok(['save', '-o', tar, name])
  assert.match(execFileSync('tar', ['-xOf', tar], { encoding: 'utf8' }), /"architecture":"arm64"/)

  // A new build, or another image under the name, ends what it stood for.
  await ok([...both, '-t', name, own])
  await ok(['tag', 'base', name])
  await ok(['image', 'prune', '-f'])
  assert.doesNotMatch((await ok(['push', name])).stdout, new RegExp(digest!))
  assert.equal((await remote('kept/manifests/1')).manifests, undefined)
  await ok(['rmi', '-f', name, `${registry.host}/arm:1`])
  await ok(['image', 'prune', '-f'])
  assert.deepEqual(await listed(), before)
})

test('RUN for an architecture that nothing here emulates says so', async () => {
  const header = Buffer.alloc(64)
  header.write('7f454c46020101', 'hex')
  header.writeUInt16LE(2, 16)
  header.writeUInt16LE(258, 18)
  const foreign = project('foreign', { Dockerfile: 'FROM scratch\nCOPY --chmod=755 sh /bin/sh\nRUN true\n' })
  writeFileSync(join(foreign, 'sh'), header)
  const { code, all } = await run(['buildx', 'build', '--platform', 'linux/loong64', foreign])
  assert.equal(code, 1)
  assert.match(all, /linux\/loong64 programs do not run on this machine/)
  assert.match(all, /Dockerfile:3/)
})

test('a registry gets layers, types and annotations as they were asked for', async () => {
  const app = project('options', { Dockerfile: 'FROM base\nRUN echo own > /own\n' })
  const push = async (attrs: string): Promise<void> =>
    void (await ok(['buildx', 'build', '-o', `type=image,push=true,${attrs}`, app]))
  const types = ({ config, layers }: Document): string[] => [
    ...new Set([config, ...layers].map(({ mediaType }) => mediaType)),
  ]

  await push(`name=${registry.host}/plain:1`)
  assert.deepEqual(types(await remote('plain/manifests/1')), [
    'application/vnd.docker.container.image.v1+json',
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
  ])
  await push(`name=${registry.host}/zstd:1,compression=zstd,compression-level=5,force-compression=true`)
  assert.deepEqual(types(await remote('zstd/manifests/1')), [
    'application/vnd.oci.image.config.v1+json',
    'application/vnd.oci.image.layer.v1.tar+zstd',
  ])
  await push(`name=${registry.host}/raw:1,compression=uncompressed,force-compression=true,oci-mediatypes=true`)
  assert.deepEqual(types(await remote('raw/manifests/1')).slice(1), ['application/vnd.oci.image.layer.v1.tar'])
  for (const name of ['zstd', 'raw']) {
    await ok(['pull', `${registry.host}/${name}:1`])
    assert.match((await ok(['run', '--rm', `${registry.host}/${name}:1`, 'cat', '/own'])).stdout, /own/)
  }

  const annotated = 'annotation.a=1,annotation-index.b=2,annotation-manifest-descriptor.c=3'
  await push(`name=${registry.host}/notes:1,${annotated}`)
  const index = await remote('notes/manifests/1')
  assert.deepEqual(index.annotations, { b: '2' })
  assert.deepEqual(index.manifests[0]!.annotations, { c: '3' })
  assert.deepEqual((await remote(`notes/manifests/${index.manifests[0]!.digest}`)).annotations, { a: '1' })

  const wrong = await run(['buildx', 'build', '-o', 'type=image,compression=brotli', app])
  assert.match(wrong.all, /unsupported compression type brotli/)
})

test('docker archives, several outputs, ids', async () => {
  const app = project('several', { Dockerfile: 'FROM base\nRUN echo own > /own\n' })
  const [archive, layout, iid] = [at('image.tar'), at('layout.tar'), at('several.iid')]
  await ok([
    ...['buildx', 'build', '-o', `type=docker,dest=${archive},name=several:1`, '-o', `type=oci,dest=${layout}`],
    ...['--iidfile', iid, app],
  ])
  assert.match(execFileSync('skopeo', ['inspect', `oci-archive:${layout}`], { encoding: 'utf8' }), /Layers/)
  const { stdout } = await ok(['load', '-i', archive])
  assert.match(stdout, /Loaded image: several:1/)
  assert.equal((await ok(['image', 'inspect', 'several:1', '-f', '{{.Id}}'])).stdout.trim(), readFileSync(iid, 'utf8'))
  assert.match(execFileSync('tar', ['xOf', archive, 'manifest.json'], { encoding: 'utf8' }), /several:1/)
})

test('SOURCE_DATE_EPOCH with rewrite-timestamp: the same digest however often it is built', async () => {
  const app = project('reproducible', { Dockerfile: 'FROM base\nRUN echo a > /a; touch /b\nCOPY text /\n', text: 'x' })
  const build = async (n: number, attrs: string): Promise<string> => {
    const metadata = at(`epoch-${n}.json`)
    const epoch = ['--build-arg', 'SOURCE_DATE_EPOCH=1700000000', '--no-cache', '--metadata-file', metadata]
    await ok(['buildx', 'build', ...epoch, '-o', `type=oci,dest=${at(`epoch-${n}.tar`)}${attrs}`, app])
    return json<Record<string, string>>(metadata)['containerimage.digest']!
  }
  const first = await build(1, ',rewrite-timestamp=true')
  assert.equal(await build(2, ',rewrite-timestamp=true'), first)
  assert.notEqual(await build(3, ''), first)
  // The base's layers are as they were; what the archive says of itself has the time, too.
  type Annotated = { annotations?: Record<string, string>; created: string }
  const read = (name: string, path: string) =>
    JSON.parse(execFileSync('tar', ['xOf', at(name), path.replace('sha256:', 'blobs/sha256/')], { encoding: 'utf8' }))
  const [listed] = read('epoch-1.tar', 'index.json').manifests as Annotated[]
  assert.equal(listed!.annotations!['org.opencontainers.image.created'], '2023-11-14T22:13:20Z')
  const stamps = (read('epoch-1.tar', first).layers as Annotated[]).map(
    ({ annotations }) => annotations?.['buildkit/rewritten-timestamp'],
  )
  assert.deepEqual(stamps, [undefined, undefined, '1700000000', '1700000000'])
  const described = at('dated.json') // an exporter's own epoch dates the configuration
  const dated = ['-o', `type=oci,dest=${at('dated.tar')},source-date-epoch=1600000000`, '--metadata-file', described]
  await ok(['buildx', 'build', ...dated, app])
  const config = json<Record<string, string>>(described)['containerimage.config.digest']!
  assert.equal((read('dated.tar', config) as Annotated).created, '2020-09-13T12:26:40Z')
  await ok(['load', '-i', at('epoch-1.tar')])
  const unset = await ok(['buildx', 'build', '-o', `type=oci,dest=${at('x.tar')},rewrite-timestamp=true`, app])
  assert.match(unset.all, /no source-date-epoch was found/)
  // A default of the file serves as well.
  const own = project('epoch-of-file', {
    Dockerfile: `ARG SOURCE_DATE_EPOCH=1700000000\nFROM base\nRUN echo a > /a; touch /b\nCOPY text /\n`,
    text: 'x',
  })
  const metadata = at('epoch-own.json')
  const oci = `type=oci,dest=${at('own.tar')},rewrite-timestamp=true`
  await ok(['buildx', 'build', '--no-cache', '--metadata-file', metadata, '-o', oci, own])
  assert.equal(json<Record<string, string>>(metadata)['containerimage.digest'], first)
  const files = at('epoch-files')
  await ok(['buildx', 'build', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000', '-o', `type=tar,dest=${files}.tar`, app])
  const times = execFileSync('tar', ['--utc', '--full-time', '-tvf', `${files}.tar`, 'a', 'text'], {
    encoding: 'utf8',
  })
  assert.equal(times.match(/2023-11-14 22:13:20/g)?.length, 2, times)
  assert.ok(existsSync(at('epoch-2.tar')))
})

interface Statement {
  _type: string
  predicateType: string
  subject: { name: string; digest: Record<string, string> }[]
  predicate: Record<string, unknown>
}
/** Statements that an index has beside its images, by the digest of the image they are about. */
const statementsAt = async (path: string): Promise<Map<string, Statement[]>> => {
  const [repository, tag] = path.split(':')
  const index = await remote(`${repository}/manifests/${tag}`)
  const found = new Map<string, Statement[]>()
  for (const { digest, platform, annotations } of index.manifests) {
    if (annotations?.['vnd.docker.reference.type'] !== 'attestation-manifest') continue
    assert.deepEqual(platform, { os: 'unknown', architecture: 'unknown' })
    const { layers } = await remote(`${repository}/manifests/${digest}`)
    const statements = await Promise.all(
      layers.map(async (layer) => {
        assert.equal(layer.mediaType, 'application/vnd.in-toto+json')
        const answer = await fetch(`http://${registry.host}/v2/${repository}/blobs/${layer.digest}`)
        const statement = (await answer.json()) as Statement
        assert.equal(layer.annotations?.['in-toto.io/predicate-type'], statement.predicateType)
        return statement
      }),
    )
    found.set(annotations['vnd.docker.reference.digest']!, statements)
  }
  return found
}

test('provenance: beside each image of an index, as little or as much as was asked for; readers pass it over', async () => {
  const from = `${registry.host}/from:1`
  await ok(['buildx', 'build', '--push', '-t', from, dir])
  const context = project('proven', {
    Dockerfile: `FROM ${from} AS one\nFROM base AS run\nARG WORD\nRUN --mount=type=secret,id=s echo $WORD > /said\nFROM ${from}\nCOPY --from=run /said /said\n`,
  })
  const name = `${registry.host}/proven`
  const build = async (tag: string, ...args: string[]): Promise<Statement[]> => {
    await ok(['buildx', 'build', '--push', '-t', `${name}:${tag}`, '--build-arg', 'WORD=hush', ...args, context])
    return [...(await statementsAt(`proven:${tag}`)).values()].flat()
  }
  interface Predicate {
    builder: { id: string }
    buildType: string
    materials: { uri: string; digest: Record<string, string> }[]
    invocation: { parameters: { args: Record<string, string>; secrets?: unknown }; configSource: object }
    buildConfig?: { llbDefinition: { op: { Op: Record<string, unknown> | null } }[] }
    metadata: { completeness: Record<string, boolean> }
  }
  const [little] = await build('min', '--provenance=mode=min,builder-id=here')
  const min = little!.predicate as unknown as Predicate
  assert.equal(little!.predicateType, 'https://slsa.dev/provenance/v0.2')
  const manifest = (await remote('proven/manifests/min')).manifests[0]!
  const [subject] = little!.subject
  assert.deepEqual(subject!.digest, { sha256: manifest.digest.slice(7) })
  assert.match(subject!.name, /^pkg:docker\/127\.0\.0\.1:\d+\/proven@min\?platform=linux%2Famd64$/)
  assert.deepEqual([min.builder.id, min.buildType], ['here', 'https://mobyproject.org/buildkit@v1'])
  assert.deepEqual(min.invocation.configSource, { entryPoint: 'Dockerfile' })
  assert.doesNotMatch(JSON.stringify(min), /hush/)
  assert.deepEqual(min.metadata.completeness, { parameters: false, environment: true, materials: false })
  const pushed = (
    await fetch(`http://${registry.host}/v2/from/manifests/1`, {
      headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' },
    })
  ).headers.get('docker-content-digest')
  const uris = new Map(min.materials.map(({ uri, digest }) => [uri.replace(/\?.*/, ''), digest.sha256]))
  assert.equal(`sha256:${uris.get(`pkg:docker/${from.replace(':1', '')}@1`)}`, pushed)
  assert.ok(uris.has('pkg:docker/base@latest'))

  const [much] = await build('max', '--provenance=true', '--secret', `id=s,src=${join(context, 'Dockerfile')}`)
  const max = much!.predicate as unknown as Predicate
  assert.equal(max.invocation.parameters.args['build-arg:WORD'], 'hush')
  assert.deepEqual(max.invocation.parameters.secrets, [{ id: 's', optional: true }])
  const kinds = max.buildConfig!.llbDefinition.map(({ op }) => Object.keys(op.Op ?? { result: 1 })[0])
  assert.deepEqual([...kinds].sort(), ['exec', 'file', 'result', 'source', 'source'])
  const [one] = await build('v1', '--attest', 'type=provenance,mode=max,version=v1')
  assert.equal(one!.predicateType, 'https://slsa.dev/provenance/v1')

  // Nobody has asked: as with dockerd's own image store there is none, and an image is a manifest.
  assert.deepEqual(await build('none').catch(() => 'no index'), 'no index')

  const several = ['--platform', 'linux/amd64,linux/arm64', '--provenance=true']
  await ok(['buildx', 'build', '--push', '-t', `${name}:all`, ...several, dir])
  const all = await remote('proven/manifests/all')
  const told = await statementsAt('proven:all')
  assert.deepEqual(
    [...told.keys()],
    all.manifests.slice(0, 2).map(({ digest }) => digest),
  )
  assert.match(told.get(all.manifests[1]!.digest)![0]!.subject[0]!.name, /arm64/)

  const { stdout } = await ok(['buildx', 'imagetools', 'inspect', `${name}:max`, '--format', '{{json .Provenance}}'])
  assert.deepEqual((JSON.parse(stdout) as { SLSA: unknown }).SLSA, max)
  const layout = at('proven-copy')
  execFileSync('skopeo', ['copy', '--src-tls-verify=false', `docker://${name}:max`, `dir:${layout}`], {
    stdio: 'ignore',
  })
  await ok(['rmi', `${name}:max`])
  await ok(['pull', `${name}:max`])
  assert.equal((await ok(['image', 'inspect', '-f', '{{.Os}}', `${name}:max`])).stdout, 'linux\n')

  await ok(['buildx', 'build', '--provenance=true', '-o', `type=registry,name=${name}:artifact,oci-artifact=true`, dir])
  const [image, said] = (await remote('proven/manifests/artifact')).manifests
  const { artifactType, config, subject: about } = await remote(`proven/manifests/${said!.digest}`)
  assert.match(`${artifactType} ${config.mediaType}`, /docker\.attestation\.manifest\.v1.* .*oci\.empty\.v1/)
  assert.equal(about?.digest, image!.digest)

  const archive = at('proven.tar')
  await ok(['buildx', 'build', '--provenance=mode=min', '-o', `type=oci,dest=${archive}`, '-t', 'proven:tar', context])
  assert.match(execFileSync('tar', ['-xOf', archive], { encoding: 'utf8' }), /slsa\.dev\/provenance\/v0\.2/)
  await ok(['load', '-i', archive])
  const nameless = await ok(['buildx', 'build', '--provenance=true', context])
  assert.match(nameless.all, /images without a name have no attestations/)
  const refused = await run(['buildx', 'build', '--provenance=true', '-o', `type=docker,dest=${archive}`, context])
  assert.match(refused.all, /docker exporter does not (?:currently )?support exporting manifest lists/)
})

test('SBOM: by a scanner in an image; one that cannot be had is said', async () => {
  const scanner = project('scanner', {
    Dockerfile: `FROM base\nCOPY scan /scan\nENTRYPOINT ["/bin/sh", "/scan"]\n`,
    scan: [
      'names=$(cd $BUILDKIT_SCAN_SOURCE; echo *)',
      'touch /tmp/x; touch $BUILDKIT_SCAN_SOURCE/x 2>/dev/null && exit 1',
      'for d in ${BUILDKIT_SCAN_SOURCE_EXTRAS:-/none}/*; do',
      'if [ -d "$d" ]; then touch $d/x 2>/dev/null && exit 1; names="$names|${d##*/}=$(cd $d; echo *)"; fi',
      'done',
      `echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"name":"'$names$BUILDKIT_SCAN_MORE'","spdxVersion":"SPDX-2.3","files":[{"fileName":"text-amd64"}]}}' > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json`,
    ].join('\n'),
  })
  await ok(['buildx', 'build', '-t', 'scanner', scanner])
  const name = `${registry.host}/listed:1`
  const push = ['buildx', 'build', '--push', '-t', name]
  await ok([...push, '--sbom=generator=scanner,MORE=!', dir])
  const [statements] = [...(await statementsAt('listed:1')).values()]
  assert.match(
    JSON.stringify(statements!.map(({ predicateType, predicate }) => [predicateType, predicate])),
    /^\[\["https:\/\/spdx.dev\/Document",\{"name":"text-amd64!".*"text-amd64","comment":"layerID: sha256:[0-9a-f]{64}"\}\]\}\]\]$/,
  )
  const { stdout } = await ok(['buildx', 'imagetools', 'inspect', name, '--format', '{{json .SBOM}}'])
  assert.equal(JSON.parse(stdout).SPDX.name, 'text-amd64!')

  const declared = project('declared', {
    ...{ file: '', src: '', '.dockerignore': 'ignored', ignored: '' },
    Dockerfile: [
      'ARG BUILDKIT_SBOM_SCAN_CONTEXT=true BUILDKIT_SBOM_SCAN_STAGE=tools',
      'FROM scratch AS tools\nCOPY src /tool',
      'FROM scratch AS more\nCOPY src /more',
      'FROM scratch\nCOPY --from=tools /tool /made\nCOPY --from=more /more /made',
    ].join('\n'),
  })
  await ok([...push, '--sbom=generator=scanner', declared])
  const [seen] = [...(await statementsAt('listed:1')).values()]
  assert.deepEqual(
    seen!.map(({ predicate }) => (predicate as { name: string }).name),
    ['made|sbom-context=Dockerfile busybox file src|sbom-tools=tool'],
  )
  const none = await run([...push, '--sbom=true', dir])
  assert.equal(none.code, 1)
  assert.match(none.all, /buildkit-syft-scanner:stable-1: failed to resolve source metadata/)
})
