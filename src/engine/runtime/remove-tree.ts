import { rmSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import type { Mounts } from '../../sys/sys.ts'

/** Unmounts everything at and below `path`, last mounted first. */
export const unmountBelow = (mounts: Mounts, path: string): void => {
  for (const { target } of mounts.below(path).reverse()) mounts.unmount(target, { detach: true })
}

/** Deletes a directory of ours, and never what a user has mounted into it: with a mount left nothing is deleted. */
export const removeTree = (mounts: Mounts, path: string): void => {
  unmountBelow(mounts, path)
  const left = mounts.below(path)
  if (left.length > 0) throw new SlipwayError('conflict', `${left[0]!.target} is still mounted`)
  rmSync(path, { recursive: true, force: true })
}
