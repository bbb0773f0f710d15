import { rmdirSync } from 'node:fs'
import { lstatExact, namesIn } from '../../../lib/named-files.ts'
import { encodeName } from '../../../lib/tar/index.ts'
import { sameDirectory } from './changes.ts'
import { LowerView, parentOf } from './lower.ts'
import { opaqueXattr, type Special } from './special.ts'

/**
 * Removes directories of an upper directory that are as below and hold nothing. The overlay leaves one wherever something
 * was made and taken away again, a mount point for example; BuildKit's layers have none either (its differ compares).
 */
export const trimLayer = (root: string, lowers: string[], special: Special): undefined => {
  const xattrsOf = (path: string): Map<string, Buffer> => special.xattrs([path])[0]!
  const lower = new LowerView(lowers, (path) => xattrsOf(path).has(opaqueXattr))
  const isAsBelow = (path: string): boolean => {
    const before = lower.find(path)
    if (!before?.stat.isDirectory() || !sameDirectory(lstatExact(`${root}/${path}`), before.stat)) return false
    const [own, below] = [xattrsOf(`${root}/${path}`), xattrsOf(before.file)]
    below.delete(opaqueXattr)
    return own.size === below.size && [...own].every(([name, value]) => below.get(name)?.equals(value))
  }
  const walk = (path: string): void => {
    const full = path === '' ? root : `${root}/${path}`
    for (const name of namesIn(full)) {
      const child = path === '' ? name : `${path}/${name}`
      if (lstatExact(`${root}/${child}`).isDirectory()) walk(child)
    }
    if (path === '' || namesIn(full).length > 0 || !isAsBelow(path)) return
    const parent = `${root}/${parentOf(path)}`
    const { atimeNs, mtimeNs } = lstatExact(parent)
    rmdirSync(encodeName(full))
    special.setTimes(parent, atimeNs, mtimeNs)
  }
  walk('')
}
