/** Opens what a request names as its context, and finds the Dockerfile and its .dockerignore. */
import { closeSync, constants, createWriteStream, fstatSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, isAbsolute, relative, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isError, SlipwayError } from '../../errors.ts'
import { compressionOf, decodeName, decompress } from '../../lib/tar/index.ts'
import type { Processes, Sys } from '../../sys/sys.ts'
import type { BuildRequest, GitContext, RemoteDirectory } from '../types.ts'
import { parseDockerignore } from './dockerignore.ts'
import type { Listing } from './listing.ts'
import { compilePatterns } from './patterns.ts'
import { receiveTar } from './received.ts'
import type { Place, ReceivedContexts } from './received-contexts.ts'
import type { Tree } from './tree.ts'
import { plainStream } from './unpack.ts'

export interface OpenedContext {
  root: string
  /** Is it the user's own directory (and not unpacked from a stream)? */
  own: boolean
  /** Of one that was unpacked: what is in it. */
  listing?: Listing | undefined
  close(): void
}

export type OpenableContext = Exclude<BuildRequest['context'], { remote: RemoteDirectory } | GitContext>

/** `received` is where streams are unpacked, `name` what the context is likely to be called the next time. */
export const openContext = async (
  context: OpenableContext,
  sys: Pick<Sys, 'files' | 'processes'>,
  received: ReceivedContexts,
  name: string,
  signal: AbortSignal,
): Promise<OpenedContext> => {
  if ('directory' in context) {
    const root = resolve(context.directory)
    const stat = statSync(root, { throwIfNoEntry: false })
    if (!stat) throw new SlipwayError('not-found', `unable to prepare context: path "${context.directory}" not found`)
    if (!stat.isDirectory())
      throw new SlipwayError('invalid', `unable to prepare context: "${context.directory}" is not a directory`)
    return { root, own: true, close() {} }
  }
  const place = received.open(name)
  const { root } = place
  try {
    if (!('tar' in context)) return { root, own: false, close: place.drop }
    const listing = await receive(sys, context.tar, `${root}.tar`, place, signal)
    return { root, own: false, close: () => place.keep(listing), listing }
  } catch (error) {
    place.drop()
    throw error
  }
}

/** A stream that stalls ends with the build. What only another program can decompress lies in `file` meanwhile. */
const receive = async (
  { files, processes }: Pick<Sys, 'files' | 'processes'>,
  tar: Readable,
  file: string,
  { root, before }: Place,
  signal: AbortSignal,
): Promise<Listing> => {
  const onAbort = (): void => void tar.destroy(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const plain = await plainTar(processes, tar, file)
    try {
      return await receiveTar(plain, root, files, signal, before)
    } finally {
      plain.destroy()
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    rmSync(file, { force: true })
  }
}

const plainTar = async (processes: Processes, tar: Readable, file: string): Promise<Readable> => {
  const { head, whole } = await peek(tar)
  if (!['xz', 'bzip2'].includes(compressionOf(head))) return await decompress(whole)
  await pipeline(whole, createWriteStream(file, { mode: 0o600 }))
  return await plainStream(processes, file)
}

const peek = async (tar: Readable): Promise<{ head: Buffer; whole: Readable }> => {
  const chunks = (tar as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < 6) {
    const next = await chunks.next()
    if (next.done) break
    head = Buffer.concat([head, next.value])
  }
  const rest = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
  }
  return { head, whole: Readable.from(rest(), { objectMode: false }) }
}

export interface FoundDockerfile {
  /** As shown to the user. */
  file: string
  text: string
  /** The ignore file's name and patterns. */
  ignore: { file: string; patterns: string[] } | undefined
}

export const findDockerfile = async (
  request: Pick<BuildRequest, 'dockerfile'>,
  context: OpenedContext,
  sys: Pick<Sys, 'files'>,
): Promise<FoundDockerfile> => {
  const wanted = request.dockerfile ?? { path: 'Dockerfile' }
  if ('inline' in wanted) return { file: 'Dockerfile', text: wanted.inline, ignore: ignoreOf(context, sys, undefined) }
  const first = readText(wanted.path, context, sys)
  // The usual name may be written small.
  const name = first === missing && wanted.path === 'Dockerfile' ? 'dockerfile' : wanted.path
  const found = name === wanted.path ? first : readText(name, context, sys)
  if (typeof found === 'string') {
    const shown = isAbsolute(name) ? relativeTo(context, name) : name.replace(/^\.\//, '')
    return { file: shown, text: found, ignore: ignoreOf(context, sys, name) }
  }
  throw new SlipwayError('not-found', `failed to read dockerfile: open ${wanted.path}: ${found.reason}`, {
    hint: 'Name it with --file, or put a Dockerfile at the root of the build context.',
    at: { file: wanted.path },
  })
}

/** A Dockerfile larger than this is none (bytes). */
const mostText = 16 * 1024 * 1024

export const checkSize = (name: string, bytes: number): void => {
  if (bytes > mostText) throw new SlipwayError('invalid', `${name} exceeds maximum allowed size of ${mostText} bytes`)
}

/** Why there is nothing to read. */
interface Unread {
  reason: string
}
const missing: Unread = { reason: 'no such file or directory' }

/**
 * A user's own file may lie anywhere; in what was unpacked from a stream no name and no link leads out. Opening and reading
 * never waits: a context may hold a pipe, or a link to a device.
 */
const readText = (path: string, context: OpenedContext, { files }: Pick<Sys, 'files'>): string | Unread => {
  let fd: number
  try {
    fd = context.own
      ? openSync(resolve(context.root, path), openFlags)
      : files.openInRoot(context.root, path, openFlags)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (isError(error, 'not-found') || ['ENOENT', 'ENOTDIR'].includes(code)) return missing
    throw error
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) return { reason: stat.isDirectory() ? 'is a directory' : 'is not a regular file' }
    checkSize(path, stat.size)
    return decodeName(readFileSync(fd))
  } finally {
    closeSync(fd)
  }
}
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

const relativeTo = (context: OpenedContext, path: string): string => {
  const inside = relative(context.root, path)
  return inside.startsWith('..') || isAbsolute(inside) ? path : inside
}

/** `<Dockerfile>.dockerignore` next to the file wins over the root's .dockerignore. */
const ignoreOf = (
  context: OpenedContext,
  sys: Pick<Sys, 'files'>,
  dockerfile: string | undefined,
): FoundDockerfile['ignore'] => {
  for (const path of [...(dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`]), '.dockerignore']) {
    const text = readText(path, context, sys)
    if (typeof text === 'string') return { file: basename(path), patterns: parseDockerignore(text) }
  }
  return undefined
}

export const treeOf = (
  context: Pick<OpenedContext, 'root' | 'own' | 'listing'>,
  patterns: readonly string[] | undefined,
): Tree => ({
  root: context.root,
  ignore: patterns && patterns.length > 0 ? compilePatterns(patterns) : undefined,
  resetOwner: true,
  stable: context.own,
  listing: context.listing,
})
