/**
 * What the main thread and a layer worker say to each other. A worker does one job at a time. Node itself lacks mknod and
 * xattrs, so the worker asks the main thread, which has the native port, and waits for the answer (`special`).
 */
import type { MessagePort } from 'node:worker_threads'
import type { ErrorCode } from '../../../errors.ts'
import type { Digest } from '../../../spec/oci/index.ts'

export interface UnpackLimits {
  /** Bytes of unpacked files; default: unlimited but for the free space. */
  bytes?: number | undefined
  /** Default 4 million. */
  entries?: number | undefined
  /** Bytes that must stay free on the filesystem; default 128 MiB. */
  minFree?: number | undefined
  /** Unpacked bytes a compressed byte, looked at beyond 1 GiB; default 500. */
  ratio?: number | undefined
}

/** An archive as unpack takes it, with the digest of the file where that is known. */
export type PackSource = { root: string } | { file: string; digest: Digest }
export interface PackForm {
  compression: 'gzip' | 'zstd' | 'uncompressed'
  /** How gzip is written: by zlib in blocks, by zlib in one piece, or in blocks by a module's compressor (see FastDeflate of sys.ts). */
  gzip: 'blocks' | 'stream' | { module: string }
  /** The compressor's own; undefined: its default. */
  level: number | undefined
  /** No file is younger than this (ms). */
  notAfter: number | undefined
}

export type LayerJob =
  /** Unpacks an archive (plain, gzip or zstd, by its first bytes) into the empty directory `root`. */
  | {
      op: 'unpack'
      /** A file, or undefined: chunks come over the port. */
      file: string | undefined
      /** Of the file, where it is known: an archive that is not compressed is not hashed again. */
      digest: Digest | undefined
      root: string
      /** Directories of the layers below, top first: missing parents take their attributes from there. */
      lowers: string[]
      limits: UnpackLimits
      /** Paths to leave out, as confine() gives them. */
      omit: string[]
      /** A small tar whose entries are put on top. */
      extra: Uint8Array | undefined
    }
  /** The layer as a deterministic tar: only its digest, or as chunks over the port as well. */
  | { op: 'diff'; root: string; output: { to: 'digest' } | { to: 'port' } }
  /** Writes a layer into `file`: the one that `root` is, or an archive of it, in another form. */
  | { op: 'pack'; from: PackSource; form: PackForm; file: string }
  | { op: 'changes'; root: string; lowers: string[] }
  | { op: 'trim'; root: string; lowers: string[] }
  | { op: 'usage'; root: string }
  | { op: 'delete'; path: string }

export interface UnpackResult {
  /** Of the uncompressed archive. */
  diffId: Digest
  tarSize: number
  /** Bytes of the files that were made. */
  size: number
  entries: number
  /** False: diff() gives other bytes than these, which need not be looked at again. */
  canonical: boolean
}
export interface DiffResult {
  diffId: Digest
  tarSize: number
}
export interface PackResult extends DiffResult {
  /** What was written. */
  blob: { digest: Digest; size: number }
}
export interface Change {
  path: string
  kind: 'modified' | 'added' | 'deleted'
}
export interface LayerResults {
  unpack: UnpackResult
  /** `size`: bytes of the files in it. */
  diff: DiffResult & { size: number }
  pack: PackResult
  changes: Change[]
  trim: undefined
  usage: number
  delete: undefined
}

export type SpecialCall =
  | { call: 'mknod'; path: string; mode: number; major: number; minor: number }
  | { call: 'setXattr'; path: string; name: string; value: Uint8Array }
  | { call: 'setTimes'; path: string; atimeNs: bigint; mtimeNs: bigint }
  /** The attributes that belong into a layer, and the overlay's opaque mark, of each path; those are joined by zeros: one text crosses faster. */
  | { call: 'xattrs'; paths: string }

/** By the place of their path among those asked for: most have none. */
export type FoundXattrs = [index: number, xattrs: [string, Uint8Array][]][]
export type SpecialAnswer = { ok: true; xattrs: FoundXattrs } | { ok: false; error: WireError }
export interface WireError {
  code: ErrorCode
  message: string
  hint?: string | undefined
}

/** First message to a worker for a job. `flag[0]` turns 1 when an answer is on `answers`. */
export interface JobStart {
  job: LayerJob
  port: MessagePort
  answers: MessagePort
  flag: Int32Array
}

export type FromWorker =
  | { special: SpecialCall }
  | { chunk: Uint8Array }
  | { credit: number }
  /** Asks for a turn at the compressor, or gives one back. */
  | { turn: 'wanted' | 'over' }
  /** Bytes of the file by now. */
  | { grew: number }
  | { done: unknown }
  | { failed: WireError }
export type ToWorker = { chunk: Uint8Array } | { end: true } | { credit: number } | { turn: 'yours' }

/** Chunks under way in one direction before the other side must have taken some. */
export const window = 8
