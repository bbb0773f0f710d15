import { readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createPacer } from './pacer.ts'

/** Deletes a directory bit by bit, and nobody waits for it; what is left when the daemon ends goes at its next start. */
export const removeLater = (root: string): void => {
  const pace = createPacer()
  const clear = async (directory: string): Promise<void> => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      await pace()
      const path = join(directory, entry.name)
      if (entry.isDirectory()) await clear(path)
      else unlinkSync(path)
    }
    rmdirSync(directory)
  }
  clear(root)
    .catch(() => rm(root, { recursive: true, force: true })) // names that are not UTF-8
    .catch(() => {}) // until the next start
}
