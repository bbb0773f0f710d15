import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { decompress, readTar } from '../../lib/tar/index.ts'
import type { Digest } from '../../spec/oci/index.ts'
import type { Content } from '../content/index.ts'
import type { Lease } from './store.ts'

/** An image archive's files, by cleaned path. Nothing is written under a name the archive chose: all become blobs. */
export interface ArchiveFiles {
  /** Digest and size of the file, through symlinks and hard links; undefined if there is none. */
  find(path: string): { digest: Digest; size: number } | undefined
  /** Content of a small file. */
  bytes(path: string): Promise<Buffer | undefined>
  /** The same as text. */
  text(path: string): Promise<string | undefined>
}

const maxText = 16 << 20
const maxFiles = 100_000

/** `came` is told of each file when it is whole. */
export const gatherFiles = async (
  archive: Readable,
  content: Content,
  lease: Lease,
  came: (path: string, file: { digest: Digest; size: number }) => Promise<void> = async () => {},
): Promise<ArchiveFiles> => {
  const files = new Map<string, { digest: Digest; size: number }>()
  const links = new Map<string, string>()
  const clean = (path: string): string => posix.normalize(`/${path}`).slice(1)
  const { packed, plain } = await measured(archive)
  for await (const { entry, body } of readTar(guarded(plain, packed), { entries: maxFiles })) {
    const path = clean(entry.path)
    if (entry.type === 'symlink') links.set(path, clean(`${posix.dirname(path)}/${entry.linkName}`))
    else if (entry.type === 'link') links.set(path, clean(entry.linkName))
    else if (entry.type === 'file') {
      const named = digestIn(path)
      const expected = { passing: true, ...(named && { digest: named }) }
      const file = await content.write(body, expected, lease.blob)
      files.set(path, file)
      await came(path, file)
    }
  }
  const base = baseIn(files)
  const find = (path: string): { digest: Digest; size: number } | undefined => {
    let at = base + clean(path)
    for (let hops = 0; hops < 8 && links.has(at); hops++) at = links.get(at)!
    const file = files.get(at)
    const named = digestIn(path)
    // A link may have the name of what it is not.
    return named === undefined || file?.digest === named ? file : undefined
  }
  const bytes = async (path: string): Promise<Buffer | undefined> => {
    const file = find(path)
    if (!file) return undefined
    if (file.size > maxText) throw new SlipwayError('invalid', `${path} in the archive is too large`)
    return await readFile(content.path(file.digest))
  }
  return { find, bytes, text: async (path) => (await bytes(path))?.toString('utf8') }
}

/** Of the content, where its name tells. */
const digestIn = (path: string): Digest | undefined => {
  const [, hex] = /(?:^|\/)blobs\/sha256\/([a-f0-9]{64})$/.exec(path) ?? []
  return hex === undefined ? undefined : `sha256:${hex}`
}

const ratioFrom = 1024 ** 3
const maxRatio = 500

/** The archive decompressed, and how much of it was read so far. */
const measured = async (archive: Readable): Promise<{ packed: () => number; plain: AsyncIterable<Buffer> }> => {
  let bytes = 0
  const counted = Readable.from(
    (async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of archive as AsyncIterable<Buffer>) {
        bytes += chunk.length
        yield chunk
      }
    })(),
    { objectMode: false, highWaterMark: 1 << 20 },
  )
  return { packed: () => bytes, plain: await decompress(counted) }
}

async function* guarded(plain: AsyncIterable<Buffer>, packed: () => number): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of plain) {
    bytes += chunk.length
    if (bytes > ratioFrom && bytes / packed() > maxRatio)
      throw new SlipwayError('invalid', 'archive is compressed beyond reason: refusing to load it')
    yield chunk
  }
}

/** '', or the one directory that was packed instead of what is in it. */
const baseIn = (files: Map<string, unknown>): string => {
  if (files.has('manifest.json') || files.has('index.json')) return ''
  const [first] = files.keys()
  const base = /^[^/]+\//.exec(first ?? '')?.[0]
  const all = base !== undefined && [...files.keys()].every((path) => path.startsWith(base))
  return all && files.has(`${base}oci-layout`) ? base : ''
}
