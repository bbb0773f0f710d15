/** ADD https://…: files by URL, kept by content; asked for again with the validators of the last answer. */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../errors.ts'
import { redacted } from '../../lib/redacted.ts'

import { dialFailure, type Got, get } from '../../lib/http/get.ts'
import type { FetchedSource } from '../cache/collect.ts'

export interface Download {
  path: string
  /** sha256:… of the data. */
  digest: string
  /** From Last-Modified; 0 where the server does not say. */
  modifiedMs: number
}
interface Row {
  etag: string | null
  last_modified: string | null
  digest: string
}

export class Downloads {
  #db: DatabaseSync
  #base: string
  #now: () => number

  constructor(db: DatabaseSync, base: string, now: () => number) {
    this.#db = db
    this.#base = base
    this.#now = now
  }

  async get(
    url: string,
    options: {
      signal: AbortSignal
      progress(current: number, total: number | undefined): void
      /** Value of the header Authorization. */
      authorization?: string | undefined
    },
  ): Promise<Download> {
    const known = this.#db.prepare('SELECT * FROM build_downloads WHERE url = ?').get(url) as Row | undefined
    const have = known && existsSync(this.#path(known.digest)) ? known : undefined
    const response = await this.#fetch(url, have, options)
    if (response.status === 304 && have) {
      response.body.destroy()
      this.#remember(url, have)
      return this.#download(have)
    }
    if (response.status < 200 || response.status >= 300) {
      response.body.destroy()
      throw new SlipwayError(
        response.status === 404 ? 'not-found' : 'unavailable',
        `failed to load ${redacted(url)}: invalid response status ${response.status}`,
      )
    }
    const total = Number(response.headers['content-length'] ?? '') || undefined
    const digest = await this.#store(url, response.body, (bytes) => options.progress(bytes, total), options.signal)
    const { etag = null, 'last-modified': last_modified = null } = response.headers
    const row = { etag, last_modified, digest }
    this.#remember(url, row)
    return this.#download(row)
  }

  async #fetch(
    url: string,
    have: Row | undefined,
    { signal, authorization }: { signal: AbortSignal; authorization?: string | undefined },
  ): Promise<Got> {
    const headers: Record<string, string> = { 'user-agent': 'slipway', 'accept-encoding': 'identity' }
    if (authorization) headers.authorization = authorization
    if (have?.etag) headers['if-none-match'] = have.etag
    else if (have?.last_modified) headers['if-modified-since'] = have.last_modified
    try {
      return await get(new URL(url), { headers, signal })
    } catch (error) {
      if (signal.aborted) throw error
      throw new SlipwayError('unavailable', `failed to load ${redacted(url)}: ${dialFailure(new URL(url), error)}`, {
        cause: error,
      })
    }
  }

  async #store(
    url: string,
    body: AsyncIterable<Uint8Array>,
    progress: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<string> {
    mkdirSync(this.#base, { recursive: true })
    const partial = join(this.#base, `${randomUUID()}.part`)
    const hash = createHash('sha256')
    let bytes = 0
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        hash.update(chunk)
        bytes += chunk.length
        progress(bytes)
        yield chunk
      }
    }
    try {
      await pipeline(Readable.from(counted()), createWriteStream(partial), { signal })
      const digest = `sha256:${hash.digest('hex')}`
      renameSync(partial, this.#path(digest))
      return digest
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (signal.aborted || code !== 'ECONNRESET') throw error
      throw new SlipwayError('unavailable', `failed to load ${redacted(url)}: the connection broke`, { cause: error })
    } finally {
      rmSync(partial, { force: true })
    }
  }

  #remember(url: string, row: Row): void {
    this.#db
      .prepare(
        'INSERT OR REPLACE INTO build_downloads (url, etag, last_modified, digest, used_at) VALUES (?, ?, ?, ?, ?)',
      )
      .run(url, row.etag, row.last_modified, row.digest, this.#now())
  }

  #download(row: Row): Download {
    const time = Date.parse(row.last_modified ?? '')
    return { path: this.#path(row.digest), digest: row.digest, modifiedMs: Number.isNaN(time) ? 0 : time }
  }

  #path(digest: string): string {
    return join(this.#base, digest.replace('sha256:', ''))
  }

  /** By content: an address that several names lead to is one file. */
  list(): FetchedSource[] {
    const rows = this.#db
      .prepare('SELECT digest, MIN(url) AS url, MAX(used_at) AS usedAt FROM build_downloads GROUP BY digest')
      .all() as { digest: string; url: string; usedAt: number }[]
    return rows
      .filter(({ digest }) => existsSync(this.#path(digest)))
      .map(({ digest, url, usedAt }) => {
        const path = this.#path(digest)
        const remove = (): void => {
          this.#db.prepare('DELETE FROM build_downloads WHERE digest = ?').run(digest)
          rmSync(path, { force: true })
        }
        const times = { createdAt: statSync(path).birthtimeMs, lastUsedAt: usedAt }
        return { id: digest.slice(7, 39), type: 'regular', description: `file from ${url}`, path, ...times, remove }
      })
  }

  /** Drops what a kill left half fetched. */
  recover(): void {
    for (const name of existsSync(this.#base) ? readdirSync(this.#base) : [])
      if (name.endsWith('.part')) rmSync(join(this.#base, name), { force: true })
  }

  /** Forgets files not asked for since `before` (ms). */
  prune(before: number): void {
    const rows = this.#db.prepare('SELECT url, digest FROM build_downloads WHERE used_at < ?').all(before) as {
      url: string
      digest: string
    }[]
    for (const { url, digest } of rows) {
      this.#db.prepare('DELETE FROM build_downloads WHERE url = ?').run(url)
      const used = this.#db.prepare('SELECT 1 FROM build_downloads WHERE digest = ?').get(digest)
      if (!used) rmSync(this.#path(digest), { force: true })
    }
  }
}
