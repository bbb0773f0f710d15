/** A parcel as an OCI image layout: a tar, or blobs in a store. */
import type { Readable } from 'node:stream'
import { packTar, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import { type Descriptor, familiarName, mediaTypes, parseReference, withTag } from '../../spec/oci/index.ts'
import { contentOf } from '../cache/remote/export.ts'
import type { Written } from './manifest.ts'
import { annotationsOf } from './options.ts'

type Attrs = Readonly<Record<string, string>>

/** `type` docker adds what docker's own archives have. Nothing in it depends on the time, unless `created` is given. */
export const layoutTar = (written: Written, names: readonly string[], type: string, attrs: Attrs): Readable =>
  packTar(members(written, names, type, attrs))

async function* members(
  { parcel: { parts, root }, configs }: Written,
  names: readonly string[],
  type: string,
  attrs: Attrs,
): AsyncGenerator<TarMember> {
  const seen = new Set<string>()
  for (const part of [...parts, root]) {
    const { digest, size } = part.descriptor
    if (seen.has(digest)) continue
    seen.add(digest)
    yield { entry: tarEntry({ path: blobPath(digest), size }), body: contentOf(part) }
  }
  const manifests = indexEntries(root.descriptor, names, attrs)
  yield json('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })
  if (type === 'docker') {
    const docker = configs.map(({ descriptor, layers }) => ({
      Config: blobPath(descriptor.digest),
      RepoTags: names.length === 0 ? null : names.map((name) => familiarName(name)),
      Layers: layers.map(({ digest }) => blobPath(digest)),
    }))
    yield json('manifest.json', docker)
  }
  yield json('oci-layout', { imageLayoutVersion: '1.0.0' })
}

const blobPath = (digest: string): string => `blobs/${digest.replace(':', '/')}`

const json = (path: string, value: unknown): TarMember => {
  const body = Buffer.from(JSON.stringify(value))
  return { entry: tarEntry({ path, size: body.length }), body }
}

const indexEntries = (root: Descriptor, names: readonly string[], attrs: Attrs): Descriptor[] => {
  const own = { ...root.annotations, ...annotationsOf(attrs, 'index-descriptor') }
  if (names.length === 0) return [Object.keys(own).length > 0 ? { ...root, annotations: own } : root]
  return names.map((name) => ({
    ...root,
    annotations: {
      ...own,
      'io.containerd.image.name': name,
      'org.opencontainers.image.ref.name': withTag(parseReference(name)).tag ?? '',
    },
  }))
}
