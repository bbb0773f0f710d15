/** docker load and docker save, and that outside tools read what we write. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { isError } from '../../src/errors.ts'
import { packTar, readTar, tarEntry } from '../../src/lib/tar/index.ts'
import { mediaTypes, sha256 } from '../../src/spec/oci/index.ts'
import { temporaryHome } from './images-setup.ts'

const room = () => {
  const home = temporaryHome()
  const snapshots = createSnapshots(home.deps)
  const images = createImages(home.deps, snapshots, { imageInUse: () => [] })
  after(async () => {
    await snapshots.close()
    home.remove()
  })
  const blobs = () => readdirSync(join(home.deps.instance.stateDir, 'content/blobs/sha256'))
  return { ...home, snapshots, images, blobs }
}
const bytesOf = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}
const tar = (files: Record<string, string | Buffer>, links: Record<string, string> = {}): Readable =>
  packTar([
    ...Object.entries(files).map(([path, text]) => ({
      entry: tarEntry({ path, size: Buffer.from(text).length, mode: path.startsWith('.wh.') ? 0o600 : 0o644 }),
      body: Buffer.from(text),
    })),
    ...Object.entries(links).map(([path, linkName]) => ({ entry: tarEntry({ path, type: 'symlink', linkName }) })),
  ])

/** As docker before 25 wrote it: layers in directories, equal ones as symlinks. */
const oldArchive = async (options: { diffId?: string; name?: string } = {}) => {
  // Order and names that our own diff would not produce, so that the bytes must be kept.
  const one = await bytesOf(tar({ './b': '1', './a': '2' }))
  const two = await bytesOf(tar({ '.wh.a': '' }))
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [options.diffId ?? sha256(one), sha256(two), sha256(two)] },
  })
  const id = sha256(config).slice(7)
  const manifest = [
    {
      Config: `${id}.json`,
      RepoTags: [options.name ?? 'old:1'],
      Layers: ['l1/layer.tar', 'l2/layer.tar', 'l3/layer.tar'],
    },
  ]
  const files = {
    [`${id}.json`]: config,
    'l1/layer.tar': one,
    'l2/layer.tar': two,
    'manifest.json': JSON.stringify(manifest),
  }
  return { archive: tar(files, { 'l3/layer.tar': '../l2/layer.tar' }), id: `sha256:${id}`, one }
}

test('an old docker archive, and back', async () => {
  const { images, snapshots, blobs } = room()
  const { archive, id } = await oldArchive()
  const lines: string[] = []
  const [image] = await images.load(archive, { progress: (step) => void lines.push(step.status) })
  assert.equal(image!.id, id)
  assert.deepEqual(image!.names, ['docker.io/library/old:1'])
  assert.ok(lines.includes('Loaded image: old:1'))
  assert.deepEqual(readdirSync((await snapshots.stat(image!.snapshots[0]!))!.path), ['a', 'b'])
  assert.equal(blobs().length, 1, 'only the layer we could not write again is kept')

  const saved = await bytesOf(await images.save(['old:1']))
  assert.deepEqual(await bytesOf(await images.save(['old'])), saved, 'a bare repository is all its tags')
  const other = room()
  const [again] = await other.images.load(Readable.from([gzipSync(saved)]))
  assert.equal(again!.id, id)
  assert.deepEqual(again!.names, ['docker.io/library/old:1'])

  await images.remove('old:1')
  assert.deepEqual(blobs(), [])
  assert.deepEqual(await snapshots.list(), [])
})

test('layers are unpacked while the archive still comes; a wrong guess at their order leaves nothing', async () => {
  const base = await bytesOf(tar({ a: 'base', b: 'base' }))
  const top = await bytesOf(tar({ '.wh.a': '', c: 'top' }))
  const other = await bytesOf(tar({ d: 'of no image' }))
  const layers = [base, top]
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
  })
  const named = (name: (layer: Buffer) => string, order: Buffer[]) => ({
    files: order.map((layer): [string, Buffer] => [name(layer), layer]),
    manifest: JSON.stringify([{ Config: 'config.json', RepoTags: ['early:1'], Layers: layers.map(name) }]),
  })
  const plain = (layer: Buffer): string => `${sha256(layer).slice(7, 12)}.tar`
  const byDigest = (layer: Buffer): string => `blobs/sha256/${sha256(layer).slice(7)}`
  for (const [name, order, early] of [
    [plain, [base, top], 2],
    [plain, [top, base], 2],
    [plain, [other, base, top], 3],
    [byDigest, [base, top], 0],
    ['config first', [top, base], 2],
    ['config first', [other, base, top], 2],
  ] as const) {
    const { images, snapshots } = room()
    const told = name === 'config first'
    const { files, manifest } = named(told ? byDigest : name, [...order])
    const parts = Object.fromEntries([
      ...(told ? [['config.json', config]] : []),
      ...files,
      ...(told ? [] : [['config.json', config]]),
      ['manifest.json', manifest],
    ]) as Record<string, string | Buffer>
    const whole = await bytesOf(tar(parts))
    const until = whole.indexOf('manifest.json')
    const archive = new PassThrough()
    archive.write(whole.subarray(0, until))
    const loading = images.load(archive)
    const committed = async () => (await snapshots.list()).filter(({ state }) => state === 'committed').length
    for (let i = 0; i < 400 && (await committed()) < early; i++) await new Promise((go) => setTimeout(go, 5))
    assert.equal(await committed(), early)
    archive.end(whole.subarray(until))
    const [image] = await loading
    assert.equal(image!.id, sha256(config))
    assert.equal((await snapshots.list()).length, 2)
    const { path } = (await snapshots.stat(image!.snapshots[1]!))!
    assert.deepEqual(readdirSync(path), ['a', 'c'])
    assert.ok(lstatSync(join(path, 'a')).isCharacterDevice(), 'a whiteout hides what is below')
    await images.remove('early:1')
    assert.deepEqual(await snapshots.list(), [])
  }
})

test('a layer that has outlived its image gets its archive back with the next', async () => {
  const { images, snapshots } = room()
  const { archive, id, one } = await oldArchive()
  const [image] = await images.load(archive)
  snapshots.hold([image!.snapshots[0]!], 'somebody who builds on it')
  await images.remove(id, { force: true })
  await images.load((await oldArchive()).archive)
  const saved = await bytesOf(await images.save(['old:1']))
  assert.ok(saved.includes(one))
})

test('an image of old that does not name its system is taken as it is', async () => {
  const { images } = room()
  const layer = await bytesOf(tar({ a: '1' }))
  const config = JSON.stringify({ architecture: 'x86_64', rootfs: { type: 'layers', diff_ids: [sha256(layer)] } })
  const manifest = JSON.stringify([{ Config: 'c.json', RepoTags: ['bare:1'], Layers: ['l.tar'] }])
  const [image] = await images.load(tar({ 'c.json': config, 'l.tar': layer, 'manifest.json': manifest }))
  assert.deepEqual([image!.id, image!.platform], [sha256(config), { os: 'linux', architecture: 'x86_64' }])
})

test('what was built here needs no blobs, here or where it is loaded', async () => {
  const { images, blobs: _ } = room()
  const image = await images.import(tar({ 'etc/hello': 'hello', 'a b': 'c' }), { name: 'made:1' })
  const other = room()
  const [loaded] = await other.images.load(await images.save(['made:1', image.id]))
  assert.equal(loaded!.id, image.id)
  assert.deepEqual(other.blobs(), [])
  assert.deepEqual((await other.images.must('made:1')).config, image.config)
})

test('an OCI layout without manifest.json', async () => {
  const { images } = room()
  const image = await images.import(tar({ hello: 'x' }), { name: 'localhost:5000/made:1' })
  const parts = []
  for await (const { entry, body } of readTar(await images.save(['localhost:5000/made:1'])))
    if (entry.path !== 'manifest.json') parts.push({ entry, body: await bytesOf(body) })
  const other = room()
  const [loaded] = await other.images.load(packTar(parts))
  assert.equal(loaded!.id, image.id)
  assert.deepEqual(loaded!.names, ['localhost:5000/made:1'])
  // Some tools list an index and what is in it, without names: it is one image.
  const at = parts.findIndex(({ entry }) => entry.path === 'index.json')
  const { manifests } = JSON.parse(parts[at]!.body.toString()) as { manifests: { annotations?: object }[] }
  delete manifests[0]!.annotations
  const inner = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))
  const outer = { mediaType: mediaTypes.ociIndex, digest: sha256(inner), size: inner.length }
  const listed = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [outer, ...manifests] }))
  parts[at] = { entry: tarEntry({ path: 'index.json', size: listed.length }), body: listed }
  const path = `blobs/${outer.digest.replace(':', '/')}`
  parts.push({ entry: tarEntry({ path, size: inner.length }), body: inner })
  assert.equal((await other.images.load(packTar(parts))).length, 1)
})

test('xz and bzip2, by the programs of this machine', async () => {
  const { images } = room()
  const plain = await bytesOf(tar({ hello: 'x'.repeat(100_000) }))
  for (const program of ['xz', 'bzip2']) {
    const packed = execFileSync(program, ['-c'], { input: plain })
    const image = await images.import(Readable.from([packed.subarray(0, 3), packed.subarray(3)]), {
      name: `${program}:1`,
    })
    assert.equal(image.size, 100_000)
    const saved = execFileSync(program, ['-c'], { input: await bytesOf(await images.save([`${program}:1`])) })
    assert.equal((await images.load(Readable.from([saved])))[0]!.id, image.id)
    await assert.rejects(images.import(Readable.from([packed.subarray(0, 60)]), {}), (error) =>
      isError(error, 'invalid'),
    )
  }
})

test('archives that lie are refused and leave nothing', async () => {
  const { images, snapshots, blobs } = room()
  const refuse = async (archive: Readable, message: RegExp) => {
    await assert.rejects(images.load(archive), (error) => isError(error, 'invalid') && message.test(error.message))
    assert.deepEqual(blobs(), [])
    assert.deepEqual(await snapshots.list(), [])
    assert.deepEqual(await images.list(), [])
  }
  await refuse((await oldArchive({ diffId: sha256('else') })).archive, /has content with the digest/)
  await refuse((await oldArchive({ name: 'Bad Name' })).archive, /invalid reference format/)
  await refuse(tar({ hello: 'x' }), /does not contain a manifest.json/)
  await refuse(tar({ [`blobs/sha256/${'a'.repeat(64)}`]: 'x', 'index.json': '{}' }), /unexpected digest/)
  await refuse(tar({ 'manifest.json': '[{"Config":"../../etc/passwd","Layers":[]}]' }), /is missing/)
  await refuse(Readable.from([Buffer.from('nonsense'.repeat(200))]), /invalid tar header/)
})

test('a daemon killed in the middle leaves nothing behind', async () => {
  const { images, snapshots, blobs, deps } = room()
  const stop = new AbortController()
  const { archive } = await oldArchive()
  await images.load(archive)
  const { writeFileSync } = await import('node:fs')
  const content = join(deps.instance.stateDir, 'content')
  writeFileSync(join(content, 'ingest/leftover'), 'x')
  writeFileSync(join(content, 'blobs/sha256', 'b'.repeat(64)), 'x')
  await snapshots.unpack(`sha256:${'c'.repeat(64)}`, undefined, { stream: tar({ x: 'y' }) }, { signal: stop.signal })
  snapshots.hold([`sha256:${'c'.repeat(64)}`], 'lease:dead')
  await snapshots.recover()
  await images.recover()
  assert.deepEqual(readdirSync(join(content, 'ingest')), [])
  assert.equal(blobs().length, 1)
  assert.equal((await snapshots.list()).length, 3)
  assert.equal(
    readFileSync(join((await snapshots.stat((await images.must('old:1')).snapshots[0]!))!.path, 'a'), 'utf8'),
    '2',
  )
})
