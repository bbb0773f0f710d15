/** What a root file system needs so that things can be mounted into it, made as docker makes it. */
import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import type { OciMount } from '../../spec/oci/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { derivedPrefix } from '../snapshots/index.ts'
import type { Context } from './context.ts'
import { keepingTimes } from './stubs.ts'

/** Snapshots that are being filled; one that a kill has left is removed with the layers of no container. */
export const fillingPrefix = 'filling-'

const directories = ['/dev/pts', '/dev/shm', '/proc', '/sys']
const files = ['/.dockerenv', '/etc/resolv.conf', '/etc/hosts', '/etc/hostname', '/dev/console']

/** Makes `path` a directory or calls `make` for it; links and files on the way and in its place give way. */
const replace = (special: SpecialFiles, root: string, path: string, make: (at: string) => void): void => {
  const parts = path.slice(1).split('/')
  let at = root
  for (const [i, part] of parts.entries()) {
    const parent = at
    at = join(at, part)
    const stat = lstatSync(at, { throwIfNoEntry: false })
    if (stat?.isDirectory()) continue
    keepingTimes(special, parent, () => {
      if (stat) unlinkSync(at)
      if (i < parts.length - 1) mkdirSync(at, { mode: 0o755 })
      else make(at)
    })
  }
}

const fill = (special: SpecialFiles, root: string): void => {
  for (const path of directories) replace(special, root, path, (at) => mkdirSync(at, { mode: 0o755 }))
  for (const path of files) replace(special, root, path, (at) => writeFileSync(at, '', { flag: 'wx', mode: 0o755 }))
  replace(special, root, '/etc/mtab', (at) => symlinkSync('/proc/mounts', at))
}

/**
 * The layer between an image and a container's own: mount points that every container needs, and the files by which
 * programs see that they are in one. None of it is in the container's own layer, so neither diff nor commit has to tell it
 * from what the program did (moby daemon/initlayer). All containers of an image share it.
 */
export const preparedLayer = async (ctx: Context, top: string | undefined): Promise<string> => {
  const name = `${derivedPrefix}${top ?? 'nothing'}`
  if (ctx.snapshots.intact(name)) return name
  return ctx.locks.run(name, async () => {
    if (ctx.snapshots.intact(name)) return name
    const id = randomBytes(8).toString('hex')
    const view = join(ctx.instance.runDir, 'views', id)
    const root = join(view, 'root')
    const mount = await ctx.snapshots.prepare(`${fillingPrefix}${id}`, top)
    try {
      mkdirSync(root, { recursive: true, mode: 0o700 })
      ctx.sys.mounts.mount({ ...mount, target: root })
      fill(ctx.sys.files, root)
      removeTree(ctx.sys.mounts, view)
      await ctx.snapshots.commit(`${fillingPrefix}${id}`, name)
    } catch (error) {
      removeTree(ctx.sys.mounts, view)
      await ctx.snapshots.remove(`${fillingPrefix}${id}`)
      throw error
    }
    return name
  })
}

/** Something to mount `target` on, below `root`; nobody else may write there meanwhile. */
export const makeMountPoint = (special: SpecialFiles, root: string, target: string, directory: boolean): void => {
  const path = join(root, special.resolveInRoot(root, target))
  if (existsSync(path)) return
  mkdirSync(directory ? path : dirname(path), { recursive: true, mode: 0o755 })
  if (!directory) writeFileSync(path, '', { flag: 'wx', mode: 0o755 })
}

const inside = (path: string, directory: string): boolean =>
  path.startsWith(directory.endsWith('/') ? directory : `${directory}/`)

/** The same for all mounts of a run, except those that are on another one. */
export const makeMountPoints = (special: SpecialFiles, root: string, mounts: readonly OciMount[]): void => {
  const targets = mounts.map(({ destination }) => posix.normalize(destination))
  const covering = [...targets, '/dev', '/proc', '/sys']
  for (const [i, { type, source }] of mounts.entries()) {
    const target = targets[i]!
    if (covering.some((other) => inside(target, other))) continue
    makeMountPoint(special, root, target, type !== 'bind' || statSync(source).isDirectory())
  }
}
