import { closeSync, constants, fstatSync, lstatSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { isError, SlipwayError } from '../../errors.ts'
import { decompress, packTar, readTar } from '../../lib/tar/index.ts'
import { readable } from '../runtime/foreign.ts'
import { resolveUserIn } from '../runtime/user.ts'
import type { Containers } from '../types.ts'
import { type Context, emit } from './context.ts'
import { childPath, packMembers } from './pack.ts'
import type { ContainerRecord } from './records.ts'
import { unpackMember } from './unpack.ts'
import { openParent, openView } from './view.ts'

type PathStat = Awaited<ReturnType<Containers['statPath']>>

const oPath = 0x200000

const notThere = (path: string, reference: string): SlipwayError =>
  new SlipwayError('not-found', `Could not find the file ${path} in container ${reference}`)

/** What opening a path has failed at, as docker tells it. */
const unopened = (error: unknown, path: string, reference: string): unknown => {
  if (isError(error) && (error.details as { errno?: string } | undefined)?.errno === 'ENOTDIR')
    return new SlipwayError('bad-request', `${path}: not a directory`, { cause: error })
  return isError(error, 'not-found') ? notThere(path, reference) : error
}

/** A trailing '/' or '/.' means the directory a link leads to. */
const follows = (path: string): boolean => path.endsWith('/') || path.endsWith('/.')

interface Found {
  /** Descriptor of the directory, and the last part in it ('.' for the root and for what a link leads to). */
  fd: number
  name: string
  stat: PathStat
}

const find = (ctx: Context, root: string, path: string, reference: string): Found => {
  let parent: { fd: number; name: string }
  try {
    parent = follows(path)
      ? { fd: ctx.sys.files.openInRoot(root, path, oPath | constants.O_DIRECTORY), name: '.' }
      : openParent(ctx, root, path)
  } catch (error) {
    throw unopened(error, path, reference)
  }
  const name = parent.name || '.'
  const at = childPath(parent.fd, name)
  const stat = name === '.' ? fstatSync(parent.fd) : lstatSync(at, { throwIfNoEntry: false })
  if (!stat) {
    closeSync(parent.fd)
    throw notThere(path, reference)
  }
  const link = stat.isSymbolicLink() ? readlinkSync(at, 'utf8') : ''
  const linkTarget =
    link === ''
      ? ''
      : ctx.sys.files.resolveInRoot(root, posix.resolve(posix.dirname(posix.normalize(`/${path}`)), link))
  const shown = posix.basename(posix.normalize(`/${path}`)) || '/'
  return {
    fd: parent.fd,
    name,
    stat: { name: shown, size: stat.size, mode: stat.mode, mtime: stat.mtimeMs, linkTarget },
  }
}

/** What archive members are called: the last part of the path as it was given, '.' kept. */
const memberName = (path: string): string =>
  /(^|\/)\.$/.test(path) || /^\/?\.\/$/.test(path) ? '.' : posix.basename(posix.normalize(`/${path}`)) || '/'

/** docker cp. Paths are the container's; its processes may change what they mean at any time, and reach nothing by it. */
export const archives = (ctx: Context): Pick<Containers, 'statPath' | 'readArchive' | 'writeArchive'> => ({
  async statPath(reference, path) {
    const view = await openView(ctx, reference, true)
    try {
      const { fd, stat } = find(ctx, view.root, path, reference)
      closeSync(fd)
      return stat
    } finally {
      await view.release()
    }
  },
  async readArchive(reference, path) {
    const view = await openView(ctx, reference, true)
    try {
      const found = find(ctx, view.root, path, reference)
      emit(ctx, ctx.records.must(reference), 'archive-path')
      const walk = { files: ctx.sys.files, seen: new Map<string, string>() }
      const tar = packTar(packMembers(walk, found.fd, found.name, memberName(path)))
      // Not in the generator: a stream that is destroyed before anybody reads never runs it.
      tar.once('close', () => {
        closeSync(found.fd)
        void view.release()
      })
      return { stat: found.stat, tar }
    } catch (error) {
      await view.release()
      throw error
    }
  },
  async writeArchive(reference, path, tar, options = {}) {
    const record = ctx.records.must(reference)
    const view = await openView(ctx, reference, true)
    try {
      const base = directoryIn(ctx, view.root, path, reference)
      mustBeWritable(record, base)
      // A container that names no user keeps the archive's owners.
      const { user } = record.process
      const owner = options.copyUidGid && user !== '' ? resolveUserIn(ctx.sys.files, view.root, user, []) : undefined
      const target = {
        files: ctx.sys.files,
        root: view.root,
        base,
        noOverwriteDirNonDir: options.noOverwriteDirNonDir ?? false,
        owner,
      }
      for await (const member of readTar(await decompress(await readable(tar, ctx.sys.processes))))
        await unpackMember(target, member)
      emit(ctx, record, 'extract-to-dir')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EROFS')
        throw new SlipwayError('forbidden', 'container rootfs is marked read-only', { cause: error })
      throw error
    } finally {
      tar.destroy()
      await view.release()
    }
  },
})

/** Also a container that does not run is as read-only as it was made. */
const mustBeWritable = ({ mounts, spec }: ContainerRecord, base: string): void => {
  const over = mounts
    .filter(({ target }) => base === target || base.startsWith(`${target}/`))
    .sort((a, b) => b.target.length - a.target.length)[0]
  if (over && 'readOnly' in over && over.readOnly)
    throw new SlipwayError('forbidden', 'mounted volume is marked read-only')
  if (!over && spec.security.readOnlyRootfs) throw new SlipwayError('forbidden', 'container rootfs is marked read-only')
}

/** The directory a path means, links followed; it has to exist. */
const directoryIn = (ctx: Context, root: string, path: string, reference: string): string => {
  let fd: number
  try {
    fd = ctx.sys.files.openInRoot(root, path, oPath)
  } catch (error) {
    throw unopened(error, path, reference)
  }
  try {
    if (!fstatSync(fd).isDirectory()) throw new SlipwayError('bad-request', 'extraction point is not a directory')
    return ctx.sys.files.resolveInRoot(root, path)
  } finally {
    closeSync(fd)
  }
}
