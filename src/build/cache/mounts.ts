/** RUN --mount=type=cache: directories that outlive a build, by id. */
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'

export interface CacheMount {
  id: string
  cacheId: string
  directory: string
  createdAt: number
  lastUsedAt: number
  usageCount: number
  inUse: boolean
}
export interface CacheMountWish {
  id: string
  sharing: 'shared' | 'private' | 'locked'
  mode: number
  uid: number
  gid: number
  /** Distinguishes mounts that begin with different content. */
  seed: string
  /** What is there goes, unless another step uses it. */
  renew: boolean
  /** Fills a new directory. */
  fill?: ((directory: string) => Promise<void>) | undefined
}

export class CacheMounts {
  #db: DatabaseSync
  #base: string
  #now: () => number
  #users = new Map<string, number>()
  #locks = new KeyedMutex()

  constructor(db: DatabaseSync, base: string, now: () => number) {
    this.#db = db
    this.#base = base
    this.#now = now
  }

  /**
   * Runs `task` with the directory. 'locked' waits for others, 'private' takes another directory while others use it.
   */
  async with<T>(wish: CacheMountWish, task: (directory: string) => Promise<T>): Promise<T> {
    const key = `${wish.id}\0${wish.seed}`
    if (wish.sharing === 'locked') return await this.#locks.run(key, () => this.#use(wish, key, task))
    if (wish.sharing === 'shared') return await this.#use(wish, key, task)
    for (let n = 0; ; n++) {
      const own = n === 0 ? key : `${key}\0${n}`
      if (!this.#users.has(nameOf(own))) return await this.#use(wish, own, task)
    }
  }

  async #use<T>(wish: CacheMountWish, key: string, task: (directory: string) => Promise<T>): Promise<T> {
    const name = nameOf(key)
    this.#users.set(name, (this.#users.get(name) ?? 0) + 1)
    try {
      await this.#locks.run(`make ${name}`, () => this.#make(wish, name))
      return await task(join(this.#base, name))
    } finally {
      const left = this.#users.get(name)! - 1
      if (left === 0) this.#users.delete(name)
      else this.#users.set(name, left)
    }
  }

  async #make(wish: CacheMountWish, name: string): Promise<void> {
    const directory = join(this.#base, name)
    const now = this.#now()
    if (wish.renew && this.#users.get(name) === 1) putAway(directory)
    if (!existsSync(directory)) {
      // Complete before it has its name: a kill in between leaves only something for recover().
      const fresh = `${directory}.new`
      rmSync(fresh, { recursive: true, force: true })
      mkdirSync(fresh, { recursive: true })
      await wish.fill?.(fresh)
      chownSync(fresh, wish.uid, wish.gid)
      chmodSync(fresh, wish.mode)
      renameSync(fresh, directory)
    }
    this.#db
      .prepare(
        `INSERT INTO build_mounts (id, cache_id, created_at, last_used_at, usage_count) VALUES (?, ?, ?, ?, 1)
         ON CONFLICT (id) DO UPDATE SET last_used_at = excluded.last_used_at, usage_count = usage_count + 1`,
      )
      .run(name, wish.id, now, now)
  }

  list(): CacheMount[] {
    const rows = this.#db.prepare('SELECT * FROM build_mounts').all() as {
      id: string
      cache_id: string
      created_at: number
      last_used_at: number
      usage_count: number
    }[]
    return rows.map((row) => ({
      id: row.id,
      cacheId: row.cache_id,
      directory: join(this.#base, row.id),
      createdAt: row.created_at,
      lastUsedAt: row.last_used_at,
      usageCount: row.usage_count,
      inUse: this.#users.has(row.id),
    }))
  }

  /** False while a step uses it. */
  remove(id: string): boolean {
    if (this.#users.has(id)) return false
    const directory = join(this.#base, id)
    this.#db.prepare('DELETE FROM build_mounts WHERE id = ?').run(id)
    putAway(directory)
    return true
  }

  /** Drops what a kill left half made or half deleted. */
  recover(): void {
    for (const name of existsSync(this.#base) ? readdirSync(this.#base) : [])
      if (/\.(new|old)$/.test(name)) rmSync(join(this.#base, name), { recursive: true, force: true })
  }
}

/** Renamed first, so that nobody begins to use what is half gone. */
const putAway = (directory: string): void => {
  if (existsSync(directory)) renameSync(directory, `${directory}.old`)
  rmSync(`${directory}.old`, { recursive: true, force: true })
}

const nameOf = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 32)
