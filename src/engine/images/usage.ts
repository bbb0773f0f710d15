import type { Digest } from '../../spec/oci/index.ts'
import type { ImageStore } from './store.ts'

/** What images take on disk. Shared: layers that stand in more than one image. */
export const imageUsage = async (
  store: ImageStore,
): Promise<{ layers: number; blobs: number; images: { id: Digest; size: number; shared: number }[] }> => {
  const all = store.records.all().map((record) => store.view(record))
  const sizes = new Map<string, number>()
  const users = new Map<string, number>()
  for (const { snapshots } of all)
    for (const key of new Set(snapshots)) {
      users.set(key, (users.get(key) ?? 0) + 1)
      if (!sizes.has(key)) sizes.set(key, (await store.snapshots.stat(key))?.size ?? 0)
    }
  const sum = (keys: Iterable<string>): number => [...keys].reduce((bytes, key) => bytes + (sizes.get(key) ?? 0), 0)
  const images = all.map(({ id, snapshots }) => {
    const own = new Set(snapshots)
    return { id, size: sum(own), shared: sum([...own].filter((key) => users.get(key)! > 1)) }
  })
  return { layers: sum(sizes.keys()), blobs: store.records.blobBytes(), images }
}
