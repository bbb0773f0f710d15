/** Images move between us, podman, buildah, skopeo and umoci, by registry and by archive, and stay the same files. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { startDocker } from './docker-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const docker = startDocker()
const { ok, dir } = docker
let registry: Registry
let host = ''
before(async () => {
  registry = await startRegistry(dir)
  host = registry.host
  mkdirSync(docker.instance.env.DOCKER_CONFIG!, { recursive: true })
  writeFileSync(join(docker.instance.env.DOCKER_CONFIG!, 'config.json'), '{}')
})
after(() => {
  theirs('buildah', 'rm', '--all')
  registry?.stop()
  docker.stop()
})
const env = { ...docker.instance.env, TMPDIR: dir, REGISTRY_AUTH_FILE: '' }
const program = (argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), {
    env,
    cwd: dir,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
/** podman and buildah with a storage of their own. */
const theirs = (name: 'podman' | 'buildah', ...args: string[]): string =>
  program([
    name,
    '--root',
    join(dir, 'theirs'),
    '--runroot',
    join(dir, 'theirs-run'),
    '--storage-driver',
    'vfs',
    ...args,
  ]).trim()
const skopeo = (...args: string[]): string => program(['skopeo', '--insecure-policy', ...args])
const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']

/** All files of an image as one sees them from inside: kind, mode, owner, size, links, target, content. */
const listing = `cd /tree && /bin/busybox find . | /bin/busybox sort | while read -r f; do
  case $f in ./l[12]) /bin/busybox stat -c '%h links' "$f";; esac
  /bin/busybox stat -c '%n %F %a %u %g %N' "$f"; [ -f "$f" ] && [ ! -L "$f" ] && /bin/busybox md5sum < "$f"; done; true`
const ours = (image: string): Promise<string> =>
  ok('run', '--rm', '--network', 'none', '--entrypoint', 'sh', image, '-c', listing)
const inRoot = (root: string): string => program(['chroot', root, '/bin/sh', '-c', listing]).trim()
const inPodman = (image: string): string => inRoot(theirs('podman', 'image', 'mount', image))

const build = async (tag: string, dockerfile: string): Promise<void> => {
  const context = join(dir, `context-${tag.replace(/\W/g, '-')}`)
  mkdirSync(context, { recursive: true })
  writeFileSync(join(context, 'Dockerfile'), dockerfile)
  const ran = await docker.run(['build', '-t', tag, context], { env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' } })
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
}

test('a base of ours, built on by buildah, built on by us, read by umoci: the same files everywhere', async () => {
  await build(
    `${host}/base:1`,
    `FROM busybox
RUN mkdir -p /tree/dir/sub /tree/empty /tree/gone && cd /tree && echo a >a && ln a hard && echo l >l1 && ln l1 l2 && ln -s a soft && ln -s /nowhere dangling && \
    echo s >setuid && chown 1000:2000 setuid && chmod 4755 setuid && chmod 1777 empty && echo x >dir/sub/x && echo ü >'ü b' && touch gone/y
RUN rm -rf /tree/gone /tree/dir && mkdir /tree/dir && echo n >/tree/dir/new && chmod 600 /tree/a
CMD ["cat", "/tree/a"]
`,
  )
  const base = await ours(`${host}/base:1`)
  assert.match(base, /2 links\n.*l1 [\s\S]*2 links\n.*l2 [\s\S]*setuid regular file 4755 1000 2000/)
  assert.doesNotMatch(base, /gone|sub/)
  await ok('push', `${host}/base:1`)
  theirs('podman', 'pull', '--tls-verify=false', `${host}/base:1`)
  assert.equal(inPodman(`${host}/base:1`), base)
  assert.deepEqual(JSON.parse(theirs('podman', 'image', 'inspect', `${host}/base:1`))[0].Config.Cmd, ['cat', '/tree/a'])

  const containerfile = join(dir, 'Containerfile')
  writeFileSync(
    containerfile,
    `FROM ${host}/base:1\nRUN rm /tree/hard && rm -rf /tree/dir && mkdir /tree/dir && echo b >/tree/dir/b && ln /tree/setuid /tree/again\nENV BUILT=buildah\n`,
  )
  for (const [tag, ...flags] of [
    ['oci', '--format', 'oci'],
    ['docker', '--format', 'docker'],
    ['zstd', '--format', 'oci'],
    // Of very many frames, with its own table of contents in some that are skipped.
    ['zstd:chunked', '--format', 'oci'],
  ] as const) {
    const name = `${host}/theirs:${tag.replace(':', '-')}`
    theirs(
      'buildah',
      'bud',
      '--isolation',
      'chroot',
      '--tls-verify=false',
      ...flags,
      '-t',
      name,
      '-f',
      containerfile,
      '.',
    )
    const compression = tag.startsWith('zstd') ? ['--compression-format', tag] : []
    theirs('buildah', 'push', '--tls-verify=false', ...compression, name)
    await ok('pull', name)
    const seen = await ours(name)
    assert.equal(seen, inPodman(name))
    assert.match(seen, /again regular file 4755 1000 2000/)
    // Pushed on, an image is what it was: its digest stays.
    const digest = (await ok('image', 'inspect', '-f', '{{index .RepoDigests 0}}', name)).split('@')[1]!
    const copied = name.replace('theirs', 'copied')
    await ok('tag', name, copied)
    assert.match(await ok('push', copied), new RegExp(`digest: ${digest} `))
  }

  await build(`${host}/top:1`, `FROM ${host}/theirs:oci\nRUN echo t >/tree/top && rm /tree/again\n`)
  assert.equal(await ok('run', '--rm', `${host}/top:1`, 'sh', '-c', 'echo $BUILT'), 'buildah')
  const top = await ours(`${host}/top:1`)
  await ok('push', `${host}/top:1`)
  skopeo('copy', ...plain, `docker://${host}/top:1`, `oci:${join(dir, 'layout')}:top`)
  program(['umoci', 'unpack', '--image', `${join(dir, 'layout')}:top`, join(dir, 'bundle')])
  assert.equal(inRoot(join(dir, 'bundle/rootfs')), top)

  // umoci writes a layer of its own; its layout comes back as a tar, of the directory or of what is in it.
  writeFileSync(join(dir, 'bundle/rootfs/tree/umoci'), 'u\n')
  program(['umoci', 'repack', '--image', `${join(dir, 'layout')}:more`, join(dir, 'bundle')])
  program(['umoci', 'gc', '--layout', join(dir, 'layout')])
  for (const form of [
    ['-C', dir, 'layout'],
    ['-C', join(dir, 'layout'), '.'],
  ]) {
    program(['tar', '-cf', join(dir, 'layout.tar'), ...form])
    const loaded = await ok('load', '-i', join(dir, 'layout.tar'))
    const ids = [...loaded.matchAll(/Loaded image ID: (sha256:[0-9a-f]{64})/g)].map((match) => match[1]!)
    assert.equal(ids.length, 2, loaded)
    const shown = await Promise.all(ids.map(ours))
    assert.ok(shown.includes(top) && shown.some((each) => each.includes('./umoci')), loaded)
  }
})

test('archives of every kind, ours to them and theirs to us, also compressed and with several images', async () => {
  await ok('tag', 'busybox', 'localhost/arch/one:1')
  await build('localhost/arch/two:2', 'FROM busybox\nRUN mkdir /tree && echo 2 >/tree/two\n')
  const both = join(dir, 'both.tar')
  await ok('save', '-o', both, 'localhost/arch/one:1', 'localhost/arch/two:2')
  const id = async (name: string): Promise<string> =>
    (await ok('image', 'inspect', '-f', '{{.Id}}', name)).replace('sha256:', '')
  for (const [name, pack] of [
    ['plain', undefined],
    ['gz', gzipSync],
    ['zst', zstdCompressSync],
  ] as const) {
    const file = join(dir, `both.tar.${name}`)
    writeFileSync(file, pack ? pack(readFileSync(both)) : readFileSync(both))
    await ok('rmi', 'localhost/arch/one:1', 'localhost/arch/two:2')
    assert.match(
      await ok('load', '-i', file),
      /Loaded image: localhost\/arch\/one:1\nLoaded image: localhost\/arch\/two:2/,
    )
  }
  theirs('podman', 'load', '-i', both)
  for (const name of ['localhost/arch/one:1', 'localhost/arch/two:2'])
    assert.equal(theirs('podman', 'image', 'inspect', '-f', '{{.Id}}', name), await id(name))
  const here = await ours('localhost/arch/two:2')
  assert.equal(inPodman('localhost/arch/two:2'), here)
  for (const format of ['docker-archive', 'oci-archive', 'oci-dir', 'docker-dir']) {
    const file = join(dir, format)
    theirs('podman', 'save', '--format', format, '-o', file, 'localhost/arch/two:2')
    if (format === 'docker-dir') {
      skopeo('copy', `dir:${file}`, `docker-archive:${file}.tar:localhost/arch/two:2`)
    } else if (format.endsWith('dir')) program(['tar', '-C', file, '-cf', `${file}.tar`, '.'])
    else program(['cp', file, `${file}.tar`])
    await ok('rmi', 'localhost/arch/two:2')
    const loaded = await ok('load', '-i', `${file}.tar`)
    const name = /Loaded image(?: ID)?: (\S+)/.exec(loaded)![1]!
    assert.equal(await ours(name), here)
    if (!name.includes('arch/two')) await ok('tag', name, 'localhost/arch/two:2')
  }
  theirs(
    'podman',
    'save',
    '--multi-image-archive',
    '-o',
    join(dir, 'several.tar'),
    'localhost/arch/one:1',
    'localhost/arch/two:2',
  )
  const several = await ok('load', '-i', join(dir, 'several.tar'))
  for (const name of ['one:1', 'two:2']) assert.ok(several.includes(`Loaded image: localhost/arch/${name}`), several)
  const container = theirs('buildah', 'from', 'localhost/arch/two:2')
  assert.equal(inRoot(theirs('buildah', 'mount', container)), here)
})

test('several platforms under one name, with attestations beside them', async () => {
  for (const arch of ['amd64', 'arm64', 'arm']) {
    const name = `${host}/multi:${arch}`
    const container = theirs('buildah', 'from', 'scratch')
    writeFileSync(join(dir, 'arch'), arch)
    theirs('buildah', 'copy', container, join(dir, 'arch'), '/arch')
    theirs('buildah', 'config', '--arch', arch, ...(arch === 'arm' ? ['--variant', 'v7'] : []), container)
    theirs('buildah', 'commit', container, name)
    theirs('buildah', 'push', '--tls-verify=false', name)
  }
  const put = async (path: string, body: string, type: string): Promise<void> =>
    assert.equal(
      (
        await fetch(`http://${host}/v2/multi/manifests/${path}`, {
          method: 'PUT',
          body,
          headers: { 'content-type': type },
        })
      ).status,
      201,
    )
  const describe = async (tag: string, more: object) => {
    const answer = await fetch(`http://${host}/v2/multi/manifests/${tag}`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    })
    return {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: Number(answer.headers.get('content-length')),
      digest: answer.headers.get('docker-content-digest'),
      ...more,
    }
  }
  const platform = (architecture: string, variant?: string) => ({
    platform: { os: 'linux', architecture, ...(variant && { variant }) },
  })
  const manifests = [
    await describe('arm64', {
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    }),
    await describe('arm64', platform('arm64', 'v8')),
    await describe('arm', platform('arm', 'v7')),
    await describe('amd64', platform('amd64')),
  ]
  const type = 'application/vnd.oci.image.index.v1+json'
  await put('all', JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }), type)
  const architecture = (name: string): Promise<string> =>
    ok('image', 'inspect', '-f', '{{.Architecture}}{{.Variant}}', name)
  await ok('pull', `${host}/multi:all`)
  assert.equal(await architecture(`${host}/multi:all`), process.arch === 'x64' ? 'amd64' : 'arm64')
  const { Descriptor, Platforms } = JSON.parse((await docker.api('GET', `/distribution/${host}/multi:all/json`)).body)
  assert.equal(Descriptor.mediaType, type)
  assert.deepEqual(
    Platforms.map((each: { architecture: string }) => each.architecture),
    ['arm64', 'arm', 'amd64'],
  )
  assert.match(
    await docker.ok('image', 'inspect', '-f', '{{json .RepoDigests}}', `${host}/multi:all`),
    new RegExp(Descriptor.digest),
  )
  for (const [wanted, got] of [
    ['linux/arm64', 'arm64'],
    ['linux/arm/v7', 'armv7'],
    ['linux/amd64', 'amd64'],
  ] as const) {
    await ok('pull', '--platform', wanted, `${host}/multi:all`)
    assert.equal(await architecture(`${host}/multi:all`), got)
  }
  assert.match(
    await docker.fails(1, 'pull', '--platform', 'linux/s390x', `${host}/multi:all`),
    /no matching manifest for linux\/s390x in the manifest list entries/,
  )
  assert.match(
    await docker.fails(1, 'image', 'inspect', '--platform', 'linux/arm64', `${host}/multi:all`),
    /does not match the specified platform/,
  )

  // The whole of it as an OCI layout: skopeo's copy keeps the attestation.
  skopeo(
    'copy',
    '--all',
    ...plain,
    `docker://${host}/multi:all`,
    `oci-archive:${join(dir, 'multi.tar')}:localhost/multi:loaded`,
  )
  await ok('load', '-i', join(dir, 'multi.tar'))
  assert.equal(await architecture('localhost/multi:loaded'), process.arch === 'x64' ? 'amd64' : 'arm64')
  await ok('load', '--platform', 'linux/arm64', '-i', join(dir, 'multi.tar'))
  assert.equal(await architecture('localhost/multi:loaded'), 'arm64')
  // Without a platform the name stands for all of them, as it did where it comes from.
  const loaded = 'localhost/multi:loaded'
  const inspect = async (...args: string[]): Promise<string> =>
    await ok('image', 'inspect', '-f', '{{.Architecture}}{{.Variant}}', ...args)
  const digestOf = async (name: string): Promise<string | null> =>
    (await fetch(`http://${host}/v2/${name.replace(':', '/manifests/')}`, { headers: { accept: type } })).headers.get(
      'docker-content-digest',
    )
  await ok('load', '-i', join(dir, 'multi.tar'))
  assert.equal(await inspect('--platform', 'linux/arm/v7', loaded), 'armv7')
  assert.match(await ok('history', '--platform', 'linux/arm64', loaded), /5B/)
  const missing = /was found but does not provide the specified platform \(linux\/s390x\)/
  assert.match(await docker.fails(1, 'image', 'inspect', '--platform', 'linux/s390x', loaded), missing)
  const tree = (await ok('images', '--tree', loaded)).replaceAll(/\x1b\[[0-9;]*m/g, '')
  assert.match(tree, /─ linux\/arm64.*\n.*─ linux\/arm\/v7.*\n.*─ linux\/amd64/)
  assert.equal(docker.instance.slipway('image', 'ls', '--tree', loaded).trimEnd(), tree.trimEnd())
  // Containers and builds take the one for the platform they ask for.
  await ok('create', '--platform', 'linux/arm64', '--name', 'other', loaded, 'x')
  const made = await ok('inspect', '-f', '{{.Image}} {{.Config.Image}}', 'other')
  assert.equal(made, `${await ok('image', 'inspect', '--platform', 'linux/arm64', '-f', '{{.Id}}', loaded)} ${loaded}`)
  assert.equal(await ok('ps', '-a', '--filter', 'name=other', '--format', '{{.Image}}'), loaded)
  await ok('rm', 'other')
  assert.match(await docker.fails(1, 'create', '--platform', 'linux/s390x', '--pull', 'never', loaded, 'x'), missing)
  await build('on-arm', `FROM --platform=linux/arm64 ${loaded}\nLABEL a=b\n`)
  assert.equal(await inspect('on-arm'), 'arm64')
  await ok('rmi', 'on-arm')
  // So it is saved, and pushed, byte for byte; one of them alone where that is asked for.
  await ok('save', '-o', join(dir, 'again.tar'), loaded)
  const { manifests: saved } = JSON.parse(program(['tar', '-xOf', join(dir, 'again.tar'), 'index.json']))
  assert.deepEqual([saved.length, saved[0].digest], [1, Descriptor.digest])
  assert.match(skopeo('inspect', '--raw', `docker-archive:${join(dir, 'again.tar')}`), /"layers"/)
  await ok('rmi', loaded)
  await ok('load', '-i', join(dir, 'again.tar'))
  await ok('tag', loaded, `${host}/pushed:all`)
  await ok('tag', loaded, `${host}/pushed:one`)
  await ok('push', `${host}/pushed:all`)
  assert.equal(await digestOf('pushed:all'), Descriptor.digest)
  await ok('push', '--platform', 'linux/arm/v7', `${host}/pushed:one`)
  assert.match(skopeo('inspect', '--raw', '--tls-verify=false', `docker://${host}/pushed:one`), /"layers"/)
  assert.match(await docker.fails(1, 'push', '--platform', 'linux/s390x', `${host}/pushed:one`), missing)
  // One of them under a name of its own: the name goes, the image stays with the others.
  await ok('load', '--platform', 'linux/arm64', '-i', join(dir, 'again.tar'))
  assert.deepEqual([await inspect(loaded), await ok('rmi', loaded)], ['arm64', `Untagged: ${loaded}`])
  assert.equal(await inspect('--platform', 'linux/arm64', `${host}/pushed:all`), 'arm64')
  await ok('rmi', `${host}/pushed:all`, `${host}/pushed:one`)
  assert.match(await ok('manifest', 'inspect', '--insecure', `${host}/multi:all`), /"architecture": "arm64"/)
  assert.equal((await ok('pull', '-a', `${host}/multi`)).match(/^Status: /gm)!.length, 4)
})
