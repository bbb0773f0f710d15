/**
 * Mount points that a runtime makes in a root filesystem must not end up in the layer. They are noted before a step and
 * removed after it where they are still empty.
 */
import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { SpecialFiles } from '../../sys/sys.ts'
import { statOf } from '../context/write.ts'

/** What every container gets mounted. */
const standard = [
  '/proc',
  '/sys',
  '/dev',
  '/etc/resolv.conf',
  '/etc/hosts',
  '/etc/hostname',
  '/run/secrets',
  '/.dockerenv',
]

interface Stub {
  path: string
  /** Times of the directory that holds it, to be put back. */
  parentTimes: [string, bigint, bigint] | undefined
}

/** Paths that do not exist yet on the way to each target, outermost first. */
export const noteStubs = (files: SpecialFiles, root: string, targets: readonly string[]): Stub[] => {
  const stubs = new Map<string, Stub>()
  for (const target of [...standard, ...targets]) {
    let at = join(root, files.resolveInRoot(root, target))
    const missing: string[] = []
    while (at !== root && !statOf(at)) {
      missing.unshift(at)
      at = dirname(at)
    }
    for (const path of missing) {
      if (stubs.has(path)) continue
      const parent = statOf(dirname(path)) ? lstatSync(dirname(path), { bigint: true }) : undefined
      stubs.set(path, {
        path,
        parentTimes: parent && [dirname(path), parent.atimeNs, parent.mtimeNs],
      })
    }
  }
  return [...stubs.values()]
}

export const removeStubs = (files: SpecialFiles, stubs: readonly Stub[]): void => {
  for (const { path, parentTimes } of [...stubs].sort((a, b) => b.path.length - a.path.length)) {
    const stat = statOf(path)
    if (stat?.isDirectory()) {
      if (readdirSync(path).length > 0) continue
      rmdirSync(path)
    } else if (stat?.isFile() && stat.size === 0) unlinkSync(path)
    else if (stat) continue
    if (parentTimes && statOf(parentTimes[0])) files.setTimes(...parentTimes)
  }
}
