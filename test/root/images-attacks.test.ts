/** Registries and archives that mean harm: nothing outside is touched, nothing of them stays. Layers: images-unpack.test.ts. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { isError } from '../../src/errors.ts'
import { packTar, type TarMember, tarEntry } from '../../src/lib/tar/index.ts'
import { mediaTypes, sha256 } from '../../src/spec/oci/index.ts'
import { temporaryHome } from './images-setup.ts'

const home = temporaryHome()
const snapshots = createSnapshots(home.deps)
const images = createImages(home.deps, snapshots, { imageInUse: () => [] })
after(async () => {
  await snapshots.close()
  home.remove()
})
const content = join(home.deps.instance.stateDir, 'content')
const secret = join(home.dir, 'secret')
writeFileSync(secret, 'secret')

const untouched = async (): Promise<void> => {
  assert.equal(readFileSync(secret, 'utf8'), 'secret')
  assert.deepEqual(await images.list(), [])
  assert.deepEqual(await snapshots.list(), [])
  assert.deepEqual(readdirSync(join(content, 'blobs/sha256')), [])
}
const serve = async (handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
const tarOf = async (members: TarMember[]): Promise<Buffer> => {
  const parts: Buffer[] = []
  for await (const part of packTar(members)) parts.push(part as Buffer)
  return Buffer.concat(parts)
}
const file = (path: string, body: Buffer | string): TarMember => ({
  entry: tarEntry({ path, size: Buffer.byteLength(body) }),
  body: Buffer.from(body),
})
const arch = process.arch === 'x64' ? 'amd64' : process.arch
const configOf = (...diffIds: string[]): string =>
  JSON.stringify({ os: 'linux', architecture: arch, rootfs: { type: 'layers', diff_ids: diffIds } })

/** A registry with one image; `change` makes it hostile. */
const registryOf = async (
  layer: Buffer,
  plain: Buffer,
  change: (parts: { manifest: Record<string, unknown>; blobs: Map<string, Buffer> }) => void = () => {},
): Promise<string> => {
  const config = Buffer.from(configOf(sha256(plain)))
  const blobs = new Map([
    [sha256(config), config],
    [sha256(layer), layer],
  ])
  const manifest: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: sha256(config), size: config.length },
    layers: [{ mediaType: mediaTypes.ociLayerGzip, digest: sha256(layer), size: layer.length }],
  }
  change({ manifest, blobs })
  return serve((request, response) => {
    const path = decodeURIComponent(request.url!)
    const found = /\/blobs\/(.*)$/.exec(path)
    if (!found) return response.setHeader('Content-Type', String(manifest.mediaType)).end(JSON.stringify(manifest))
    const blob = blobs.get(found[1]!)
    return blob ? response.end(blob) : response.writeHead(404).end()
  })
}
const refused = async (host: string, message: RegExp): Promise<void> => {
  await assert.rejects(images.pull(`${host}/x:1`), (error) => isError(error) && message.test(error.message))
  await untouched()
}

test('a registry that lies about digests, sizes and kinds', async () => {
  mkdirSync(join(content, 'blobs/sha256'), { recursive: true })
  const plain = await tarOf([file('a', 'x'.repeat(5000))])
  const layer = gzipSync(plain)
  const first = (manifest: Record<string, unknown>) => (manifest.layers as Record<string, unknown>[])[0]!
  await refused(await registryOf(layer, Buffer.from('else')), /has content .*, expected/)
  await refused(
    await registryOf(layer, plain, ({ manifest, blobs }) => {
      first(manifest).digest = `sha256:../../../../${'a'.repeat(40)}`
      blobs.set(String(first(manifest).digest), layer)
    }),
    /unsupported digest/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest, blobs }) => {
      const config = { ...(manifest.config as object), digest: `sha256:${'0'.repeat(64)}` }
      manifest.config = config
      blobs.set(config.digest, Buffer.from(configOf(sha256(plain))))
    }),
    /verification failed/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest }) => void (first(manifest).size = 10)),
    /more than the 10 bytes/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest }) => void (first(manifest).mediaType = 'application/wasm')),
    /unsupported media type/,
  )
  const helm = 'application/vnd.cncf.helm.config.v1+json'
  await refused(
    await registryOf(layer, plain, ({ manifest }) => Object.assign(manifest.config as object, { mediaType: helm })),
    /^unsupported media type application\/vnd\.cncf\.helm\.config/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest, blobs }) => {
      const config = Buffer.from(configOf(sha256(plain)).replace('linux', 'windows'))
      blobs.set(sha256(config), config)
      Object.assign(manifest.config as object, { digest: sha256(config), size: config.length })
    }),
    /^cannot download image with operating system "windows" when requesting "linux"$/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest }) => void (manifest.manifests = [])),
    /both an image and an index/,
  )
  await refused(
    await registryOf(layer, plain, ({ manifest }) => void (manifest.layers = [first(manifest), first(manifest)])),
    /manifest has 2 layers, configuration 1/,
  )
})

test('an index that never ends, a manifest that is too long, a body that never stops', async () => {
  const loop = await serve((_, response) => {
    const manifests = [
      { mediaType: mediaTypes.ociIndex, digest: sha256('x'), size: 1, platform: { os: 'linux', architecture: arch } },
    ]
    const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })
    response.setHeader('Content-Type', mediaTypes.ociIndex).end(body)
  })
  await refused(loop, /manifest verification failed/)
  const long = await serve((_, response) => response.end(Buffer.alloc(5 << 20, ' ')))
  await refused(long, /larger than \d+ bytes/)
})

test('bombs by way of a pull and of a load', async () => {
  const zeros = Buffer.alloc(32 << 20)
  const header = (await tarOf([{ entry: tarEntry({ path: 'zeros', size: 0 }) }])).subarray(0, 512)
  // Size 1.5 GiB in octal, and the header's sum again.
  header.write(`${(48 * zeros.length).toString(8).padStart(11, '0')}\0`, 124)
  header.fill(' ', 148, 156)
  const sum = header.reduce((a, b) => a + b, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const bomb = zstdCompressSync(Buffer.concat([header, ...Array<Buffer>(40).fill(zeros)]))
  assert.ok(bomb.length < 1 << 20)
  const host = await registryOf(bomb, Buffer.from('whatever'), ({ manifest }) => {
    ;(manifest.layers as Record<string, unknown>[])[0]!.mediaType = mediaTypes.ociLayerZstd
  })
  await refused(host, /compressed beyond reason/)
  const manifest = JSON.stringify([{ Config: 'c', Layers: ['l'] }])
  const archive = await tarOf([file('c', configOf(sha256('x'))), file('l', bomb), file('manifest.json', manifest)])
  await assert.rejects(images.load(Readable.from([archive])), /layer is compressed beyond reason/)
  await untouched()
  await assert.rejects(images.load(Readable.from([bomb])), /archive is compressed beyond reason/)
  await untouched()
})

test('archives whose files are links to ours', async () => {
  const layer = await tarOf([file('a', 'x')])
  const manifest = JSON.stringify([{ Config: 'config.json', Layers: ['layer.tar'] }])
  for (const target of [secret, `../../../../../../..${secret}`, '/proc/self/environ']) {
    for (const type of ['symlink', 'link'] as const) {
      const link: TarMember = { entry: tarEntry({ path: 'layer.tar', type, linkName: target }) }
      const archive = await tarOf([file('config.json', configOf(sha256(layer))), link, file('manifest.json', manifest)])
      await assert.rejects(images.load(Readable.from([archive])), /layer layer.tar is missing/)
      await untouched()
    }
  }
  const ring: TarMember[] = ['a', 'b'].map((path) => ({
    entry: tarEntry({ path, type: 'symlink', linkName: path === 'a' ? 'b' : 'a' }),
  }))
  const config = JSON.stringify([{ Config: 'a', Layers: [] }])
  await assert.rejects(
    images.load(Readable.from([await tarOf([...ring, file('manifest.json', config)])])),
    /a is missing/,
  )
  const climbing = await tarOf([
    file('../../outside', 'x'),
    file('manifest.json', '[{"Config":"../../outside","Layers":[]}]'),
  ])
  await assert.rejects(images.load(Readable.from([climbing])), (error) => isError(error, 'invalid'))
  await untouched()
})
