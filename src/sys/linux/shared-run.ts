import { mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { mount } from './libc.ts'
import { MS, parseMountInfo } from './mount-flags.ts'

/**
 * Where the OCI runtime lives in a mount namespace of its own, the mounts we make below the run directory must still
 * reach it. That needs a shared mount, which / is not everywhere: then the run directory is bound onto itself and
 * shared. Asked before each mount; after the first time it costs nothing.
 */
export const createSharedRun = (runDir: string, needed: () => boolean): { ensure(target: string): void } => {
  let done = false
  return {
    ensure(target) {
      if (done || !(target === runDir || target.startsWith(`${runDir}/`))) return
      if (!needed()) {
        done = true
        return
      }
      mkdirSync(runDir, { recursive: true, mode: 0o700 })
      if (!isShared(realpathSync(runDir))) {
        mount(runDir, runDir, 'none', MS.bind | MS.rec, '')
        mount('none', runDir, 'none', MS.private, '')
        mount('none', runDir, 'none', MS.shared, '')
      }
      done = true
    },
  }
}

/** Is the mount that `path` lies on in a peer group? */
const isShared = (path: string): boolean => {
  const around = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter(
    ({ target }) => target === '/' || path === target || path.startsWith(`${target}/`),
  )
  // Of those at the same place the last one mounted is on top.
  const top = around.reduce<(typeof around)[number] | undefined>(
    (best, entry) => (best === undefined || entry.target.length >= best.target.length ? entry : best),
    undefined,
  )
  return top?.shared ?? false
}

/** Is a namespace pinned at this file? A plain file is what an unmount leaves. */
export const isPinned = (path: string): boolean => {
  const file = statSync(path, { throwIfNoEntry: false })
  return file !== undefined && file.dev !== statSync(dirname(path)).dev
}
