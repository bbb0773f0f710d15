/** `container cp`: what goes where is decided by what is there already, as by docker (moby's archive copy). */
import { lstatSync, realpathSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { EngineClient } from '../../../clients/engine/index.ts'
import { isError } from '../../../errors.ts'
import { packTar, type TarMember } from '../../../lib/tar/index.ts'
import { err } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { containerPath, type EngineCallContext, withEngine } from './calls.ts'
import { kindOf, membersOf, renamed, unpack } from './local-files.ts'
import { humanSize } from './units.ts'

interface Stat {
  name: string
  size: number
  /** Go's os.FileMode. */
  mode: number
  linkTarget: string
}
const directoryBit = 2 ** 31
const linkBit = 2 ** 27
const otherBits = 2 ** 26 + 2 ** 25 + 2 ** 24
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1
const isDirectory = ({ mode }: Stat): boolean => has(mode, directoryBit)

/** "CONTAINER:PATH"; a local path with a colon begins with '/' or '.'. */
const parse = (given: string): { container: string; path: string } => {
  const at = given.indexOf(':')
  if (given.startsWith('/') || given.startsWith('.') || at <= 0) return { container: '', path: given }
  return { container: given.slice(0, at), path: given.slice(at + 1) }
}

export const copy = withEngine(async (context) => {
  const [from, to] = context.args.map(parse) as [ReturnType<typeof parse>, ReturnType<typeof parse>]
  if (context.args[0] === '') throw new Exit(1, 'source can not be empty')
  if (context.args[1] === '') throw new Exit(1, 'destination can not be empty')
  if (from.container !== '' && to.container !== '') throw new Exit(1, 'copying between containers is not supported')
  if (from.container !== '') return copyOut(context, from.container, from.path, to.path)
  if (to.container !== '') return copyIn(context, from.path, to.container, to.path)
  throw new Exit(1, 'must specify at least one container source')
})

const statOf = async (engine: EngineClient, container: string, path: string): Promise<Stat> => {
  const answer = await engine.stream(containerPath(container, '/archive'), { method: 'HEAD', query: { path } })
  answer.resume()
  return statHeader(answer.headers)
}
const statHeader = (headers: Record<string, unknown>): Stat =>
  JSON.parse(Buffer.from(String(headers['x-docker-container-path-stat']), 'base64').toString()) as Stat

const wantsDirectory = (path: string): boolean => /(?:^|\/)\.?$/.test(path)
/** The directory and the last name; "x/." and "x/" keep their meaning of what is in x. */
const split = (path: string): [string, string] => {
  if (/(?:^|\/)\.$/.test(path)) return [posix.normalize(path), '.']
  const clean = posix.normalize(path).replace(/(.)\/$/, '$1')
  return [posix.dirname(clean), posix.basename(clean) || '/']
}

interface Destination {
  path: string
  kind: 'directory' | 'file' | undefined
}
/** The directory to unpack in, and the new name of what is copied (undefined: its own). */
const plan = (directory: boolean, to: Destination): { into: string; name: string | undefined } => {
  const [parent, name] = split(to.path)
  if (to.kind === 'directory') return { into: to.path, name: undefined }
  if (to.kind === 'file') {
    if (directory) throw new Exit(1, 'cannot copy directory')
    return { into: parent, name }
  }
  if (!directory && wantsDirectory(to.path)) throw new Exit(1, 'no such directory')
  return { into: parent, name }
}

/** Counts what passes. */
const counting = async function* (source: AsyncIterable<Uint8Array>, count: (bytes: number) => void) {
  for await (const chunk of source) {
    count(chunk.length)
    yield chunk
  }
}

const report = ({ shell, flags }: EngineCallContext, bytes: number, to: string): number => {
  const quiet = flags.quiet === undefined ? shell.stdout.isTTY !== true : flags.quiet === true
  if (!quiet) err(shell, `Successfully copied ${humanSize(bytes, 3)} to ${to}`)
  return 0
}

const refuseOutput = (path: string): void => {
  const parent = posix.dirname(posix.normalize(path))
  if (parent !== '' && parent !== '.' && kindOf(parent) === undefined)
    throw new Exit(1, `invalid output path: directory ${JSON.stringify(parent)} does not exist`)
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat && (stat.isBlockDevice() || stat.isCharacterDevice()))
    throw new Exit(
      1,
      `invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: got a device`,
    )
}

/** The absolute path, with what its end says kept. */
const localPath = (cwd: string, path: string): string => {
  const end = /\/\.?$/.exec(path)?.[0] ?? (path === '.' ? '/.' : '')
  const whole = resolve(cwd, path)
  return whole === '/' ? whole : whole + end
}

const copyOut = async (context: EngineCallContext, container: string, given: string, to: string): Promise<number> => {
  const { engine, shell, flags } = context
  let source = given
  if (flags['follow-link'] === true) {
    const stat = await statOf(engine, container, given).catch((error: unknown) => {
      if (isError(error)) return undefined
      throw error
    })
    if (stat && has(stat.mode, linkBit)) source = posix.resolve(posix.dirname(given), stat.linkTarget)
  }
  const path = to === '-' ? '-' : localPath(shell.cwd, to)
  if (to !== '-') refuseOutput(path)
  const call = { query: { path: source }, signal: shell.signal }
  const answer = await engine.stream(containerPath(container, '/archive'), call)
  if (to === '-') {
    await pipeline(answer, shell.stdout, { end: false })
    return 0
  }
  try {
    const directory = isDirectory(statHeader(answer.headers))
    const { into, name: newName } = plan(directory, { path, kind: kindOf(path) })
    // A link that was followed is copied under the link's name.
    const packed = split(source)[1]
    const name = newName ?? (source === given ? packed : split(given)[1])
    let bytes = 0
    const counted = counting(answer, (more) => (bytes += more))
    await unpack(counted, into, (each) => renamed(each, packed, name))
    return report(context, bytes, path)
  } finally {
    answer.destroy() // what is left of it is wanted by nobody
  }
}

const destinationOf = async (engine: EngineClient, container: string, path: string): Promise<Destination> => {
  try {
    let at = path
    let stat = await statOf(engine, container, at)
    if (has(stat.mode, linkBit)) {
      at = posix.resolve(posix.dirname(posix.normalize(path)), stat.linkTarget)
      stat = await statOf(engine, container, at)
    }
    if (!isDirectory(stat) && Math.floor(stat.mode / otherBits) % 2 === 1)
      throw new Exit(1, `destination "${container}:${path}" must be a directory or a regular file`)
    return { path: at, kind: isDirectory(stat) ? 'directory' : 'file' }
  } catch (error) {
    // What is not there is made; what is wrong with the container itself is told when it is written to.
    if (isError(error)) return { path, kind: undefined }
    throw error
  }
}

const copyIn = async (context: EngineCallContext, from: string, container: string, to: string): Promise<number> => {
  const { engine, shell, flags } = context
  const destination = await destinationOf(engine, container, to)
  let bytes = 0
  const upload = async (into: string, archive: AsyncIterable<Uint8Array>): Promise<void> => {
    const query = { path: into, noOverwriteDirNonDir: 'true', copyUIDGID: flags.archive === true }
    const body = Readable.from(
      counting(archive, (more) => (bytes += more)),
      { objectMode: false },
    )
    await engine.json(containerPath(container, '/archive'), { method: 'PUT', query, body, signal: shell.signal })
  }
  if (from === '-') {
    if (destination.kind !== 'directory') throw new Exit(1, `destination "${container}:${to}" must be a directory`)
    await upload(destination.path, shell.stdin)
  } else {
    const { path, name } = localSource(shell.cwd, from, flags['follow-link'] === true)
    const directory = kindOf(path) === 'directory' && (!lstatSync(path).isSymbolicLink() || name === '.')
    const { into, name: newName } = plan(directory, destination)
    const real = name === '.' ? realpathSync(path) : path
    await upload(into, packTar(members(real, newName ?? name)))
  }
  return report(context, bytes, `${container}:${destination.path}`)
}

async function* members(path: string, name: string): AsyncGenerator<TarMember> {
  yield* membersOf(path, name)
}

/** The file, and the name it is packed under: '.' for what is in a directory. */
const localSource = (cwd: string, given: string, follow: boolean): { path: string; name: string } => {
  const path = resolve(cwd, given)
  if (!lstatSync(path, { throwIfNoEntry: false })) throw new Exit(1, `lstat ${path}: no such file or directory`)
  const inside = /(?:^|\/)\.$/.test(given)
  const name = inside ? '.' : posix.basename(path)
  return { path: follow || given.endsWith('/') ? realpathSync(path) : path, name }
}
