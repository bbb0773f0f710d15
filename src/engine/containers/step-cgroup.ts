/** Where a step's processes are, on the disk: who cleans up after a kill ends whatever is there. */
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { writeAtomically } from '../../lib/write-atomically.ts'

const fileIn = (bundle: string): string => join(bundle, 'cgroup')

/** `parent`: the step's own or the instance's. */
export const stepCgroup = (parent: string, id: string): string => posix.join('/', parent, id)

export const noteCgroup = (bundle: string, cgroup: string): void => writeAtomically(fileIn(bundle), cgroup, 0o600)

/**
 * What was noted of the step, which is called as its directory. A disk that was full and a machine that went down can leave
 * less than was written; what does not end in the step's id is not its cgroup, and then nothing of it had begun to run
 * but where it is by default.
 */
export const notedCgroup = (bundle: string, parent: string): string => {
  const id = posix.basename(bundle)
  const usual = stepCgroup(parent, id)
  const noted = existsSync(fileIn(bundle)) ? readFileSync(fileIn(bundle), 'utf8') : usual
  return noted.startsWith('/') && posix.basename(noted) === id ? noted : usual
}
