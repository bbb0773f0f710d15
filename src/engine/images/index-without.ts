import {
  type Descriptor,
  type Digest,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  sha256,
} from '../../spec/oci/index.ts'
import type { StoredIndex } from './index-records.ts'

type Document = StoredIndex['root']

const contentOf = <T>({ data }: Document): T => JSON.parse(Buffer.from(data, 'base64').toString()) as T

/** Digests of the image's manifests in the index: one, as a rule. */
export const manifestsWith = ({ documents }: StoredIndex, id: Digest): Digest[] =>
  documents.flatMap((document) => {
    if (!isManifestType(document.descriptor.mediaType)) return []
    const { config } = contentOf<Partial<Manifest>>(document)
    return config?.digest === id ? [document.descriptor.digest] : []
  })

/**
 * An index without one of its images and what is said of that one. It has another digest: what named the whole cannot be
 * sent any more. undefined: nothing else was in it.
 */
export const indexWithout = (index: StoredIndex, id: Digest): StoredIndex | undefined => {
  const gone = new Set(manifestsWith(index, id))
  const by = new Map(index.documents.map((document) => [document.descriptor.digest, document]))
  const kept = new Map<Digest, Document>()
  const layers = new Set<Digest>()
  const goes = ({ digest, annotations }: Descriptor): boolean =>
    gone.has(digest) || gone.has(annotations?.['vnd.docker.reference.digest'] ?? '')

  const keepManifest = ({ digest }: Descriptor): void => {
    const document = by.get(digest)!
    const { config, layers: parts } = contentOf<Manifest>(document)
    for (const part of [config, ...parts]) {
      const stored = by.get(part.digest)
      if (stored) kept.set(part.digest, stored)
      layers.add(part.digest)
    }
    kept.set(digest, document)
  }
  const left = (document: Document): Document | undefined => {
    const content = contentOf<Index>(document)
    const manifests = content.manifests.flatMap((each): Descriptor[] => {
      if (goes(each)) return []
      if (!isIndexType(each.mediaType)) {
        keepManifest(each)
        return [each]
      }
      const nested = left(by.get(each.digest)!)
      if (!nested) return []
      kept.set(nested.descriptor.digest, nested)
      return [nested.descriptor]
    })
    if (manifests.length === 0) return undefined
    const same = manifests.every((each, i) => each === content.manifests[i])
    return same && manifests.length === content.manifests.length ? document : rewritten(document, content, manifests)
  }

  const root = left(index.root)
  return (
    root && {
      root,
      layers: index.layers.filter(({ descriptor }) => layers.has(descriptor.digest)),
      documents: [...kept.values()],
    }
  )
}

const rewritten = ({ descriptor }: Document, content: Index, manifests: Descriptor[]): Document => {
  const data = Buffer.from(JSON.stringify({ ...content, manifests }))
  return {
    descriptor: { ...descriptor, digest: sha256(data), size: data.length },
    data: data.toString('base64'),
  }
}
