import type { Digest } from '../../spec/oci/index.ts'
import type { ImageStore } from './store.ts'

/** What images take on disk: their layers, and the archives kept of them. Shared: what stands in more than one image. */
export const imageUsage = async (
  store: ImageStore,
): Promise<{ total: number; images: { id: Digest; size: number; shared: number }[] }> => {
  const parts = store.list().map(({ id, snapshots, config }) => {
    const blobs = config.rootfs.diff_ids.flatMap((diffId) => store.records.blob(diffId) ?? [])
    return { id, snapshots: new Set(snapshots), blobs: new Map(blobs.map(({ digest, size }) => [digest, size])) }
  })
  const sizes = new Map<string, number>()
  const users = new Map<string, number>()
  const use = (key: string, size: number): void => {
    sizes.set(key, size)
    users.set(key, (users.get(key) ?? 0) + 1)
  }
  for (const { snapshots, blobs } of parts) {
    for (const key of snapshots)
      use(`layer ${key}`, sizes.get(`layer ${key}`) ?? (await store.snapshots.stat(key))?.size ?? 0)
    for (const [digest, size] of blobs) use(`blob ${digest}`, size)
  }
  // A layer may stand on others of the same content than those that its image lists: they are there as well.
  const listed = new Set(parts.flatMap(({ snapshots }) => [...snapshots]))
  for (const key of store.snapshots.withParents([...listed]))
    if (!listed.has(key)) sizes.set(`layer ${key}`, (await store.snapshots.stat(key))?.size ?? 0)
  const sum = (keys: string[]): number => keys.reduce((bytes, key) => bytes + (sizes.get(key) ?? 0), 0)
  const images = parts.map(({ id, snapshots, blobs }) => {
    const own = [...[...snapshots].map((key) => `layer ${key}`), ...[...blobs.keys()].map((digest) => `blob ${digest}`)]
    return { id, size: sum(own), shared: sum(own.filter((key) => users.get(key)! > 1)) }
  })
  return { total: sum([...sizes.keys()]), images }
}
