import { createHash, type Hash } from 'node:crypto'
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs'
import { pipeline } from 'node:stream'
import type { MessagePort } from 'node:worker_threads'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { type Deflate, gzip, gzipBy, type Turn } from '../../../lib/gzip.ts'
import { compressionOfFile, decompressor, packTar, readTar, type TarMember } from '../../../lib/tar/index.ts'
import { layerGzipLevel } from '../../../spec/oci/index.ts'
import { layerTar } from './diff.ts'
import { fileChunks, gathered } from './pieces.ts'
import { portTurns } from './port-streams.ts'
import type { LayerJob, PackForm, PackResult } from './protocol.ts'
import type { Special } from './special.ts'

type Job = Extract<LayerJob, { op: 'pack' }>
type Bytes = AsyncIterable<Uint8Array>

export const pack = async (job: Job, port: MessagePort, special: Special): Promise<PackResult> => {
  const { tar, known } = await archiveOf(job, special)
  const limited = job.form.notAfter === undefined ? tar : packTar(clamped(tar, BigInt(job.form.notAfter) * 1_000_000n))
  const archive = { hash: known === undefined ? createHash('sha256') : undefined, size: 0 }
  const measured = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of limited) {
      archive.hash?.update(chunk)
      archive.size += chunk.length
      yield chunk
    }
  }
  const hash = createHash('sha256')
  let size = 0
  const fd = openSync(job.file, 'w', 0o600)
  try {
    for await (const chunk of await compressed(measured(), job.form, portTurns(port))) {
      hash.update(chunk)
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
      size += chunk.length
      port.postMessage({ grew: size })
    }
  } finally {
    closeSync(fd)
  }
  const diffId = archive.hash ? digest(archive.hash) : known!
  return { diffId, tarSize: archive.size, blob: { digest: digest(hash), size } }
}

/** `known`: the digest of what is read, where it need not be found out. */
const archiveOf = async ({ from, form }: Job, special: Special): Promise<{ tar: Bytes; known?: string }> => {
  // Our own gzip is done with a chunk when it asks for the next one.
  const ours = form.compression === 'gzip' ? form.gzip !== 'stream' : form.compression === 'uncompressed'
  const stays = form.notAfter !== undefined || !ours
  if ('root' in from) return { tar: asynchronous(gathered(layerTar(from.root, special), stays)) }
  const transform = decompressor(await compressionOfFile(from.file))
  if (transform)
    return { tar: pipeline(createReadStream(from.file, { highWaterMark: chunkSize }), transform, () => {}) }
  return { tar: asynchronous(fileChunks(from.file, stays)), ...(form.notAfter === undefined && { known: from.digest }) }
}

async function* asynchronous(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pieces
}

async function* clamped(tar: Bytes, limitNs: bigint): AsyncGenerator<TarMember> {
  for await (const { entry, body } of readTar(tar))
    yield { entry: entry.mtimeNs > limitNs ? { ...entry, mtimeNs: limitNs } : entry, body }
}

const chunkSize = 256 * 1024

const compressed = async (source: Bytes, form: PackForm, turn: Turn): Promise<Bytes> => {
  const { compression, level } = form
  switch (compression) {
    case 'gzip':
      if (form.gzip === 'blocks') return gzip(source, level ?? layerGzipLevel, { turn })
      if (form.gzip !== 'stream') return gzipBy(source, await deflateOf(form.gzip.module))
      // An error of the source destroys the transform, which its reader sees.
      return pipeline(source, createGzip({ level: level ?? layerGzipLevel, chunkSize }), () => {})
    case 'zstd': {
      const params = level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level }
      return pipeline(source, createZstdCompress({ chunkSize, params }), () => {})
    }
    case 'uncompressed':
      return source
  }
}

const deflateOf = async (module: string): Promise<Deflate> => ((await import(module)) as { deflate: Deflate }).deflate

const digest = (hash: Hash): string => `sha256:${hash.digest('hex')}`
