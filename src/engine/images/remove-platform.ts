import { SlipwayError } from '../../errors.ts'
import {
  type Digest,
  familiarName,
  hostPlatform,
  parseReference,
  type Platform,
  platformRank,
  repositoryOf,
  wholeName,
} from '../../spec/oci/index.ts'
import type { Image } from '../types.ts'
import { indexWithout, manifestsWith } from './index-without.ts'
import { imageFor } from './indexes.ts'
import { isImage } from './load-index.ts'
import { conflictOf, type ImageUse, type Removed } from './remove.ts'
import type { ImageStore } from './store.ts'

/**
 * docker rmi --platform: of several images under a name one goes, from all names that stand for it among others; they keep what
 * is left. dockerd asks for `force` then. undefined: the name stands for an image alone, which goes as any other.
 */
export const removePlatform = async (
  store: ImageStore,
  use: ImageUse,
  reference: string,
  platform: Platform,
  force: boolean,
): Promise<Removed | undefined> => {
  if (store.resolveName(reference) === undefined) return undefined
  const index = store.records.indexes.get(wholeName(reference))
  const image = imageFor(store, reference, platform)
  if (!index || store.records.indexes.members(wholeName(reference)).length < 2) return undefined
  if (!force)
    throw new SlipwayError(
      'bad-request',
      'Content will be removed from all images referencing this variant. Use —-force to force delete.',
    )
  const conflict = conflictOf(use, image, true, false)
  if (conflict) throw conflict
  const removals: Removed['removals'] = manifestsWith(index, image.id).map((deleted) => ({ deleted }))
  const { within: all = [] } = image
  for (const name of store.records.transaction(() => all.filter((each) => leave(store, each, image)))) {
    removals.unshift({ untagged: familiarName(name) })
    store.emit('untag', image)
  }
  dropDigests(store, all, image)
  const { names, repoDigests, within = [] } = store.view(store.records.get(image.id)!)
  // It may have a name of its own, or have come by digest alone.
  if (names.length > 0 || repoDigests.length > 0 || within.length > 0) return { removals, freed: 0 }
  const freed = await store.forget(image.id)
  store.emit('delete', image)
  return { removals, freed }
}

/** With the last name in a repository its digests go, too: they are of what is not whole any more. */
const dropDigests = ({ records }: ImageStore, lost: readonly string[], { id, repoDigests }: Image): void => {
  const repository = (name: string): string => repositoryOf(parseReference(name))
  const kept = new Set(records.names(id).map(repository))
  const left = new Set(lost.map(repository).filter((each) => !kept.has(each)))
  for (const digest of repoDigests) if (left.has(repository(digest))) records.dropName(digest)
}

/** The name loses the image; true: that was all it stood for. */
const leave = (store: ImageStore, name: string, image: Image): boolean => {
  const { records } = store
  const index = records.indexes.get(name)!
  const rest = records.indexes.members(name).filter((id) => id !== image.id)
  const own = records.byName(name)
  const next = own === image.id ? best(store, rest) : own
  if (next === undefined) {
    records.dropName(name)
    return true
  }
  records.moveName(name, next)
  const left = indexWithout(index, image.id)
  // One image alone, of which nothing is said, is just that.
  const more = rest.length > 1 || left?.documents.some(({ descriptor }) => !isImage(descriptor))
  if (left && more) records.indexes.set(name, left, rest)
  return false
}

const best = (store: ImageStore, ids: readonly Digest[]): Digest | undefined => {
  const rank = (id: Digest): number => platformRank(store.must(id).platform, hostPlatform())
  return [...ids].sort((a, b) => rank(b) - rank(a))[0]
}
