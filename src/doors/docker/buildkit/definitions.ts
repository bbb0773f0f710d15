/**
 * The low-level definitions that clients of Dockerfiles write themselves: one source that lies elsewhere, to read a file of it
 * (a Dockerfile at an address, bake's files in a repository) or to build from it. Names of attributes: solver/pb/attr.go.
 */
import { posix } from 'node:path'
import type { GitAddress } from '../../../build/index.ts'
import type { GitContext } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { type Definition, Op } from './messages.ts'
import type { Decoded } from './protobuf.ts'

export type AnyDefinition = Partial<Decoded<typeof Definition>>

export type ClientSource =
  | { url: string; name: string | undefined; digest: string | undefined }
  | (GitContext & { address: GitAddress })

/** undefined: an empty definition, as scratch has it. */
export const sourceOf = (definition: AnyDefinition | undefined): ClientSource | undefined => {
  const ops = (definition?.def ?? []).map((bytes) => Op.decode(bytes))
  if (ops.length === 0) return undefined
  const sources = ops.flatMap(({ source }) => source ?? [])
  const copies = ops.flatMap(({ file }) => (file ? [file] : []))
  const [{ identifier = '', attrs = {} } = {}, ...more] = sources
  // By convention the last one has no operation: its input is the result.
  const known = more.length === 0 && ops.length <= sources.length + copies.length + 1
  if (known && copies.length === 0 && /^https?:\/\//.test(identifier))
    return { url: identifier, name: attrs['http.filename'], digest: attrs['http.checksum'] }
  const directory = known ? copiedDirectory(copies) : undefined
  if (directory !== undefined && identifier.startsWith('git://'))
    return gitSource(identifier.slice('git://'.length), attrs, directory)
  throw new SlipwayError(
    'unsupported',
    'builds from a low-level definition are not supported: only Dockerfiles are built',
  )
}

/** Bake takes a directory of a repository as what is copied from there to an empty root. '' is the whole; undefined: another copy. */
const copiedDirectory = (files: readonly NonNullable<Decoded<typeof Op>['file']>[]): string | undefined => {
  const actions = files.flatMap((file) => file.actions ?? [])
  if (actions.length === 0) return ''
  const { input = 0, copy } = actions[0]!
  if (actions.length > 1 || input !== -1 || copy?.dest !== '/') return undefined
  if (!copy.dirCopyContents && copy.src !== '/') return undefined
  if (copy.owner || (copy.mode ?? -1) >= 0 || copy.attemptUnpack) return undefined
  if ((copy.includePatterns ?? []).length + (copy.excludePatterns ?? []).length > 0) return undefined
  return posix.join('/', copy.src ?? '').slice(1)
}

/** HOST/PATH#REF:SUBDIRECTORY, and the whole address as an attribute. */
const gitSource = (
  id: string,
  attrs: Readonly<Record<string, string>>,
  below: string,
): GitContext & { address: GitAddress } => {
  const [, place = '', ref = '', within = ''] = /^([^#]*)(?:#([^:]*)(?::(.*))?)?$/s.exec(id) ?? []
  const subdirectory = posix.join('/', within, below).replace(/^\/+|\/+$/g, '')
  const remote = attrs['git.fullurl'] || `https://${place}`
  const mtime = attrs['git.mtime']
  const fragment = subdirectory === '' ? ref : `${ref}:${subdirectory}`
  return {
    git: fragment === '' ? remote : `${remote}#${fragment}`,
    address: {
      remote,
      ref: ref || attrs['git.checksum'] || undefined,
      subdirectory,
      checksum: attrs['git.checksum'] || undefined,
      knownHosts: attrs['git.knownsshhosts'] || undefined,
      agent: attrs['git.mountsshsock'] || undefined,
      ...(attrs['git.keepgitdir'] === undefined ? {} : { keepGitDir: attrs['git.keepgitdir'] === 'true' }),
      ...(attrs['git.skipsubmodules'] === undefined ? {} : { submodules: attrs['git.skipsubmodules'] !== 'true' }),
      ...(mtime === 'commit' || mtime === 'checkout' ? { mtime } : {}),
    },
  }
}
