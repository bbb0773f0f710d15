import { closeSync, constants, openSync, statfsSync, writeSync } from 'node:fs'
import { linkAt, lstatOrNone } from '../../lib/named-files.ts'
import type { SpecialFiles } from '../sys.ts'
import {
  callError,
  getXattr,
  listXattrs,
  memoryFile,
  mknod,
  openat2,
  setTimes,
  setXattr,
  syncFileSystem,
} from './libc.ts'
import { treeFacts } from './tree-facts.ts'

const oPath = 0x200000
const oCloexec = 0x80000
const resolveInRootFlags = 0x10 | 0x02 // RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

const openInRoot: SpecialFiles['openInRoot'] = (root, path, flags, mode = 0) => {
  const dir = openSync(root, oPath | constants.O_DIRECTORY)
  try {
    // openat2 refuses a mode without O_CREAT, and an empty path.
    const creates = (flags & constants.O_CREAT) !== 0
    return openat2(dir, path === '' ? '.' : path, flags | oCloexec, creates ? mode : 0, resolveInRootFlags)
  } finally {
    closeSync(dir)
  }
}

/** Follows links by hand, each step within `root`. What it returns is a name, not a promise: open it with openInRoot. */
const resolveInRoot: SpecialFiles['resolveInRoot'] = (root, path) => {
  const todo = path.split('/').reverse()
  const done: string[] = []
  let links = 0
  while (todo.length > 0) {
    const part = todo.pop()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    const here = `${root}/${[...done, part].join('/')}`
    const link = linkOrNone(here)
    if (link === undefined) {
      done.push(part)
      continue
    }
    if (++links > 255) throw callError('ELOOP', `resolve ${path}`)
    if (link.startsWith('/')) done.length = 0
    todo.push(...link.split('/').reverse())
  }
  return `/${done.join('/')}`
}

const linkOrNone = (path: string): string | undefined =>
  lstatOrNone(path)?.isSymbolicLink() ? linkAt(path) : undefined

export const files: SpecialFiles = {
  mknod,
  setXattr,
  getXattr,
  listXattrs,
  openInRoot,
  inMemory(content) {
    const fd = memoryFile()
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at)
    return fd
  },
  resolveInRoot,
  setTimes,
  treeFacts,
  async sync(path) {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await syncFileSystem(fd)
    } finally {
      closeSync(fd)
    }
  },
  statfs(path) {
    const { bsize, blocks, bavail } = statfsSync(path)
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
  },
}
