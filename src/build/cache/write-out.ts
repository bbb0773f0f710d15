import type { SpecialFiles } from '../../sys/sys.ts'
import type { CacheRecords } from './records.ts'

/** Steps that were performed are on disk when it resolves: before anything gets a name that is made of them. */
export const writeOut = async (deps: {
  sys: { files: Pick<SpecialFiles, 'sync'> }
  records: CacheRecords
  stateDir: string
}): Promise<void> => {
  const ids = deps.records.unsynced()
  if (ids.length === 0) return
  await deps.sys.files.sync(deps.stateDir)
  deps.records.synced(ids)
}
