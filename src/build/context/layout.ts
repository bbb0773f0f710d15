/** An image in an OCI layout somewhere else, as a named context: it becomes an image of this machine while the build goes on. */
import type { Images } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { packTar, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import {
  choosePlatform,
  type Descriptor,
  type Index,
  isIndexType,
  type Manifest,
  mediaTypes,
  type Platform,
  readIndex,
  readManifest,
} from '../../spec/oci/index.ts'
import type { ContentStore } from '../types.ts'

const mostBytes = 16 * 1024 * 1024

/** The id of the image for the platform. It is taken away by `drop` unless it was here before, or has got a name since. */
export const loadLayout = async (
  images: Pick<Images, 'load' | 'get' | 'remove'>,
  store: ContentStore,
  root: string,
  platform: Platform,
  signal: AbortSignal,
): Promise<{ image: string; drop(): Promise<void> }> => {
  const { descriptor, manifest, body } = await manifestFor(store, root, platform)
  const before = await images.get(manifest.config.digest)
  if (before) return { image: before.id, drop: async () => {} }
  const [image] = await images.load(packTar(members(store, descriptor, manifest, body)), { signal })
  if (!image) throw new SlipwayError('invalid', `no image in the layout: ${root}`)
  const drop = async (): Promise<void> => {
    const now = await images.get(image.id)
    if (now?.names.length === 0) await images.remove(image.id).catch(() => undefined)
  }
  return { image: image.id, drop }
}

const manifestFor = async (
  store: ContentStore,
  root: string,
  platform: Platform,
): Promise<{ descriptor: Descriptor; manifest: Manifest; body: Buffer }> => {
  let digest = root
  for (let depth = 0; depth < 4; depth++) {
    const body = await read(store, digest)
    const text = body.toString()
    if (!isIndex(text)) {
      const manifest = readManifest(text, digest)
      const mediaType = manifest.mediaType ?? mediaTypes.ociManifest
      return { descriptor: { mediaType, digest, size: body.length }, manifest, body }
    }
    const images = readIndex(text, digest).manifests.filter((each) => each.platform?.os !== 'unknown')
    const chosen = choosePlatform(images, platform) ?? images.find(({ mediaType }) => isIndexType(mediaType))
    if (!chosen) throw new SlipwayError('not-found', `no match for platform in manifest: ${digest}`)
    digest = chosen.digest
  }
  throw new SlipwayError('invalid', `${root}: indexes within indexes`)
}

const isIndex = (text: string): boolean => (JSON.parse(text) as Partial<Index> | null)?.manifests !== undefined

const read = async (store: ContentStore, digest: string): Promise<Buffer> => {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of store.read(digest)) {
    size += chunk.length
    if (size > mostBytes) throw new SlipwayError('invalid', `${digest} is too large`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Digests are verified by whoever loads it. */
async function* members(
  store: ContentStore,
  descriptor: Descriptor,
  { config, layers }: Manifest,
  body: Buffer,
): AsyncGenerator<TarMember> {
  const path = ({ digest }: Descriptor): string => `blobs/${digest.replace(':', '/')}`
  yield { entry: tarEntry({ path: path(descriptor), size: body.length }), body }
  const all = new Map([config, ...layers].map((each) => [each.digest, each]))
  for (const each of all.values())
    yield { entry: tarEntry({ path: path(each), size: each.size }), body: store.read(each.digest) }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  yield { entry: tarEntry({ path: 'index.json', size: index.length }), body: index }
}
