import { randomBytes } from 'node:crypto'
import { closeSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { type Context, isAlive, isRunning } from './context.ts'
import { mountRootfs } from './launch.ts'
import type { ContainerRecord } from './records.ts'
import { Staging } from './sources.ts'

const oPath = 0x200000

/** Directories a mount needs to be put on, made as the runtime would. */
const ensureTarget = (root: string, inside: string, directory: boolean): void => {
  const path = join(root, inside)
  if (existsSync(path)) return
  mkdirSync(directory ? path : dirname(path), { recursive: true, mode: 0o755 })
  if (!directory) writeFileSync(path, '', { flag: 'wx', mode: 0o755 })
}

/** What a stopped container would see: its root file system with its volumes and binds, at `view`/root. */
const mountView = async (ctx: Context, record: ContainerRecord, view: string, withVolumes: boolean): Promise<void> => {
  const root = join(view, 'root')
  await mountRootfs(ctx, { id: record.id, paths: { ...record.paths, rootfs: root } })
  if (!withVolumes) return
  const staging = new Staging(ctx, view)
  const mounts = [...record.mounts].sort((a, b) => a.target.split('/').length - b.target.split('/').length)
  for (const mount of mounts) {
    if (mount.hostPath === undefined || !existsSync(mount.hostPath)) continue
    if (mount.type === 'volume') await ctx.volumes.acquire(mount.name!, `view-${view}`)
    const directory = statSync(mount.hostPath).isDirectory()
    const inside = ctx.sys.files.resolveInRoot(root, mount.target)
    ensureTarget(root, inside, directory)
    const readOnly = 'readOnly' in mount && mount.readOnly
    // A descriptor goes on meaning what is below the mount, which then could be given no attributes by that name.
    const source = staging.bind(mount.hostPath, directory, ['rbind', 'rprivate', ...(readOnly ? ['ro'] : [])])
    // Through a descriptor: a link put at the target meanwhile cannot lead the mount out of the view.
    const fd = ctx.sys.files.openInRoot(root, inside, oPath)
    try {
      ctx.sys.mounts.mount({ type: 'bind', source, target: `/proc/self/fd/${fd}`, options: ['rbind'] })
    } finally {
      closeSync(fd)
    }
  }
}

export interface View {
  /** Open only through openInRoot: what is in it belongs to the container. */
  root: string
  release(): Promise<void>
}

/**
 * The files of a container, running or not. Of a running one it is what its own processes see; a stopped one is mounted,
 * and cannot be started before `release`. `withVolumes` false leaves out all that is mounted into it.
 */
export const openView = async (ctx: Context, reference: string, withVolumes: boolean): Promise<View> => {
  const { id } = ctx.records.must(reference)
  const opened = Promise.withResolvers<View>()
  const released = Promise.withResolvers<void>()
  void ctx.locks
    .run(id, async () => {
      const record = ctx.records.must(id)
      if (isRunning(record)) {
        // Ended, but not dealt with yet: the pid may soon be another's.
        if (!isAlive(ctx, record.pid, record.internal.pidStart))
          throw new SlipwayError('conflict', `container ${id} is stopping`)
        // The lock is not kept: a container must be able to stop while somebody reads from it.
        opened.resolve({
          root: withVolumes ? `/proc/${record.pid}/root` : record.paths.rootfs,
          release: async () => {},
        })
        return
      }
      const view = join(ctx.instance.runDir, 'views', randomBytes(8).toString('hex'))
      try {
        await mountView(ctx, record, view, withVolumes)
        opened.resolve({
          root: join(view, 'root'),
          release: async () => {
            released.resolve()
          },
        })
        await released.promise
      } finally {
        removeTree(ctx.sys.mounts, view)
        ctx.volumes.release(`view-${view}`)
      }
    })
    .catch(opened.reject)
  return opened.promise
}

/** Descriptor of the directory that holds the last part of `path`, and that part ('' for the root). */
export const openParent = (ctx: Context, root: string, path: string): { fd: number; name: string } => {
  const clean = posix.normalize(`/${path}`)
  const name = posix.basename(clean)
  return { fd: ctx.sys.files.openInRoot(root, posix.dirname(clean), oPath | constants.O_DIRECTORY), name }
}
