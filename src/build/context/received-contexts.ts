/**
 * Where contexts that come as streams are unpacked. The last one of its kind stays, so that the next takes its unchanged files
 * as further names: ten thousand new files cost seconds where as many were deleted a moment ago (ext4 passes over the inodes).
 * Nothing of it outlives the daemon.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Listing } from './listing.ts'
import { removeLater } from './remove-later.ts'

/** Fewer files are made anew sooner than looked after; more are too much to remember. */
const [fewest, most] = [200, 200_000]
const mostKinds = 4

/** Of their ids. */
export const receivedPrefix = 'received-'

interface Kept {
  directory: string
  listing: Listing
  createdAt: number
}
export interface Place {
  root: string
  /** What was received under the same name before; nobody touches it until `keep` or `drop`. */
  before: Listing | undefined
  /** Nobody reads it any more. */
  keep(listing: Listing): void
  drop(): void
}

export class ReceivedContexts {
  readonly #base: string
  readonly #now: () => number
  /** By what they are contexts of; the last used is last. */
  readonly #kept = new Map<string, Kept>()

  constructor(base: string, now: () => number) {
    this.#base = base
    this.#now = now
  }

  /** A new directory. `name`: what is likely to be the same context the next time. */
  open(name: string): Place {
    const key = receivedPrefix + createHash('sha256').update(name).digest('hex').slice(0, 32)
    const before = this.#kept.get(key)
    // Another build of the same name begins without it.
    this.#kept.delete(key)
    const root = join(this.#base, randomUUID())
    mkdirSync(root, { recursive: true, mode: 0o700 })
    return {
      root,
      before: before?.listing,
      keep: (listing) => {
        if (before) removeLater(before.directory)
        this.#keep(key, { directory: root, listing, createdAt: this.#now() })
      },
      drop: () => {
        removeLater(root)
        if (before) this.#keep(key, before)
      },
    }
  }

  list(): { id: string; directory: string; createdAt: number; lastUsedAt: number; inUse: boolean }[] {
    return [...this.#kept].map(([id, { directory, createdAt }]) => {
      const lastUsedAt = statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? createdAt
      return { id, directory, createdAt, lastUsedAt: Math.max(createdAt, lastUsedAt), inUse: false }
    })
  }

  /** False: there is none, or a build has taken it. */
  remove(id: string): boolean {
    const kept = this.#kept.get(id)
    if (!kept) return false
    this.#kept.delete(id)
    rmSync(kept.directory, { recursive: true, force: true })
    return true
  }

  /** Of a daemon that was killed. */
  recover(): void {
    rmSync(this.#base, { recursive: true, force: true })
  }

  #keep(key: string, kept: Kept): void {
    const { size } = kept.listing
    const there = this.#kept.get(key)
    if (there || size < fewest || size > most) {
      removeLater(kept.directory)
      return
    }
    this.#kept.set(key, kept)
    for (const [oldest, { directory }] of this.#kept) {
      if (this.#kept.size <= mostKinds) return
      this.#kept.delete(oldest)
      removeLater(directory)
    }
  }
}
