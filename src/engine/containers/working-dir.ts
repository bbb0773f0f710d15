import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import type { Image } from '../types.ts'
import type { Context } from './context.ts'
import { mountRootfs } from './launch.ts'
import type { ContainerRecord } from './records.ts'

const magic = /^\/proc\/(self|thread-self|\d+)(\/|$)/

/**
 * Docker makes the working directory if the image lacks it, for root. Never one that leads through /proc to an open
 * descriptor, and not where something is mounted (`covered`). `rootfs` is mounted, and nobody else writes there.
 */
export const ensureWorkingDir = (
  ctx: Context,
  record: ContainerRecord,
  rootfs: string,
  covered: readonly string[],
): void => {
  const { cwd } = record.process
  const inside = ctx.sys.files.resolveInRoot(rootfs, cwd)
  if (magic.test(inside) || magic.test(cwd))
    throw new SlipwayError('bad-request', `the working directory '${cwd}' is invalid: it leads into /proc`)
  if (covered.some((target) => inside === target || inside.startsWith(`${target}/`))) return
  const path = join(rootfs, inside)
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isDirectory()) return
  if (stat) throw new SlipwayError('bad-request', `Cannot mkdir: ${cwd} is not a directory`)
  mkdirSync(path, { recursive: true, mode: 0o755 })
}

/** Does a layer of the image hold the directory, without a link or anything else on the way? False where only a mount can tell. */
const isInImage = (ctx: Context, image: Image, cwd: string): boolean => {
  const parts = posix.normalize(cwd).split('/').filter(Boolean)
  for (const key of image.snapshots.toReversed()) {
    let at = ctx.snapshots.pathOf(key) ?? ''
    const stats = parts.map((part) => lstatSync((at = join(at, part)), { throwIfNoEntry: false }))
    if (stats.every((stat) => stat?.isDirectory())) return true
    if (stats.some((stat) => stat && !stat.isDirectory())) return false
  }
  return false
}

/** The same when a container is created: it can be copied to before it is started. */
export const makeWorkingDir = async (ctx: Context, record: ContainerRecord, image: Image): Promise<void> => {
  const { cwd } = record.process
  if (magic.test(posix.normalize(cwd)) || isInImage(ctx, image, cwd)) return
  const view = join(ctx.instance.runDir, 'views', randomBytes(8).toString('hex'))
  const rootfs = join(view, 'root')
  try {
    await mountRootfs(ctx, { id: record.id, paths: { ...record.paths, rootfs } })
    ensureWorkingDir(ctx, record, rootfs, [])
  } finally {
    removeTree(ctx.sys.mounts, view)
  }
}
