import { chmodSync, lchownSync, mkdirSync, rmSync, unlinkSync } from 'node:fs'
import { SlipwayError } from '../../../errors.ts'
import { linkAt, lstatOrNone } from '../../../lib/named-files.ts'
import { encodeName } from '../../../lib/tar/index.ts'
import type { LowerView } from './lower.ts'
import type { Special } from './special.ts'
import { opaqueXattr } from './special.ts'

const maxLinks = 255

/**
 * The directories of a layer while it is unpacked. The root was empty and nobody else writes to it, so every path this
 * class has made or seen as a real directory is one; anything else is resolved component by component inside the root,
 * the way openat2(RESOLVE_IN_ROOT) does: an absolute link starts at the root, '..' stops there.
 */
export class Directories {
  readonly #root: string
  readonly #lower: LowerView
  readonly #special: Special
  /** Canonical relative paths of real directories. */
  #known = new Set([''])
  /** Whiteouts this layer has made. */
  #whiteouts = new Set<string>()

  constructor(root: string, lower: LowerView, special: Special) {
    this.#root = root
    this.#lower = lower
    this.#special = special
  }

  file(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  /** The canonical form of directory `path`. `create`: missing ones are made; otherwise undefined if one is missing. */
  resolve(path: string, create: boolean): string | undefined {
    if (this.#known.has(path)) return path
    const todo = path.split('/').reverse()
    let current = ''
    let links = 0
    while (todo.length > 0) {
      const part = todo.pop()!
      if (part === '' || part === '.') continue
      if (part === '..') {
        current = current.slice(0, Math.max(0, current.lastIndexOf('/')))
        continue
      }
      const next = current === '' ? part : `${current}/${part}`
      if (this.#known.has(next)) {
        current = next
        continue
      }
      const stat = lstatOrNone(this.file(next))
      if (stat?.isSymbolicLink()) {
        if (++links > maxLinks) throw new SlipwayError('invalid', `${path}: too many levels of symbolic links`)
        const link = linkAt(this.file(next))
        if (link.startsWith('/')) current = ''
        todo.push(...link.split('/').reverse())
        continue
      }
      if (!stat || this.#whiteouts.has(next)) {
        if (!create) return undefined
        this.#makeMissing(next)
      } else if (!stat.isDirectory()) throw new SlipwayError('invalid', `${path}: not a directory`)
      this.#known.add(next)
      current = next
    }
    return current
  }

  /** Makes `path` (its parent is canonical) a directory, whatever stood there, and leaves an existing one as it is. */
  make(path: string): void {
    if (path === '' || this.#known.has(path)) return
    const file = encodeName(this.file(path))
    const hidden = this.#whiteouts.has(path)
    try {
      mkdirSync(file, 0o700)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (!lstatOrNone(this.file(path))!.isDirectory()) {
        this.clear(path)
        mkdirSync(file, 0o700)
      }
    }
    this.#known.add(path)
    // What the whiteout deleted must not shine through the new directory.
    if (hidden) this.opaque(path)
  }

  opaque(path: string): void {
    this.#special.setXattr(this.file(path), opaqueXattr, Buffer.from('y'))
  }

  /** Deletes what stands at `path` (its parent is canonical). */
  clear(path: string): void {
    const file = encodeName(this.file(path))
    const stat = lstatOrNone(this.file(path))
    this.#whiteouts.delete(path)
    if (!stat) return
    if (!stat.isDirectory()) {
      unlinkSync(file)
      return
    }
    rmSync(this.file(path), { recursive: true })
    for (const known of this.#known) if (known === path || known.startsWith(`${path}/`)) this.#known.delete(known)
    for (const known of this.#whiteouts) if (known.startsWith(`${path}/`)) this.#whiteouts.delete(known)
  }

  /** Hides what the layers below have at `path`. What this layer itself has there stays. */
  whiteout(path: string): void {
    const stat = lstatOrNone(this.file(path))
    if (stat?.isDirectory()) this.opaque(path)
    if (stat) return
    this.#special.mknod(this.file(path), 0o020000, 0, 0)
    this.#whiteouts.add(path)
  }

  isWhiteout(path: string): boolean {
    return this.#whiteouts.has(path)
  }

  /** A parent no entry describes: like the one below, so that it does not change by being here. */
  #makeMissing(path: string): void {
    const below = this.#whiteouts.has(path) ? undefined : this.#lower.find(path)?.stat
    if (this.#whiteouts.has(path)) {
      this.clear(path)
      this.#whiteouts.add(path) // make() turns it opaque
    }
    this.make(path)
    this.#whiteouts.delete(path)
    const like = below?.isDirectory() ? below : { uid: 0, gid: 0, mode: 0o755 }
    lchownSync(encodeName(this.file(path)), like.uid, like.gid)
    chmodSync(encodeName(this.file(path)), like.mode & 0o7777)
  }
}
