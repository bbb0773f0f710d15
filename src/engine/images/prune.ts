import { isError } from '../../errors.ts'
import type { Image } from '../types.ts'
import { type ImageUse, type Removal, removeImage } from './remove.ts'
import type { ImageStore } from './store.ts'

/** docker image prune: images without a name, or (`all`) every one that no container uses. */
export const pruneImages = async (
  store: ImageStore,
  use: ImageUse,
  options: { all: boolean; labels?: string[]; until?: number },
): Promise<{ deleted: Removal[]; reclaimed: number }> => {
  const deleted: Removal[] = []
  let reclaimed = 0
  for (const record of store.records.all()) {
    const image = store.view(record)
    if (!options.all && image.names.length > 0) continue
    // It goes with the name that it came under.
    if (image.names.length === 0 && (image.within ?? []).length > 0) continue
    if (options.until !== undefined && image.createdAt >= options.until) continue
    if (!(options.labels ?? []).every((label) => labelHolds(image, label))) continue
    if (use.imageInUse(image.id).length > 0) continue
    try {
      // One of several under another name only loses its own.
      const stays = (image.within ?? []).some((name) => !image.names.includes(name))
      for (const each of stays ? image.names : [image.id]) {
        const { removals, freed } = await removeImage(store, use, each, { force: true })
        deleted.push(...removals)
        reclaimed += freed
      }
    } catch (error) {
      // A container was made from it just now, or somebody else removed it.
      if (!isError(error, 'conflict', 'not-found')) throw error
    }
  }
  reclaimed += await store.content.dropPartials()
  store.deps.events.emit({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(reclaimed) } })
  return { deleted, reclaimed }
}

/** 'key', 'key=value', and both with a leading '!' (docker's label!= filter). */
const labelHolds = (image: Image, filter: string): boolean => {
  const negated = filter.startsWith('!')
  const [key, ...rest] = (negated ? filter.slice(1) : filter).split('=')
  const value = image.config.config?.Labels?.[key!]
  const matches = value !== undefined && (rest.length === 0 || value === rest.join('='))
  return matches !== negated
}
