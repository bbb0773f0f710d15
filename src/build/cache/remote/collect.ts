/** Which records a build's result was made with. */
import type { Rootfs, Source } from '../../solver/graph.ts'
import type { CacheRecord, CacheRecords, StepResult } from '../records.ts'
import type { RemoteLayer } from './format.ts'

/** A layer that lies elsewhere; `make` fetches it: a file that stays as long as the imported caches are open. */
export type OfferedLayer = RemoteLayer & { make(): Promise<string> }

/** A step's result, here or in a cache that was imported. */
export interface UsedRecord extends Pick<StepResult, 'contentKey' | 'steps'> {
  keys: readonly string[]
  description: string
  createdAt: number
  layers: readonly string[] | readonly OfferedLayer[]
}

/**
 * `everything`: of all stages; else only the steps whose layers are in the result. What an imported cache has is not lost from
 * the one that is written because nothing had to be fetched from it.
 */
export const usedRecords = async (
  records: CacheRecords,
  root: Rootfs,
  everything: boolean,
  solve: { keyOf(node: Source): Promise<string>; offered(key: string): UsedRecord | undefined },
): Promise<UsedRecord[]> => {
  const found = new Map<string, UsedRecord>()
  for (const node of nodesBelow(root, everything)) {
    const key = await solve.keyOf(node)
    // What a prune has taken meanwhile is not there to be shared.
    const record = records.find(key)
    const used = record ? ofRecord(record, records.keysOf(record.id)) : solve.offered(key)
    if (used && used.keys.length > 0 && used.layers.length > 0) found.set(record?.id ?? used.keys[0]!, used)
  }
  return [...found.values()]
}

const ofRecord = ({ result, description, createdAt }: CacheRecord, keys: readonly string[]): UsedRecord => ({
  ...{ keys, description, createdAt },
  ...{ contentKey: result.contentKey, steps: result.steps, layers: result.snapshots },
})

const nodesBelow = (root: Rootfs, everything: boolean): Rootfs[] => {
  const seen = new Set<Source>()
  const found: Rootfs[] = []
  const visit = (at: Source): void => {
    if (seen.has(at) || at.kind === 'scratch' || at.kind === 'local' || at.kind === 'image') return
    seen.add(at)
    visit(at.input)
    if (everything) for (const source of at.kind === 'merge' ? [at.layer] : at.sources) if (source) visit(source)
    found.push(at)
  }
  visit(root)
  return found
}
