/** COPY, ADD, WORKDIR and the stacking of --link layers. */
import { type BigIntStats, chmodSync, constants, lchownSync, linkSync, mkdirSync, symlinkSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { linkAt, lstatExact, namesIn } from '../../lib/named-files.ts'
import { encodeName } from '../../lib/tar/index.ts'
import { fixedMode, modeChange } from '../context/mode.ts'
import { ownerOf } from '../context/owner.ts'
import { createPacer } from '../context/pacer.ts'
import type { Selected } from '../context/select.ts'
import { knowDigests, select } from '../context/select.ts'
import { mayHaveNames, type Share } from '../context/share.ts'
import type { Tree } from '../context/tree.ts'
import { type Entry, entryOf, inlineEntry } from '../context/tree.ts'
import { isArchive, unpackFile } from '../context/unpack.ts'
import { RootWriter } from '../context/write.ts'
import type { CopyOp, CopySource, MkdirOp } from '../ops.ts'
import type { SolverDeps } from './deps.ts'
import type { Workspace } from './workspace.ts'

/** An active snapshot with what a step did to it; it is mounted at `root`. */
export interface Executed {
  key: string
  root: string
  /** False when nothing was changed: the result is the input. */
  changed: boolean
  /** False when what was done is not what its key says. */
  cacheable: boolean
  /** To be told of the snapshot that it becomes, before that is on record. */
  committed?: ((snapshot: string) => void) | undefined
}

/** What a copy reads: `tree` for paths, downloaded files by URL. */
export interface CopyInputs {
  tree: Tree | undefined
  downloads: ReadonlyMap<string, { path: string; modifiedMs: number }>
  /** What was found for a source when its digest was made. */
  selected?: ((source: CopySource) => Selected[] | undefined) | undefined
  /** With an earlier result of the same copy. */
  share?: Share | undefined
}

/** Files of one source, and whether archives among them are unpacked. */
interface SourceFiles {
  selected: Selected[]
  unpack: boolean
}

export const filesOf = async (
  deps: Pick<SolverDeps, 'sys' | 'clock'>,
  op: Pick<CopyOp, 'sources' | 'exclude'>,
  inputs: CopyInputs,
  signal?: AbortSignal,
): Promise<SourceFiles[]> => {
  const { files } = deps.sys
  const one = async (source: CopySource): Promise<SourceFiles> => {
    if (source.kind === 'inline') {
      const entry = inlineEntry(source.data, BigInt(deps.clock.now()) * 1_000_000n)
      return { selected: [{ name: source.name, entries: [entry] }], unpack: false }
    }
    if (source.kind === 'url') {
      const file = inputs.downloads.get(source.url)!
      const tree = { root: '/', resetOwner: true, stable: true }
      const found = entryOf(tree, files, '', file.path)!
      const entry: Entry = {
        ...found,
        xattrs: found.xattrs,
        mode: 0o600,
        mtimeNs: BigInt(file.modifiedMs) * 1_000_000n,
      }
      return { selected: [{ name: source.name, entries: [entry] }], unpack: source.unpack }
    }
    const known = inputs.selected?.(source)
    if (known) return { selected: known, unpack: source.unpack }
    const selection = { path: source.path, pivot: source.pivot, exclude: op.exclude }
    return { selected: await select(inputs.tree!, files, selection, signal), unpack: source.unpack }
  }
  const found: SourceFiles[] = []
  for (const source of op.sources) found.push(await one(source))
  return found
}

export const executeCopy = async (
  deps: SolverDeps,
  space: Workspace,
  op: CopyOp,
  parent: string | undefined,
  inputs: CopyInputs,
  signal: AbortSignal,
): Promise<Executed> => {
  const { files } = deps.sys
  const { key, root, upper } = await space.writable(parent)
  const owner = ownerOf(files, root, op.chown)
  const writer = new RootWriter({
    files,
    root,
    owner,
    mode: op.chmod === undefined ? undefined : modeChange(op.chmod),
    directoryMode: op.chmod === undefined ? undefined : fixedMode(op.chmod),
    keepSource: op.keepSource,
    share: inputs.share,
    signal,
  })
  const sources = await filesOf(deps, op, inputs, signal)
  // Where the directory as a whole was known, its files were not asked for.
  if (inputs.share && inputs.tree?.stable) for (const { selected } of sources) await knowDigests(selected, deps.digests)
  const several = op.sources.length > 1
  for (const { selected, unpack } of sources) {
    for (const item of selected) {
      const archive = unpack && item.name !== '' ? item.entries[0]! : undefined
      if (archive?.kind === 'file' && (await isArchive(deps.sys.processes, archive.absolute))) {
        await writer.flush()
        writer.directory(op.dest, 0o755)
        const target = { files, root, dest: op.dest, owner, devices: true, signal }
        await unpackFile(deps.sys.processes, archive.absolute, target)
      } else await writer.copy([item], op.dest, several || selected.length > 1)
    }
  }
  space.unmount(root)
  await writer.finish(upper)
  return { key, root, changed: true, cacheable: !writer.changed }
}

/** WORKDIR. */
export const executeMkdir = async (
  deps: SolverDeps,
  space: Workspace,
  op: MkdirOp,
  parent: string | undefined,
): Promise<Executed> => {
  const { files } = deps.sys
  const { key, root } = await space.writable(parent)
  const writer = new RootWriter({ files, root, owner: ownerOf(files, root, op.owner), mode: undefined })
  writer.directory(op.path)
  return { key, root, changed: writer.made > 0, cacheable: true }
}

/** Puts a layer made on scratch on top of `parent`: the same inodes under another directory tree. */
export const executeMerge = async (
  deps: SolverDeps,
  space: Workspace,
  layer: string,
  parent: string | undefined,
  signal: AbortSignal,
): Promise<Executed> => {
  const { key, root, upper } = await space.writable(parent)
  // Written below the mount, where nothing of the parent is seen or followed.
  space.unmount(root)
  const from = deps.snapshots.pathOf(layer)
  if (from === undefined) throw new SlipwayError('internal', 'a snapshot of a linked layer is gone')
  await mirror(deps, from, upper, signal)
  return { key, root, changed: true, cacheable: true }
}

/** Directories anew, everything else as hard links: both are immutable once committed. What must not have more names is copied. */
const mirror = async ({ sys: { files } }: SolverDeps, from: string, to: string, signal: AbortSignal): Promise<void> => {
  const pace = createPacer()
  const attributes = (source: string, target: string, stat: BigIntStats): void => {
    lchownSync(encodeName(target), Number(stat.uid), Number(stat.gid))
    chmodSync(encodeName(target), Number(stat.mode & 0o7777n))
    for (const xattr of files.listXattrs(source)) {
      const value = files.getXattr(source, xattr)
      if (value && !xattr.startsWith('security.selinux')) files.setXattr(target, xattr, value)
    }
    files.setTimes(target, stat.atimeNs, stat.mtimeNs)
  }
  const descend = async (path: string): Promise<void> => {
    signal.throwIfAborted()
    for (const name of namesIn(join(from, path))) {
      await pace()
      const inside = join(path, name)
      const [source, target] = [join(from, inside), join(to, inside)]
      const stat = lstatExact(source)
      if (stat.isDirectory()) {
        mkdirSync(encodeName(target))
        await descend(inside)
        attributes(source, target, stat)
      } else if (stat.isSymbolicLink()) {
        symlinkSync(encodeName(linkAt(source)), encodeName(target))
        lchownSync(encodeName(target), Number(stat.uid), Number(stat.gid))
        files.setTimes(target, stat.atimeNs, stat.mtimeNs)
      } else if (stat.nlink > 1n || !stat.isFile() || mayHaveNames(`/${inside}`, Number(stat.mode & 0o7777n)))
        linkSync(encodeName(source), encodeName(target))
      else {
        await copyFile(encodeName(source), encodeName(target), constants.COPYFILE_FICLONE)
        attributes(source, target, stat)
      }
    }
  }
  await descend('')
}
