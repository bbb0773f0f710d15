import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { Digest } from '../../spec/oci/index.ts'
import { GrowingBlob } from './growing.ts'
import { linkTo, type PartialBlob, Partials } from './partials.ts'

/**
 * Blobs by their sha256: stateDir/content/blobs/sha256/HEX. A blob is written beside, verified, and renamed into place, so
 * what is there is whole. What is under way lies in ingest/ and is dropped at the next start, but for downloads that can go on.
 */
export interface Content {
  has(digest: Digest): boolean
  path(digest: Digest): string
  size(digest: Digest): Promise<number | undefined>
  read(digest: Digest): Readable
  /**
   * Writes all of `source`. With `expected`, another digest or size is 'invalid' and leaves nothing. `claim` is called
   * with the digest before the blob is there, so that a lease can be taken in time. `passing`: a power cut may take it,
   * until `settle`.
   */
  write(
    source: AsyncIterable<Uint8Array>,
    expected: { digest?: Digest | undefined; size?: number | undefined; passing?: boolean | undefined },
    claim: (digest: Digest) => void,
  ): Promise<{ digest: Digest; size: number }>
  /** Before a record refers to a blob that was written in passing: it is on disk. */
  settle(digest: Digest): Promise<void>
  /** A file to write a blob into. */
  stage(): Promise<StagedBlob>
  /**
   * Where a download of the digest is gathered, over interruptions. `adopt` makes it a blob, too: until it is dropped, the
   * download need not be made again, whatever becomes of the blob. One that is not gone on with is dropped after a day.
   */
  partial(digest: Digest): Promise<PartialBlob>
  /** Drops downloads (default: all) that nobody is at. Resolves with the bytes freed. */
  dropPartials(digests?: readonly Digest[]): Promise<number>
  /** `unless` is asked at the last moment. */
  remove(digest: Digest, unless: () => boolean): Promise<void>
  /** Deletes leftovers and every blob that `wanted` does not know. */
  recover(wanted: (digest: Digest) => boolean): Promise<void>
}

interface StagedBlob {
  path: string
  /** For who reads it while it is written, which the writer reports. */
  follow(): Promise<GrowingBlob>
  /** Makes it a blob whose digest the writer has computed. `passing`: as with write(). */
  adopt(digest: Digest, passing?: boolean): Promise<void>
  drop(): Promise<void>
}

export const createContent = (stateDir: string, now: () => number): Content => {
  const base = `${stateDir}/content`
  const blobs = `${base}/blobs/sha256`
  const ingest = `${base}/ingest`
  const hex = (digest: Digest): string => {
    if (!/^sha256:[a-f0-9]{64}$/.test(digest)) throw new SlipwayError('invalid', `unsupported digest ${digest}`)
    return digest.slice(7)
  }
  const path = (digest: Digest): string => `${blobs}/${hex(digest)}`
  const directories = async (): Promise<void> => {
    await mkdir(blobs, { recursive: true, mode: 0o700 })
    await mkdir(ingest, { recursive: true, mode: 0o700 })
  }
  // A removal that was decided on before a blob came back must not take the new one.
  const changing = new KeyedMutex()
  const adopt = async (file: string, digest: Digest, passing = false): Promise<void> => {
    if (!passing) await sync(file)
    await changing.run(digest, () => rename(file, path(digest)))
  }
  const partials = new Partials(ingest, now)

  return {
    has: (digest) => existsSync(path(digest)),
    path,
    size: (digest) =>
      stat(path(digest)).then(
        (found) => found.size,
        () => undefined,
      ),
    read: (digest) => createReadStream(path(digest), { highWaterMark: 256 * 1024 }),
    async write(source, expected, claim) {
      await directories()
      const file = `${ingest}/${randomUUID()}`
      try {
        const written = await writeFile(file, source)
        mustBe(expected, written)
        claim(written.digest)
        await adopt(file, written.digest, expected.passing)
        return written
      } catch (error) {
        await rm(file, { force: true })
        throw outOfSpace(error) ?? error
      }
    },
    settle: (digest) => sync(path(digest)),
    async stage() {
      await directories()
      const file = `${ingest}/${randomUUID()}`
      return staged(file, adopt)
    },
    async partial(digest) {
      hex(digest)
      await directories()
      return await partials.open(digest, async (file) => {
        await sync(file)
        await changing.run(digest, () => linkTo(file, path(digest)))
      })
    },
    dropPartials: (digests) => directories().then(() => partials.drop(digests)),
    remove: (digest, unless) =>
      changing.run(digest, async () => {
        if (!unless()) await rm(path(digest), { force: true })
      }),
    async recover(wanted) {
      await directories()
      await partials.recover(wanted)
      for (const name of await readdir(blobs)) if (!wanted(`sha256:${name}`)) await rm(`${blobs}/${name}`)
    },
  }
}

const staged = (
  file: string,
  adopt: (file: string, digest: Digest, passing?: boolean) => Promise<void>,
): StagedBlob => ({
  path: file,
  follow: async () => new GrowingBlob(await open(file, 'a+', 0o600)),
  adopt: (digest, passing) => adopt(file, digest, passing),
  drop: () => rm(file, { force: true }),
})

const mustBe = (
  expected: { digest?: Digest | undefined; size?: number | undefined },
  written: { digest: Digest; size: number },
): void => {
  if (expected.digest !== undefined && written.digest !== expected.digest)
    throw new SlipwayError('invalid', `unexpected digest: got ${written.digest}, want ${expected.digest}`)
  if (expected.size !== undefined && written.size !== expected.size)
    throw new SlipwayError('invalid', `unexpected size: got ${written.size} bytes, want ${expected.size}`)
}

const sync = async (file: string): Promise<void> => {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const outOfSpace = (error: unknown): SlipwayError | undefined =>
  ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
    ? new SlipwayError('no-space', 'no space left on device', { cause: error, hint: 'Remove unused images.' })
    : undefined

const batchBytes = 1 << 20
const checkEvery = 64 << 20
const minFree = 128 << 20

/** An archive may unpack to anything: it must not take the last of the disk. */
const checkSpace = async (file: string): Promise<void> => {
  const { bavail, bsize } = await statfs(file)
  if (bavail * bsize < minFree)
    throw new SlipwayError('no-space', 'no space left on device', { hint: 'Remove unused images.' })
}

/** Chunks are gathered and written together, while those that follow are hashed. */
const writeFile = async (
  file: string,
  source: AsyncIterable<Uint8Array>,
): Promise<{ digest: Digest; size: number }> => {
  const hash = createHash('sha256')
  let size = 0
  let checked = 0
  let batch: Uint8Array[] = []
  let gathered = 0
  let writing: Promise<unknown> = Promise.resolve()
  const handle: FileHandle = await open(file, 'wx', 0o600)
  const flush = async (): Promise<void> => {
    await writing
    writing = writeAll(handle, batch)
    writing.catch(() => {}) // seen by whoever waits next
    batch = []
    gathered = 0
  }
  try {
    for await (const chunk of source) {
      hash.update(chunk)
      size += chunk.length
      batch.push(chunk)
      gathered += chunk.length
      if (gathered >= batchBytes) await flush()
      if (size - checked < checkEvery) continue
      checked = size
      await checkSpace(file)
    }
    await flush()
    await writing
  } finally {
    await writing.catch(() => {})
    await handle.close()
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

const writeAll = async (handle: FileHandle, chunks: Uint8Array[]): Promise<void> => {
  if (chunks.length === 0) return
  const wanted = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const { bytesWritten } = await handle.writev(chunks)
  if (bytesWritten === wanted) return
  await handle.writeFile(Buffer.concat(chunks).subarray(bytesWritten)) // a disk that is nearly full: this says so
}
