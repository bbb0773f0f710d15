/** Push and pull against Debian's docker-registry (package docker-registry), over http and with a password. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import { createServer, connect } from 'node:net'
import { createServer as createTlsServer } from 'node:https'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { rootCertificates } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { isError } from '../../src/errors.ts'
import { type Deflate, gzip, gzipBy, gzipMethod } from '../../src/lib/gzip.ts'
import { packTar, readTar, tarEntry } from '../../src/lib/tar/index.ts'
import type { TransferProgress } from '../../src/engine/types.ts'
import { sha256 } from '../../src/spec/oci/index.ts'
import { temporaryHome } from '../root/images-setup.ts'

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
const main = room()
let registry: ChildProcess
let host = ''
const storage = join(main.dir, 'registry')

before(async () => {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
  host = `127.0.0.1:${port}`
  const config = join(main.dir, 'registry.yml')
  const passwords = join(main.dir, 'htpasswd')
  // "user" with the password "secret".
  writeFileSync(passwords, 'user:$2y$05$' + bcryptOfSecret() + '\n')
  mkdirSync(storage)
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: ${storage}}\n  delete: {enabled: true}\nhttp: {addr: "${host}"}\nauth:\n  htpasswd: {realm: test, path: ${passwords}}\n`,
  )
  registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  registry.once('error', (error) => assert.fail(`docker-registry does not run: ${error.message}`))
  for (let i = 0; ; i++) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (up) break
    assert.ok(i < 100, 'docker-registry does not come up')
    await new Promise((go) => setTimeout(go, 50))
  }
})
after(() => registry?.kill())

const bcryptOfSecret = (): string =>
  execFileSync('python3', ['-c', 'import crypt; print(crypt.crypt("secret", "$2b$05$abcdefghijklmnopqrstuu"))'], {
    encoding: 'utf8',
  })
    .trim()
    .slice(7)

const auth = { username: 'user', password: 'secret' }
const bytes = (n: number): Buffer => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7919) % 251))
const rootfs = (files: Record<string, Buffer>) =>
  packTar(Object.entries(files).map(([path, body]) => ({ entry: tarEntry({ path, size: body.length }), body })))

test('push, pull elsewhere, push again, mount, remove', async () => {
  const { images } = main
  const image = await images.import(rootfs({ 'etc/hello': Buffer.from('hello'), big: bytes(3 << 20) }), {
    name: `${host}/one:1`,
  })
  const steps: TransferProgress[] = []
  const descriptor = await images.push(`${host}/one:1`, { auth, progress: (step) => void steps.push(step) })
  assert.equal(descriptor.mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
  const id = image.config.rootfs.diff_ids[0]!.slice(7, 19)
  assert.deepEqual(steps[0], { status: `The push refers to repository [${host}/one]` })
  assert.ok(steps.some((step) => step.id === id && step.status === 'Pushed'))
  assert.deepEqual(steps.at(-1), { status: `1: digest: ${descriptor.digest} size: ${descriptor.size}` })

  const other = room()
  steps.length = 0
  const pulled = await other.images.pull(`${host}/one:1`, { auth, progress: (step) => void steps.push(step) })
  assert.equal(pulled.id, image.id)
  assert.deepEqual(pulled.names, [`${host}/one:1`])
  assert.deepEqual(pulled.repoDigests, [`${host}/one@${descriptor.digest}`])
  assert.equal((await other.images.must(`${host}/one@${descriptor.digest}`)).id, image.id)
  assert.equal(
    readFileSync(join((await other.snapshots.stat(pulled.snapshots[0]!))!.path, 'etc/hello'), 'utf8'),
    'hello',
  )
  const statuses = steps.filter((step) => step.id !== '1' && step.id !== undefined).map((step) => step.status)
  assert.deepEqual(
    [...new Set(statuses)],
    ['Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete'],
  )
  assert.deepEqual(steps.at(-1), { status: `Status: Downloaded newer image for ${host}/one:1` })
  steps.length = 0
  await other.images.pull(`${host}/one:1`, { auth, progress: (step) => void steps.push(step) })
  assert.equal(steps.at(-1)!.status, `Status: Image is up to date for ${host}/one:1`)

  // What was pulled is pushed as it came, from where it is.
  await other.images.tag(`${host}/one:1`, `${host}/two/deep:2`)
  steps.length = 0
  await other.images.push(`${host}/two/deep:2`, { auth, progress: (step) => void steps.push(step) })
  assert.ok(steps.some((step) => step.status === 'Mounted from one'))
  await other.images.push(`${host}/two/deep:2`, { auth, progress: (step) => void steps.push(step) })
  assert.ok(steps.some((step) => step.status === 'Layer already exists'))

  const removed = await other.images.remove(`${host}/two/deep:2`)
  assert.deepEqual(removed[0], { untagged: `${host}/two/deep:2` })
  await other.images.remove(`${host}/one:1`)
  assert.deepEqual(await other.images.list(), [])
  assert.deepEqual(other.blobs(), [])
  assert.deepEqual(await other.snapshots.list(), [])
})

test('other tools take what we pushed and we take what they pushed', async () => {
  const { images } = main
  const skopeo = (...args: string[]) =>
    execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const image = await images.import(rootfs({ a: bytes(1000) }), { name: `${host}/three:1` })
  await images.push(`${host}/three:1`, { auth })
  for (const [tag, ...format] of [
    ['gzip', '--format', 'oci'],
    ['zstd', '--format', 'oci', '--dest-compress-format', 'zstd', '--dest-compress'],
    ['all', '--all'],
  ] as const) {
    skopeo(
      'copy',
      ...format,
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      '--src-creds=user:secret',
      '--dest-creds=user:secret',
      `docker://${host}/three:1`,
      `docker://${host}/theirs:${tag}`,
    )
    const other = room()
    const pulled = await other.images.pull(`${host}/theirs:${tag}`, { auth })
    assert.deepEqual(pulled.config.rootfs, image.config.rootfs)
    await other.images.tag(`${host}/theirs:${tag}`, `${host}/again:${tag}`)
    await other.images.push(`${host}/again:${tag}`, { auth })
    skopeo('inspect', '--tls-verify=false', '--creds=user:secret', `docker://${host}/again:${tag}`)
  }
})

test('refusals', async () => {
  const { images } = main
  await images.import(rootfs({ a: bytes(10) }), { name: `${host}/four:1` })
  const denied = (error: unknown) => isError(error, 'unauthorized')
  await assert.rejects(images.push(`${host}/four:1`, {}), denied)
  await assert.rejects(images.push(`${host}/four:1`, { auth: { ...auth, password: 'wrong' } }), denied)
  await assert.rejects(
    images.pull(`${host}/four:1`, {}),
    (error) =>
      denied(error) &&
      /^pull access denied for .*\/four, repository does not exist or may require 'docker login'/.test(
        (error as Error).message,
      ),
  )
  await assert.rejects(
    images.pull(`${host}/four:none`, { auth }),
    (error) =>
      isError(error, 'not-found') &&
      error.message === `manifest for ${host}/four:none not found: manifest unknown: manifest unknown`,
  )
  await assert.rejects(images.push(`${host}/none:1`, { auth }), {
    message: `An image does not exist locally with the tag: ${host}/none:1`,
  })
  await assert.rejects(
    images.pull('127.0.0.1:1/x:1'),
    (error) => isError(error, 'unavailable') && /connection refused/.test(error.message),
  )
  await assert.rejects(
    images.pull('registry.invalid/x:1'),
    (error) => isError(error, 'unavailable') && /no such host/.test(error.message),
  )
})

test('two pulls at once share the work', async () => {
  const { images } = main
  await images.import(rootfs({ a: bytes(2 << 20) }), { name: `${host}/seven:1` })
  await images.push(`${host}/seven:1`, { auth })
  const other = room()
  const statuses: string[] = []
  const pull = () => other.images.pull(`${host}/seven:1`, { auth, progress: (step) => void statuses.push(step.status) })
  const pulled = await Promise.all([pull(), pull(), pull()])
  assert.equal(new Set(pulled.map((image) => image.id)).size, 1)
  assert.equal(statuses.filter((status) => status === 'Verifying Checksum').length, 1)
  assert.equal((await other.snapshots.list()).length, 1)
})

test('a loaded layer is compressed for the registry and stays the same layer', async () => {
  const parts: Buffer[] = []
  for await (const part of rootfs({ z: bytes(1000), a: bytes(10) })) parts.push(part as Buffer)
  const layer = Buffer.concat(parts)
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      rootfs: { type: 'layers', diff_ids: [sha256(layer)] },
    }),
  )
  const manifest = Buffer.from(JSON.stringify([{ Config: 'c', RepoTags: [`${host}/loaded:1`], Layers: ['l'] }]))
  const here = room()
  const [image] = await here.images.load(rootfs({ c: config, l: layer, 'manifest.json': manifest }))
  assert.deepEqual(here.blobs(), [sha256(layer).slice(7)])
  await here.images.push(`${host}/loaded:1`, { auth })
  assert.equal(here.blobs().length, 1)
  assert.notDeepEqual(here.blobs(), [sha256(layer).slice(7)])
  assert.equal((await room().images.pull(`${host}/loaded:1`, { auth })).id, image!.id)
  for await (const { entry, body } of readTar(await here.images.save([`${host}/loaded:1`]))) {
    const content: Buffer[] = []
    for await (const part of body) content.push(part)
    if (entry.path === `blobs/sha256/${sha256(layer).slice(7)}`) assert.deepEqual(Buffer.concat(content), layer)
  }
})

/** As large when it is compressed. */
const noise = (n: number): Buffer => createHash('shake256', { outputLength: n }).update('noise').digest()

test('a push that is stopped in the middle leaves nothing; the next one makes the same as any other', async () => {
  const stuck = createHttpServer((request, response) => {
    if (request.method === 'POST') response.writeHead(202, { Location: '/v2/upload' }).end()
    else if (request.method === 'PATCH')
      stop.abort() // and no answer
    else response.writeHead(404).end()
  })
  const stop = new AbortController()
  await new Promise<void>((go) => stuck.listen(0, '127.0.0.1', go))
  const here = room()
  const load = () => here.images.import(rootfs({ a: noise(6 << 20), b: bytes(3 << 20) }), { name: `${host}/big:1` })
  await load()
  const slow = `127.0.0.1:${(stuck.address() as { port: number }).port}/big:1`
  await here.images.tag(`${host}/big:1`, slow)
  await assert.rejects(here.images.push(slow, { signal: stop.signal }), (error) => isError(error, 'cancelled'))
  stuck.closeAllConnections()
  stuck.close()
  assert.deepEqual(here.blobs(), [])
  assert.deepEqual(readdirSync(join(here.deps.instance.stateDir, 'content/ingest')), [])
  for (const table of ['layer_blobs', 'packed_layers'])
    assert.equal(here.deps.db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!.n, 0, table)

  await here.images.push(`${host}/big:1`, { auth })
  assert.equal(here.blobs().length, 1)
  const other = room()
  await other.images.import(rootfs({ a: noise(6 << 20), b: bytes(3 << 20) }), { name: `${host}/big:2` })
  const statuses: string[] = []
  const progress = ({ status }: TransferProgress) => void statuses.push(status)
  await other.images.push(`${host}/big:2`, { auth, progress })
  assert.deepEqual(other.blobs(), here.blobs())

  // It is known what the layer becomes, and where it is: nothing is compressed again.
  await here.images.remove(slow)
  await here.images.remove(`${host}/big:1`)
  assert.deepEqual(here.blobs(), [])
  const again = await load()
  statuses.length = 0
  await here.images.push(`${host}/big:1`, { auth, progress })
  assert.ok(statuses.includes('Layer already exists'))
  assert.deepEqual(here.blobs(), [])
  assert.equal((await room().images.pull(`${host}/big:1`, { auth })).id, again.id)
})

test('a connection that breaks while a layer is compressed and sent', async () => {
  let left = 5 << 20
  const cut = createServer((client) => {
    const [to, port] = host.split(':')
    const server = connect(Number(port), to)
    const end = () => {
      client.destroy()
      server.destroy()
    }
    client.on('data', (data) => {
      const before = left
      left -= data.length
      if (before > 0 && left <= 0) end()
      else server.write(data)
    })
    server.on('data', (data) => client.write(data))
    for (const socket of [client, server]) socket.on('error', end).on('close', end)
  })
  await new Promise<void>((go) => cut.listen(0, '127.0.0.1', go))
  const name = `127.0.0.1:${(cut.address() as { port: number }).port}/cut:1`
  const here = room()
  const image = await here.images.import(rootfs({ a: noise(12 << 20) }), { name })
  await here.images.push(name, { auth })
  assert.ok(left <= 0)
  assert.equal((await room().images.pull(`${host}/cut:1`, { auth })).id, image.id)
  cut.close()
})

test('what an earlier release has packed, or another compressor, keeps its digest', async () => {
  const here = room()
  const { db, sys } = here.deps
  const { zlib } = process.versions
  const inBlocks = async (tar: Buffer) => await buffer(gzip(Readable.from([tar]), 2))
  const fast = async (tar: Buffer) => {
    const { deflate } = (await import(sys.fastDeflate()!.module)) as { deflate: Deflate }
    const parts: Buffer[] = []
    for await (const part of gzipBy(Readable.from([tar]), deflate)) parts.push(Buffer.from(part))
    return Buffer.concat(parts)
  }
  const ways = [
    { by: zlib, pack: async (tar: Buffer) => gzipSync(tar, { level: 2, chunkSize: 256 * 1024 }) },
    { by: `${zlib} ${gzipMethod}`, pack: inBlocks },
  ]
  for (const [i, { by, pack }] of ways.entries()) {
    const image = await here.images.import(rootfs({ a: bytes((3 + i) << 20) }), { name: `packed:${i}` })
    const [snapshot] = image.snapshots
    const tar = await buffer(await here.snapshots.diff(snapshot!))
    const before = await pack(tar)
    db.prepare('INSERT INTO packed_layers VALUES (?, ?, ?, ?, ?, ?, ?, ?)').run(
      sha256(tar),
      JSON.stringify(['gzip', 2, '', by]),
      sha256(tar),
      sha256(before),
      'application/vnd.oci.image.layer.v1.tar+gzip',
      before.length,
      tar.length,
      Date.now(),
    )
    const packing = here.images.packing()
    const layer = await packing.layer(snapshot!, {})
    assert.equal(layer.digest, sha256(before))
    assert.ok(readFileSync(await layer.make()).equals(before))
    await packing.close()
  }
  // Nothing is known of it but what it has to be: it is found out who made it.
  const image = await here.images.import(rootfs({ a: bytes(5 << 20) }), { name: 'packed:2' })
  const tar = await buffer(await here.snapshots.diff(image.snapshots[0]!))
  for (const wanted of [await inBlocks(tar), await fast(tar)]) {
    const packing = here.images.packing()
    const layer = await packing.layer(image.snapshots[0]!, { digest: sha256(wanted) })
    assert.ok(readFileSync(await layer.make()).equals(wanted))
    await packing.close()
  }
  assert.match(String(sys.fastDeflate()?.method), /^isal-1 /)
})

test('without a fast compressor zlib packs', async () => {
  const here = room()
  here.deps.sys.fastDeflate = () => undefined
  const image = await here.images.import(rootfs({ a: bytes(3 << 20) }), { name: 'slow:1' })
  const tar = await buffer(await here.snapshots.diff(image.snapshots[0]!))
  const packing = here.images.packing()
  const layer = await packing.layer(image.snapshots[0]!, {})
  assert.ok(readFileSync(await layer.make()).equals(await buffer(gzip(Readable.from([tar]), 2))))
  await packing.close()
})

test('what was lost on disk comes back with a pull', async () => {
  const { images } = main
  await images.import(rootfs({ a: bytes(5000) }), { name: `${host}/six:1` })
  await images.push(`${host}/six:1`, { auth })
  const other = room()
  const image = await other.images.pull(`${host}/six:1`, { auth })
  const { path } = (await other.snapshots.stat(image.snapshots[0]!))!
  rmSync(path, { recursive: true })
  const [blob] = other.blobs()
  rmSync(join(other.deps.instance.stateDir, 'content/blobs/sha256', blob!))
  await other.images.pull(`${host}/six:1`, { auth })
  assert.deepEqual(readFileSync(join(path, 'a')), bytes(5000))
  assert.deepEqual(other.blobs(), [blob])
  rmSync(join(other.deps.instance.stateDir, 'content/blobs/sha256', blob!))
  await assert.rejects(other.images.push(`${host}/six:1`, { auth }), (error) => isError(error, 'not-found'))
})

test('a registry with a certificate of its own', async () => {
  const key = join(main.dir, 'tls.key')
  const cert = join(main.dir, 'tls.crt')
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  const manifest = JSON.stringify({ schemaVersion: 2, manifests: [] })
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
    response.end(manifest),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const certificates = join(main.dir, 'certs.d')
  mkdirSync(join(certificates, `localhost:${port}`), { recursive: true })
  const other = room()
  const pull = (settings: object) =>
    createImages(
      other.deps,
      other.snapshots,
      { imageInUse: () => [] },
      { registries: { certificates: [certificates], ...settings } },
    ).pull(`localhost:${port}/x:1`)
  const reached = (error: unknown) =>
    isError(error, 'not-found') && /no matching manifest for linux/.test(error.message)
  try {
    await assert.rejects(pull({}), reached, 'a loopback registry needs no certificate')
    writeFileSync(join(certificates, `localhost:${port}`, 'ca.crt'), readFileSync(cert))
    await assert.rejects(pull({}), reached)
    writeFileSync(join(certificates, `localhost:${port}`, 'ca.crt'), rootCertificates[0]!)
    await assert.rejects(pull({}), (error) => isError(error, 'unavailable') && /certs\.d/.test(error.hint ?? ''))
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('a damaged blob in the registry is noticed', async () => {
  const { images } = main
  const image = await images.import(rootfs({ a: bytes(5000) }), { name: `${host}/five:1` })
  await images.push(`${host}/five:1`, { auth })
  const blobsDir = join(storage, 'docker/registry/v2/blobs/sha256')
  for (const prefix of readdirSync(blobsDir))
    for (const hex of readdirSync(join(blobsDir, prefix))) {
      const file = join(blobsDir, prefix, hex, 'data')
      const data = readFileSync(file)
      if (data[0] !== 0x1f) continue
      data[data.length - 9] = data[data.length - 9]! ^ 1
      writeFileSync(file, data)
    }
  const other = room()
  await assert.rejects(
    other.images.pull(`${host}/five:1`, { auth }),
    (error) => isError(error, 'invalid') && /verification failed/.test(error.message),
  )
  assert.deepEqual(await other.images.list(), [])
  assert.deepEqual(other.blobs(), [])
  assert.equal((await images.must(`${host}/five:1`)).id, image.id)
  rmSync(blobsDir, { recursive: true })
})
