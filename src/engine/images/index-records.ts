import type { DatabaseSync } from 'node:sqlite'
import { preparing } from '../../lib/database.ts'
import type { Descriptor, Digest } from '../../spec/oci/index.ts'
import type { LayerForm } from '../types.ts'

/** A layer as it is in an index: which snapshot it is made of, and how. */
export interface IndexLayer {
  descriptor: Descriptor
  snapshot: string
  form: LayerForm
}
/** Everything an index consists of; parts before what refers to them, the root last. Data is in base64. */
export interface StoredIndex {
  layers: IndexLayer[]
  documents: { descriptor: Descriptor; data: string }[]
  root: { descriptor: Descriptor; data: string }
}

/** Steps of the room's migrations. */
export const indexSteps: readonly string[] = [
  // What a name stands for besides the image it means here: images for other machines, and what is said of all of them.
  `CREATE TABLE image_indexes (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
   CREATE TABLE image_members (
     name TEXT NOT NULL REFERENCES image_indexes(name) ON DELETE CASCADE,
     id TEXT NOT NULL REFERENCES images(id),
     PRIMARY KEY (name, id)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX image_members_id ON image_members(id);`,
]

/** The tables of indexes. Every method is one synchronous step. */
export class IndexRecords {
  readonly #prepare: ReturnType<typeof preparing>

  constructor(db: DatabaseSync) {
    this.#prepare = preparing(db)
  }

  get(name: string): StoredIndex | undefined {
    const row = this.#prepare('SELECT body FROM image_indexes WHERE name = ?').get(name)
    return row && (JSON.parse((row as { body: string }).body) as StoredIndex)
  }

  set(name: string, index: StoredIndex, members: readonly Digest[]): void {
    this.drop(name)
    this.#prepare('INSERT INTO image_indexes (name, body) VALUES (?, ?)').run(name, JSON.stringify(index))
    const member = this.#prepare('INSERT OR IGNORE INTO image_members (name, id) VALUES (?, ?)')
    for (const id of members) member.run(name, id)
  }

  copy(from: string, to: string): void {
    const index = this.get(from)
    if (index) this.set(to, index, this.members(from))
  }

  drop(name: string): void {
    this.#prepare('DELETE FROM image_indexes WHERE name = ?').run(name)
  }

  /** Those that the image is in: without it they are not whole any more. */
  dropAllWith(id: Digest): void {
    this.#prepare('DELETE FROM image_indexes WHERE name IN (SELECT name FROM image_members WHERE id = ?)').run(id)
  }

  members(name: string): Digest[] {
    const rows = this.#prepare('SELECT id FROM image_members WHERE name = ? ORDER BY id').all(name)
    return (rows as { id: Digest }[]).map(({ id }) => id)
  }

  /** With the names of the indexes that they are in, by name. */
  membersOfAll(): { id: Digest; name: string }[] {
    return this.#prepare('SELECT id, name FROM image_members ORDER BY name').all() as { id: Digest; name: string }[]
  }

  /** Names of the indexes that the image is in. */
  namesOf(id: Digest): string[] {
    const rows = this.#prepare('SELECT name FROM image_members WHERE id = ? ORDER BY name').all(id)
    return (rows as { name: string }[]).map(({ name }) => name)
  }
}
