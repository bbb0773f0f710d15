import type { BigIntStats } from 'node:fs'
import { lstatExact, namesIn } from '../../../lib/named-files.ts'
import { isWhiteout } from './files.ts'
import { LowerView } from './lower.ts'
import type { Change } from './protocol.ts'
import { opaqueXattr, type Special } from './special.ts'

/** Changed paths of an upper directory against the layers below, as docker diff lists them; sorted by path. */
export const layerChanges = (root: string, lowers: string[], special: Special): Change[] => {
  const isOpaque = (path: string): boolean => special.xattrs([path])[0]!.has(opaqueXattr)
  const lower = new LowerView(lowers, isOpaque)
  const changes: Change[] = []
  /** True when something in the directory, or anywhere below it, has changed. */
  const walk = (path: string): boolean => {
    const begun = changes.length
    const prefix = path === '' ? '' : `${path}/`
    const names = namesIn(`${root}/${path}`)
    for (const name of names) {
      const full = `${prefix}${name}`
      const stat = lstatExact(`${root}/${full}`)
      const before = lower.find(full)
      const at = changes.length
      if (isWhiteout(stat)) {
        if (before) changes.push({ path: `/${full}`, kind: 'deleted' })
        continue
      }
      const inside = stat.isDirectory() && walk(full)
      if (!before) changes.splice(at, 0, { path: `/${full}`, kind: 'added' })
      // A directory is in the upper layer as soon as anything below it was opened for writing: it counts only if that, or
      // the directory itself, has changed (dockerd's naive differ, and containerd's).
      else if (!stat.isDirectory() || inside || !sameDirectory(stat, before.stat))
        changes.splice(at, 0, { path: `/${full}`, kind: 'modified' })
    }
    if (path !== '' && lower.find(path)?.stat.isDirectory() && isOpaque(`${root}/${path}`)) {
      const gone = lower.names(path).filter((name) => !names.includes(name))
      changes.push(...gone.map((name): Change => ({ path: `/${prefix}${name}`, kind: 'deleted' })))
    }
    return changes.length > begun
  }
  walk('')
  return changes
}

export const sameDirectory = (
  now: BigIntStats,
  before: { mode: number; uid: number; gid: number; mtimeMs: number },
): boolean =>
  Number(now.mode) === before.mode &&
  Number(now.uid) === before.uid &&
  Number(now.gid) === before.gid &&
  Math.abs(Number(now.mtimeNs / 1_000_000n) - before.mtimeMs) < 1
