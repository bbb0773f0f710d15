/** Which of the cache's records a build's result was made with. */
import type { Rootfs, Source } from '../../solver/graph.ts'
import type { CacheRecord, CacheRecords } from '../records.ts'

export interface UsedRecord {
  record: CacheRecord
  keys: string[]
}

/** `everything`: of all stages; else only the steps whose layers are in the result. */
export const usedRecords = async (
  records: CacheRecords,
  root: Rootfs,
  everything: boolean,
  keyOf: (node: Source) => Promise<string>,
): Promise<UsedRecord[]> => {
  const found = new Map<string, UsedRecord>()
  for (const node of nodesBelow(root, everything)) {
    const record = records.find(await keyOf(node))
    // What a prune has taken meanwhile is not there to be shared.
    if (record) found.set(record.id, { record, keys: records.keysOf(record.id) })
  }
  return [...found.values()]
}

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
