import { randomBytes } from 'node:crypto'
import { closeSync, constants, existsSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { type Context, isAlive, isRunning } from './context.ts'
import { mountRootfs } from './launch.ts'
import { makeMountPoint } from './mount-points.ts'
import type { ContainerRecord } from './records.ts'
import { Staging, sandboxFiles, within } from './sources.ts'

const oPath = 0x200000

interface ViewMount {
  source: string
  target: string
  readOnly: boolean
  volume?: string | undefined
  subpath?: string | undefined
}

/** Volumes, binds, and the files of the sandbox as the last start has left them. */
const viewMounts = (ctx: Context, record: ContainerRecord): ViewMount[] => {
  const sandbox = ctx.sandboxes.get(record.sandboxId)
  const own = sandbox ? sandboxFiles(sandbox, record) : []
  const depth = ({ target }: ViewMount): number => target.split('/').length
  return [
    ...own.map(({ destination, source, options }) => ({
      source,
      target: destination,
      readOnly: options.includes('ro'),
    })),
    ...record.mounts.flatMap((mount) =>
      mount.hostPath !== undefined && existsSync(mount.hostPath)
        ? [
            {
              source: mount.hostPath,
              target: mount.target,
              readOnly: 'readOnly' in mount && mount.readOnly,
              ...(mount.type === 'volume' ? { volume: mount.name, subpath: mount.subpath } : {}),
            },
          ]
        : [],
    ),
  ].sort((a, b) => depth(a) - depth(b))
}

/** What a stopped container would see: its root file system with what is mounted into it, at `view`/root. */
const mountView = async (ctx: Context, record: ContainerRecord, view: string, withVolumes: boolean): Promise<void> => {
  const root = join(view, 'root')
  await mountRootfs(ctx, { id: record.id, paths: { ...record.paths, rootfs: root } })
  if (!withVolumes) return
  const staging = new Staging(ctx, view)
  for (const { source: whole, target, readOnly, volume, subpath } of viewMounts(ctx, record)) {
    if (volume !== undefined) await ctx.volumes.acquire(volume, `view-${view}`)
    const source = subpath === undefined ? whole : staging.bindInside(whole, within(whole, subpath))
    const directory = statSync(source).isDirectory()
    makeMountPoint(ctx.sys.files, root, target, directory)
    // A descriptor goes on meaning what is below the mount, which then could be given no attributes by that name.
    const staged = staging.bind(source, directory, ['rbind', 'rprivate', ...(readOnly ? ['ro'] : [])])
    // Through a descriptor: a link put at the target meanwhile cannot lead the mount out of the view.
    const fd = ctx.sys.files.openInRoot(root, target, oPath)
    try {
      ctx.sys.mounts.mount({ type: 'bind', source: staged, target: `/proc/self/fd/${fd}`, options: ['rbind'] })
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
