/** Tables of the build room; only ever appended to. */
export const schema: readonly string[] = [
  `CREATE TABLE build_records (
     id TEXT PRIMARY KEY,
     type TEXT NOT NULL,                 -- 'regular' or 'source.local'
     description TEXT NOT NULL,
     content_key TEXT NOT NULL,          -- what steps on top of it are keyed by
     snapshot TEXT,                      -- committed snapshot the step resulted in
     owned INTEGER NOT NULL,             -- 1: the step made that snapshot
     result TEXT NOT NULL,               -- JSON of StepResult
     created_at INTEGER NOT NULL,
     last_used_at INTEGER NOT NULL,
     usage_count INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX build_records_by_snapshot ON build_records (snapshot);
   CREATE TABLE build_keys (
     key TEXT PRIMARY KEY,
     record TEXT NOT NULL REFERENCES build_records (id) ON DELETE CASCADE
   ) STRICT;
   CREATE INDEX build_keys_by_record ON build_keys (record);
   CREATE TABLE build_files (
     dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
     ctime_ns INTEGER NOT NULL, digest TEXT NOT NULL, used_at INTEGER NOT NULL,
     PRIMARY KEY (dev, ino)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE build_trees (
     snapshot TEXT NOT NULL, selection TEXT NOT NULL, digest TEXT NOT NULL,
     PRIMARY KEY (snapshot, selection)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE build_downloads (
     url TEXT PRIMARY KEY, etag TEXT, last_modified TEXT, digest TEXT NOT NULL, used_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE build_mounts (
     id TEXT PRIMARY KEY,                -- hex name of the directory
     cache_id TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL, usage_count INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE build_images (
     key TEXT PRIMARY KEY, created TEXT NOT NULL, image TEXT NOT NULL
   ) STRICT;`,
  `CREATE TABLE build_facts (
     facts TEXT PRIMARY KEY,             -- of everything selected, by what lstat says of it
     digest TEXT NOT NULL, bytes INTEGER NOT NULL, used_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
  // The boot in which a step was performed, until what it wrote is known to be on disk.
  `ALTER TABLE build_records ADD COLUMN unsynced TEXT;
   CREATE INDEX build_records_unsynced ON build_records (unsynced) WHERE unsynced IS NOT NULL;`,
  `CREATE TABLE build_history (
     ref TEXT PRIMARY KEY, completed_at INTEGER NOT NULL, pinned INTEGER NOT NULL,
     record TEXT NOT NULL,               -- JSON of BuildRecord
     events BLOB NOT NULL                -- JSON of what was told and when, packed with gzip
   ) STRICT;
   CREATE TABLE build_history_blobs (
     ref TEXT NOT NULL, digest TEXT NOT NULL, data BLOB NOT NULL,
     PRIMARY KEY (ref, digest)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX build_history_blobs_by_digest ON build_history_blobs (digest);`,
  'CREATE INDEX build_history_by_time ON build_history (pinned, completed_at);',
  // The last result of a copy, by what it copies from where to where.
  'CREATE TABLE build_copies (place TEXT PRIMARY KEY, snapshot TEXT NOT NULL) STRICT, WITHOUT ROWID;',
]
