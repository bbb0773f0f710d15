import { renameSync, writeFileSync } from 'node:fs'

/** Whoever reads the file finds the old text or the new one, never a part. */
export const writeAtomically = (path: string, text: string | Uint8Array, mode: number): void => {
  writeFileSync(`${path}.new`, text, { mode })
  renameSync(`${path}.new`, path)
}
