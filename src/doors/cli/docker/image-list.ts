/** Images and their history as rows. */
import { humanDuration } from '../../../lib/human-duration.ts'
import { familiarRepository, type Platform, parseReference } from '../../../spec/oci/index.ts'
import type { Listing } from './format.ts'
import { ago, ellipsis, humanSize, localTime, shortId, stamp } from './units.ts'

export interface ListedImage {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Created: number
  Size: number
  SharedSize: number
  Containers: number
  /** Of an image for several platforms, where that was asked for. */
  Manifests?: ListedManifest[]
}
export interface ListedManifest {
  ID: string
  Kind: string
  Size: { Total: number; Content: number }
  ImageData?: { Platform: Platform; Containers: string[] }
}
export interface ImageRow {
  image: ListedImage
  repository: string
  tag: string
  digest: string
}
const none = '<none>'

const byRepository = (names: readonly string[] | null, part: 'tag' | 'digest'): Map<string, string[]> => {
  const found = new Map<string, string[]>()
  for (const name of names ?? []) {
    if (name.startsWith(none)) continue
    const reference = parseReference(name)
    const repository = familiarRepository(reference)
    const value = reference[part]
    if (value !== undefined) found.set(repository, [...(found.get(repository) ?? []), value])
  }
  return found
}

/** A row for each name. `digests`: names by digest are told too, each by its own. */
export const imageRows = (image: ListedImage, digests: boolean): ImageRow[] => {
  const tags = byRepository(image.RepoTags, 'tag')
  const known = byRepository(image.RepoDigests, 'digest')
  if (tags.size === 0 && known.size === 0) return [{ image, repository: none, tag: none, digest: none }]
  const rows: ImageRow[] = []
  for (const [repository, names] of tags) {
    const shown = (digests ? known.get(repository) : undefined) ?? [none]
    known.delete(repository)
    for (const tag of names) for (const digest of shown) rows.push({ image, repository, tag, digest })
  }
  for (const [repository, names] of known)
    for (const digest of digests ? names : ['']) rows.push({ image, repository, tag: none, digest })
  return rows
}

const created = '{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}'
export const imageTable = (digests: boolean): string =>
  `table {{.Repository}}\t{{.Tag}}\t${digests ? '{{.Digest}}\t' : ''}{{.ID}}\t${created}\t{{.Size}}`

const orNone = (size: number, text: () => string): string => (size === -1 ? 'N/A' : text())

export const images = (cut: boolean): Listing<ImageRow> => ({
  type: 'formatter.imageContext',
  headers: {
    ID: 'IMAGE ID',
    Repository: 'REPOSITORY',
    Tag: 'TAG',
    Digest: 'DIGEST',
    CreatedSince: 'CREATED',
    CreatedAt: 'CREATED AT',
    Size: 'SIZE',
    Containers: 'CONTAINERS',
    VirtualSize: 'SIZE',
    SharedSize: 'SHARED SIZE',
    UniqueSize: 'UNIQUE SIZE',
  },
  fields: ({ image, repository, tag, digest }) => ({
    ID: () => (cut ? shortId(image.Id) : image.Id),
    Repository: () => repository,
    Tag: () => tag,
    Digest: () => digest,
    CreatedSince: () => ago(image.Created),
    CreatedAt: () => localTime(image.Created * 1000),
    Size: () => humanSize(image.Size, 3),
    Containers: () => orNone(image.Containers, () => String(image.Containers)),
    VirtualSize: () => humanSize(image.Size),
    SharedSize: () => orNone(image.SharedSize, () => humanSize(image.SharedSize)),
    UniqueSize: () => orNone(image.SharedSize, () => humanSize(image.Size - image.SharedSize)),
  }),
})

export interface HistoryEntry {
  Id: string
  Created: number
  CreatedBy: string
  Size: number
  Comment: string
}
export const historyTable = (human: boolean): string =>
  `table {{.ID}}\t${human ? '{{.CreatedSince}}' : '{{.CreatedAt}}'}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`

export const historyOf = (cut: boolean, human: boolean): Listing<HistoryEntry> => ({
  type: 'image.historyContext',
  headers: {
    ID: 'IMAGE',
    CreatedSince: 'CREATED',
    CreatedAt: 'CREATED AT',
    CreatedBy: 'CREATED BY',
    Size: 'SIZE',
    Comment: 'COMMENT',
  },
  fields: (entry) => ({
    ID: () => (cut && !entry.Id.startsWith('<') ? shortId(entry.Id) : entry.Id),
    CreatedAt: () => (entry.Created > 0 ? stamp(entry.Created) : ''),
    CreatedSince: () => {
      if (!human) return stamp(entry.Created)
      return entry.Created > 0 ? `${humanDuration(Date.now() - entry.Created * 1000)} ago` : 'N/A'
    },
    CreatedBy: () => {
      const text = entry.CreatedBy.replaceAll('\t', ' ')
      return cut ? ellipsis(text, 45) : text
    },
    Size: () => (human ? humanSize(entry.Size, 3) : String(entry.Size)),
    Comment: () => entry.Comment,
  }),
})
