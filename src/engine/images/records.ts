import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import { migrate, preparing, putAside, transaction } from '../../lib/database.ts'
import type { Digest, ImageConfig } from '../../spec/oci/index.ts'
import { layersOf } from './config.ts'
import { IndexRecords, indexSteps } from './index-records.ts'

export interface ImageRecord {
  id: Digest
  /** The configuration exactly as it was hashed. */
  config: string
  /** JSON array of snapshot keys. */
  snapshots: string
  size: number
  bootstrapped: 0 | 1
  createdAt: number
}
/** The bytes a layer came as: they alone can give its diff_id again when it is pushed or saved. */
export interface LayerBlob {
  diffId: Digest
  digest: Digest
  mediaType: string
  size: number
  /** Bytes of the uncompressed tar. */
  tarSize: number
}

/** A manifest an image came with, exactly as it was hashed: pushed again, it keeps its digest. */
export interface KeptManifest {
  digest: Digest
  mediaType: string
  body: string
}

const steps = [
  `CREATE TABLE images (
     id TEXT PRIMARY KEY,
     config TEXT NOT NULL,
     snapshots TEXT NOT NULL,
     size INTEGER NOT NULL,
     bootstrapped INTEGER NOT NULL,
     createdAt INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE image_names (name TEXT PRIMARY KEY, id TEXT NOT NULL REFERENCES images(id)) STRICT;
   CREATE INDEX image_names_id ON image_names(id);
   CREATE TABLE image_digests (name TEXT PRIMARY KEY, id TEXT NOT NULL REFERENCES images(id)) STRICT;
   CREATE INDEX image_digests_id ON image_digests(id);
   CREATE TABLE image_layers (id TEXT NOT NULL REFERENCES images(id), diffId TEXT NOT NULL, PRIMARY KEY (id, diffId)) STRICT, WITHOUT ROWID;
   CREATE INDEX image_layers_diff ON image_layers(diffId);
   CREATE TABLE layer_blobs (
     diffId TEXT PRIMARY KEY,
     digest TEXT NOT NULL,
     mediaType TEXT NOT NULL,
     size INTEGER NOT NULL,
     tarSize INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX layer_blobs_digest ON layer_blobs(digest);`,
  `CREATE TABLE image_manifests (
     digest TEXT NOT NULL,
     id TEXT NOT NULL REFERENCES images(id),
     mediaType TEXT NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (id, digest)
   ) STRICT, WITHOUT ROWID;`,
  // What layers became that no image has: the archives are gone, but they need not be made to know that they are there.
  `CREATE TABLE packed_layers (
     layer TEXT NOT NULL,                -- diffId of the snapshot's layer
     form TEXT NOT NULL,                 -- how it was written, and by which compressor
     diffId TEXT NOT NULL,               -- of what was written
     digest TEXT NOT NULL,
     mediaType TEXT NOT NULL,
     size INTEGER NOT NULL,
     tarSize INTEGER NOT NULL,
     usedAt INTEGER NOT NULL,
     PRIMARY KEY (layer, form)
   ) STRICT, WITHOUT ROWID;`,
  ...indexSteps,
  // When the name was given; 0: before that was kept.
  'ALTER TABLE image_names ADD COLUMN taggedAt INTEGER NOT NULL DEFAULT 0;',
]

/** What an image is known by; `taggedAt`: when it got the newest of its names, ms since the epoch; 0: never. */
interface Called {
  names: string[]
  repoDigests: string[]
  taggedAt: number
  /** Names of indexes that it is in. */
  within: string[]
}

/** The tables of images. Every method is one synchronous step. */
export class ImageRecords {
  readonly #db: DatabaseSync
  readonly #prepare: ReturnType<typeof preparing>
  readonly indexes: IndexRecords

  constructor(db: DatabaseSync) {
    migrate(db, 'images', steps)
    this.#db = db
    this.#prepare = preparing(db)
    this.indexes = new IndexRecords(db)
    for (const record of this.all()) {
      try {
        if (
          !Array.isArray((JSON.parse(record.config) as ImageConfig).rootfs.diff_ids) ||
          !Array.isArray(JSON.parse(record.snapshots))
        )
          throw new SlipwayError('internal', 'is not the record of an image')
      } catch (error) {
        this.transaction(() => {
          putAside(db, 'images', record, error)
          this.delete(record.id)
        })
      }
    }
  }

  transaction<T>(body: () => T): T {
    return transaction(this.#db, body)
  }

  get(id: Digest): ImageRecord | undefined {
    return this.#prepare('SELECT * FROM images WHERE id = ?').get(id) as ImageRecord | undefined
  }

  all(): ImageRecord[] {
    return this.#prepare('SELECT * FROM images ORDER BY createdAt DESC, id').all() as unknown as ImageRecord[]
  }

  /** At most two ids that begin with the hex digits. */
  withPrefix(hex: string): Digest[] {
    return (
      this.#prepare('SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2').all(
        `sha256:${hex}`,
        `sha256:${hex}g`,
      ) as {
        id: Digest
      }[]
    ).map((row) => row.id)
  }

  byName(name: string): Digest | undefined {
    const row = this.#prepare('SELECT id FROM image_names WHERE name = ?').get(name) as { id: Digest } | undefined
    return row?.id
  }

  byRepoDigest(name: string): Digest | undefined {
    const row = this.#prepare('SELECT id FROM image_digests WHERE name = ?').get(name) as { id: Digest } | undefined
    return row?.id
  }

  names(id: Digest): string[] {
    const rows = this.#prepare('SELECT name FROM image_names WHERE id = ? ORDER BY name').all(id)
    return (rows as { name: string }[]).map((row) => row.name)
  }

  called(id: Digest): Called {
    return {
      names: this.names(id),
      repoDigests: this.repoDigests(id),
      taggedAt: this.taggedAt(id),
      within: this.indexes.namesOf(id),
    }
  }

  /** Of all images at once: very many are listed. */
  calledAll(): (id: Digest) => Called {
    const found = new Map<Digest, Called>()
    const of = (id: Digest): Called => {
      let called = found.get(id)
      if (!called) found.set(id, (called = { names: [], repoDigests: [], taggedAt: 0, within: [] }))
      return called
    }
    for (const row of this.#prepare('SELECT id, name, taggedAt FROM image_names ORDER BY name').all()) {
      const called = of(row.id as Digest)
      called.names.push(row.name as string)
      called.taggedAt = Math.max(called.taggedAt, row.taggedAt as number)
    }
    for (const row of this.#prepare('SELECT id, name FROM image_digests ORDER BY name').all())
      of(row.id as Digest).repoDigests.push(row.name as string)
    for (const { id, name } of this.indexes.membersOfAll()) of(id).within.push(name)
    return of
  }

  repoDigests(id: Digest): string[] {
    const rows = this.#prepare('SELECT name FROM image_digests WHERE id = ? ORDER BY name').all(id)
    return (rows as { name: string }[]).map((row) => row.name)
  }

  /** Present already: nothing changes but its snapshots, which may have been made anew. */
  add(record: ImageRecord): void {
    this.#prepare(
      `INSERT INTO images (id, config, snapshots, size, bootstrapped, createdAt) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET snapshots = excluded.snapshots, size = excluded.size`,
    ).run(record.id, record.config, record.snapshots, record.size, record.bootstrapped, record.createdAt)
    const { rootfs } = JSON.parse(record.config) as ImageConfig
    const layer = this.#prepare('INSERT OR IGNORE INTO image_layers (id, diffId) VALUES (?, ?)')
    for (const diffId of layersOf({ rootfs })) layer.run(record.id, diffId)
  }

  /** It stands for this image alone. `now`: ms since the epoch. */
  setName(name: string, id: Digest, now: number): void {
    this.indexes.drop(name)
    this.#prepare(
      `INSERT INTO image_names (name, id, taggedAt) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET id = excluded.id, taggedAt = excluded.taggedAt`,
    ).run(name, id, now)
  }

  /** Of several that it stood for, the name means another one now: it was not given anew. */
  moveName(name: string, id: Digest): void {
    this.indexes.drop(name)
    this.#prepare('UPDATE image_names SET id = ? WHERE name = ?').run(id, name)
  }

  /** When the image got the newest of its names, ms since the epoch; 0: never. */
  taggedAt(id: Digest): number {
    const row = this.#prepare('SELECT max(taggedAt) AS at FROM image_names WHERE id = ?').get(id)
    return (row as { at: number | null }).at ?? 0
  }

  setRepoDigest(name: string, id: Digest): void {
    this.#prepare(
      'INSERT INTO image_digests (name, id) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET id = excluded.id',
    ).run(name, id)
  }

  keepManifest(id: Digest, { digest, mediaType, body }: KeptManifest): void {
    this.#prepare('INSERT OR IGNORE INTO image_manifests (digest, id, mediaType, body) VALUES (?, ?, ?, ?)').run(
      digest,
      id,
      mediaType,
      body,
    )
  }

  manifests(id: Digest): KeptManifest[] {
    const rows = this.#prepare('SELECT digest, mediaType, body FROM image_manifests WHERE id = ?').all(id)
    return rows as unknown as KeptManifest[]
  }

  dropName(name: string): void {
    this.indexes.drop(name)
    this.#prepare('DELETE FROM image_names WHERE name = ?').run(name)
    this.#prepare('DELETE FROM image_digests WHERE name = ?').run(name)
  }

  /** Deletes the image; returns the blobs nothing refers to any more. */
  delete(id: Digest): LayerBlob[] {
    this.indexes.dropAllWith(id)
    this.#prepare('DELETE FROM image_names WHERE id = ?').run(id)
    this.#prepare('DELETE FROM image_digests WHERE id = ?').run(id)
    this.#prepare('DELETE FROM image_layers WHERE id = ?').run(id)
    this.#prepare('DELETE FROM image_manifests WHERE id = ?').run(id)
    this.#prepare('DELETE FROM images WHERE id = ?').run(id)
    return this.#prepare(
      'DELETE FROM layer_blobs WHERE diffId NOT IN (SELECT diffId FROM image_layers) RETURNING *',
    ).all() as unknown as LayerBlob[]
  }

  blob(diffId: Digest): LayerBlob | undefined {
    return this.#prepare('SELECT * FROM layer_blobs WHERE diffId = ?').get(diffId) as LayerBlob | undefined
  }

  /** Has any image this layer? */
  hasLayer(diffId: Digest): boolean {
    return this.#prepare('SELECT 1 FROM image_layers WHERE diffId = ?').get(diffId) !== undefined
  }

  blobDiffId(digest: Digest): Digest | undefined {
    const row = this.#prepare('SELECT diffId FROM layer_blobs WHERE digest = ?').get(digest)
    return (row as { diffId: Digest } | undefined)?.diffId
  }

  setBlob(blob: LayerBlob): void {
    this.#prepare(
      `INSERT INTO layer_blobs (diffId, digest, mediaType, size, tarSize) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (diffId) DO UPDATE SET digest = excluded.digest, mediaType = excluded.mediaType, size = excluded.size`,
    ).run(blob.diffId, blob.digest, blob.mediaType, blob.size, blob.tarSize)
  }

  /** What the layer became in this form when it was last made. */
  packed(layer: Digest, form: string, now: number): LayerBlob | undefined {
    return this.#prepare(
      `UPDATE packed_layers SET usedAt = ? WHERE layer = ? AND form = ?
         RETURNING diffId, digest, mediaType, size, tarSize`,
    ).get(now, layer, form) as LayerBlob | undefined
  }

  setPacked(layer: Digest, form: string, blob: LayerBlob, now: number): void {
    const { diffId, digest, mediaType, size, tarSize } = blob
    this.#prepare(
      `INSERT OR REPLACE INTO packed_layers (layer, form, diffId, digest, mediaType, size, tarSize, usedAt)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(layer, form, diffId, digest, mediaType, size, tarSize, now)
  }

  forgetPacked(before: number): void {
    this.#prepare('DELETE FROM packed_layers WHERE usedAt < ?').run(before)
  }

  hasBlob(digest: Digest): boolean {
    return this.#prepare('SELECT 1 FROM layer_blobs WHERE digest = ?').get(digest) !== undefined
  }
}
