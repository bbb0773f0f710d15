import { lstatSync, mkdirSync, rmdirSync, type Stats, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { OciMount } from '../../spec/oci/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'

/** Does `body` to a directory without a trace in its times. */
export const keepingTimes = (files: SpecialFiles, dir: string, body: () => void): void => {
  const { atimeNs, mtimeNs } = lstatSync(dir, { bigint: true })
  try {
    body()
  } finally {
    files.setTimes(dir, atimeNs, mtimeNs)
  }
}

const isUntouched = (stat: Stats): boolean =>
  stat.uid === 0 &&
  stat.gid === 0 &&
  (stat.isDirectory() ? (stat.mode & 0o7777) === 0o755 : stat.isFile() && stat.size === 0)

/**
 * Mount points that a root file system lacks. The runtime would make them and leave them in the layer, with new times on
 * the directories around; so they are made here, without that, and taken away afterwards. Returns what was made.
 */
export const makeStubs = (files: SpecialFiles, rootfs: string, mounts: readonly OciMount[]): string[] => {
  const made: string[] = []
  for (const { destination, type, source } of mounts) {
    // A socket cannot be mounted on a directory either.
    const isFile = type === 'bind' && !statSync(source).isDirectory()
    const target = join(rootfs, files.resolveInRoot(rootfs, destination))
    const missing: string[] = []
    for (let at = target; at.length > rootfs.length && !lstatSync(at, { throwIfNoEntry: false }); at = dirname(at))
      missing.unshift(at)
    for (const path of missing) {
      keepingTimes(files, dirname(path), () => {
        if (path === target && isFile) writeFileSync(path, '', { flag: 'wx', mode: 0o644 })
        else mkdirSync(path, { mode: 0o755 })
      })
      made.push(path)
    }
  }
  return made
}

/** Removes those that are still empty, and still what was made. */
export const removeStubs = (files: SpecialFiles, made: readonly string[]): void => {
  for (const path of made.toReversed()) {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat || !isUntouched(stat)) continue
    try {
      keepingTimes(files, dirname(path), () => (stat.isDirectory() ? rmdirSync(path) : unlinkSync(path)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error
    }
  }
}
