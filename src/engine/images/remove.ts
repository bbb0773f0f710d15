import { SlipwayError } from '../../errors.ts'
import {
  type Digest,
  familiarName,
  formatReference,
  parseReference,
  repositoryOf,
  withTag,
} from '../../spec/oci/index.ts'
import type { Image } from '../types.ts'
import { type ImageStore, noSuchImage } from './store.ts'

export interface ImageUse {
  /** Ids of the containers made from the image. */
  imageInUse: (id: Digest) => string[]
  /** Is this container running? Then even `force` does not delete its image. Default: no. */
  isRunning?: ((container: string) => boolean) | undefined
}
export type Removal = { untagged: string } | { deleted: Digest }
export interface Removed {
  removals: Removal[]
  /** Bytes. */
  freed: number
}

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)

/** docker rmi: a name goes first, the image with its last name. Rules and words are dockerd's (image_delete.go). */
export const removeImage = async (
  store: ImageStore,
  use: ImageUse,
  reference: string,
  options: { force?: boolean },
): Promise<Removed> => {
  const image = store.get(reference)
  if (!image) throw noSuchImage(reference)
  const force = options.force ?? false
  const all = [...image.names, ...image.repoDigests]
  const removals: Removal[] = []
  let freed = 0
  const untag = (name: string, told = true): void => {
    store.records.dropName(name)
    removals.push({ untagged: familiarName(name) })
    if (told) store.emit('untag', image)
  }
  if (store.resolveName(reference) === image.id && !/^sha256:/.test(reference)) {
    const name = storedName(reference)
    const container = use.imageInUse(image.id)[0]
    if (!force && isSingle(all) && container !== undefined)
      throw new SlipwayError(
        'conflict',
        `conflict: unable to remove repository reference "${reference}" (must force) - container ${short(container)} is using its referenced image ${short(image.id)}`,
        { hint: 'Remove the container first, or force the removal.' },
      )
    // With the last tag of a repository its digests go too.
    const left = all.filter((each) => each !== name)
    const repository = repositoryOf(parseReference(name))
    const tagged = left.some((each) => !each.includes('@') && repositoryOf(parseReference(each)) === repository)
    const goes = (each: string): boolean =>
      each === name || (!name.includes('@') && !tagged && each.startsWith(`${repository}@`))
    const mates = all.filter(goes).flatMap((each) => store.records.indexes.members(each))
    // Digests that go with a tag are no event of their own.
    for (const each of all.filter(goes)) untag(each, each === name)
    freed += await forgetMates(store, use, mates, image.id, removals)
    // It stays, too, while it is one of several under another name.
    if ([...all, ...(image.within ?? [])].some((each) => !goes(each))) return { removals, freed }
    // A forced removal of the last name of an image in use leaves it without a name.
    if (conflictOf(use, image, force, false)) return { removals, freed }
  } else {
    const conflict = conflictOf(use, image, force, !isSingle(all))
    if (conflict) throw conflict
    const mates = [...all, ...(image.within ?? [])].flatMap((each) => store.records.indexes.members(each))
    for (const each of all) untag(each)
    freed += await forgetMates(store, use, mates, image.id, removals)
  }
  freed += await store.forget(image.id)
  removals.push({ deleted: image.id })
  store.emit('delete', image)
  return { removals, freed }
}

/** Images for other machines that came under the same name go with it, unless something else has them. */
const forgetMates = async (
  store: ImageStore,
  use: ImageUse,
  mates: readonly Digest[],
  besides: Digest,
  removals: Removal[],
): Promise<number> => {
  let freed = 0
  for (const id of new Set(mates)) {
    const mate = id === besides ? undefined : store.get(id)
    if (!mate || [...mate.names, ...mate.repoDigests, ...(mate.within ?? [])].length > 0) continue
    if (use.imageInUse(id).length > 0) continue
    freed += await store.forget(id)
    removals.push({ deleted: id })
    store.emit('delete', mate)
  }
  return freed
}

const storedName = (reference: string): string => {
  const parsed = withTag(parseReference(reference))
  return parsed.digest === undefined ? formatReference(parsed) : `${repositoryOf(parsed)}@${parsed.digest}`
}

/** At most one tag, and everything in one repository. */
const isSingle = (names: string[]): boolean => {
  const tags = names.filter((name) => !name.includes('@'))
  const repositories = new Set(names.map((name) => repositoryOf(parseReference(name))))
  return tags.length <= 1 && repositories.size <= 1
}

export const conflictOf = (use: ImageUse, image: Image, force: boolean, several: boolean): SlipwayError | undefined => {
  const refuse = (hard: boolean, why: string): SlipwayError =>
    new SlipwayError(
      'conflict',
      `conflict: unable to delete ${short(image.id)} (${hard ? 'cannot be forced' : 'must be forced'}) - ${why}`,
    )
  const containers = use.imageInUse(image.id)
  const running = containers.find((id) => use.isRunning?.(id))
  if (running !== undefined) return refuse(true, `image is being used by running container ${short(running)}`)
  if (force) return undefined
  if (several) return refuse(false, 'image is referenced in multiple repositories')
  if (containers[0] !== undefined)
    return refuse(false, `image is being used by stopped container ${short(containers[0])}`)
  return undefined
}
