import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import type { Digest } from '../../spec/oci/index.ts'
import type { Mount } from '../../sys/sys.ts'
import type { EngineDeps } from '../deps.ts'
import type { SnapshotInfo, Snapshots } from '../types.ts'
import { LayerPool } from './layers/pool.ts'
import type { PackForm, PackResult, UnpackLimits, UnpackResult } from './layers/protocol.ts'
import { readOnlyMount, writableMount } from './mounts.ts'
import { derivedPrefix, type SnapshotRecord, SnapshotRecords } from './records.ts'

/** What the images room needs beyond the contract: layers from archives, and a say in what stays. */
export interface SnapshotStore extends Snapshots {
  /**
   * Unpacks a layer archive (plain, gzip or zstd; a file or a stream) onto `parent` and commits it as `name`. Known
   * already: resolves with undefined and touches nothing. Where only its diff's digest tells what it is to be called, `name` is
   * asked for that then: what is called the same has to be the same, with all that is below it.
   * `check` sees the archive's digest before the commit and may throw. Known but missing on disk: it is put back.
   */
  unpack(
    name: string | ((diffId: Digest) => string),
    parent: string | undefined,
    source: LayerSource,
    options?: UnpackOptions,
  ): Promise<(UnpackResult & { name: string }) | undefined>
  /** Digest and length of diff(), remembered for committed ones; of the archive it came from for one unpacked with a name. */
  measure(key: string, signal?: AbortSignal): Promise<{ diffId: Digest; tarSize: number }>
  /** Is the committed snapshot here, on disk too? */
  intact(key: string): boolean
  /** Does diff() give the very bytes the layer was unpacked from? Then nobody needs to keep those. */
  reproduces(key: string, signal?: AbortSignal): Promise<boolean>
  /** Writes diff(), or an archive, into `to` in some form: the same bytes for the same. `grew` is told how large that is by now. */
  pack(
    from: { key: string } | { file: string; digest: Digest },
    form: PackForm,
    to: string,
    options?: { signal?: AbortSignal | undefined; grew?: (bytes: number) => void },
  ): Promise<PackResult>
  /** Keeps snapshots alive for `holder` even when their maker removes them. Synchronous: may be part of a transaction. */
  hold(keys: string[], holder: string): void
  /** Lets go; what nobody wants any more is deleted. `abandon`: also speaks for the maker of what `holder` held. Resolves with the bytes freed. */
  release(holder: string, options?: { abandon?: (key: string) => boolean }): Promise<number>
  /** Those whose names begin so. */
  holders(prefix: string): string[]
  /** release() for every holder whose name begins so. */
  releaseAll(prefix: string, options?: { abandon?: (key: string) => boolean }): Promise<void>
  /** Whoever made those with such keys does not want them any more: they go as soon as nobody else does. */
  abandon(which: (key: string) => boolean): Promise<void>
  /** Takes an active snapshot off the records; what was written in it becomes the directory `to`. */
  moveOut(key: string, to: string): Promise<void>
  /** Deletes directories without a record, active leftovers of unpacking, and what nobody wants. */
  recover(): Promise<void>
  close(): Promise<void>
}

/** `digest`: of the file as it is, verified. */
export type LayerSource = { file: string; digest?: Digest | undefined } | { stream: AsyncIterable<Uint8Array> }
export interface UnpackOptions {
  signal?: AbortSignal | undefined
  limits?: UnpackLimits | undefined
  check?: ((result: UnpackResult) => void) | undefined
  /** Paths of the archive to leave out (relative, clean). */
  omit?: string[] | undefined
  /** A small tar whose entries are put on top. */
  extra?: Uint8Array | undefined
}

const unpacking = 'unpacking-'

export const createSnapshots = (deps: Pick<EngineDeps, 'instance' | 'sys' | 'db' | 'log' | 'clock'>): SnapshotStore =>
  new OverlaySnapshots(deps)

class OverlaySnapshots implements SnapshotStore {
  readonly #deps: Pick<EngineDeps, 'instance' | 'sys' | 'db' | 'log' | 'clock'>
  readonly #records: SnapshotRecords
  readonly #pool: LayerPool
  readonly #base: string
  #unpacks = 0

  constructor(deps: Pick<EngineDeps, 'instance' | 'sys' | 'db' | 'log' | 'clock'>) {
    this.#deps = deps
    this.#records = new SnapshotRecords(deps.db)
    this.#pool = new LayerPool(deps.sys.files)
    this.#base = `${deps.instance.stateDir}/snapshots`
  }

  async prepare(key: string, parent: string | undefined): Promise<Mount> {
    const below = parent === undefined ? [] : this.#records.chain(this.#must(parent).n)
    if (below[0]?.committed === 0) throw new SlipwayError('conflict', `parent snapshot ${parent} is not committed`)
    if (this.#records.get(key)) throw taken(key)
    const lost = below.find((record) => !existsSync(this.#fs(record.n)))
    if (lost)
      throw new SlipwayError('internal', `the layer ${lost.key} of the image is gone from the disk`, {
        hint: 'Pull or load the image again.',
      })
    const n = this.#records.add({ key, parent: below[0]?.n ?? null, createdAt: this.#deps.clock.now(), labels: {} })
    try {
      // A handful of tiny calls: on a thread pool they would take ten times as long, and this is on the way of every start.
      mkdirSync(`${this.#base}/${n}/fs`, { recursive: true, mode: 0o755 })
      mkdirSync(`${this.#base}/${n}/work`)
      chmodSync(this.#base, 0o700)
      // The root of the merged view is the upper directory itself. As docker: it belongs to whom it does below, and
      // everybody may enter it, whatever an archive says of the directory that it was packed from.
      const root = below[0] ? lstatSync(this.#fs(below[0].n)) : { uid: 0, gid: 0 }
      chownSync(this.#fs(n), root.uid, root.gid)
      chmodSync(this.#fs(n), 0o755)
    } catch (error) {
      await this.#delete([n])
      throw error
    }
    return writableMount(
      this.#layer(n),
      below.map((record) => this.#fs(record.n)),
    )
  }

  async mounts(key: string): Promise<Mount> {
    const [own, ...below] = this.#records.chain(this.#must(key).n)
    const lowers = below.map((record) => this.#fs(record.n))
    return own!.committed ? readOnlyMount([this.#fs(own!.n), ...lowers]) : writableMount(this.#layer(own!.n), lowers)
  }

  async commit(key: string, name: string): Promise<void> {
    const record = this.#must(key)
    if (record.committed) throw new SlipwayError('conflict', `snapshot ${key} is committed already`)
    const known = this.#records.get(name)
    if (known && !this.intact(name)) {
      await this.#deleteDirectory(known.n)
      await rename(`${this.#base}/${record.n}`, `${this.#base}/${known.n}`)
    }
    if (known) return this.#delete([record.n])
    this.#records.commit(record.n, name, this.#deps.clock.now())
  }

  async unpack(
    name: string | ((diffId: Digest) => string),
    parent: string | undefined,
    source: LayerSource,
    options: UnpackOptions = {},
  ): Promise<(UnpackResult & { name: string }) | undefined> {
    if (typeof name === 'string' && this.intact(name)) return undefined
    const key = `${unpacking}${++this.#unpacks}`
    await this.prepare(key, parent)
    try {
      const [own, ...below] = this.#records.chain(this.#must(key).n)
      const result = await this.#pool.run(
        {
          op: 'unpack',
          file: 'file' in source ? source.file : undefined,
          digest: 'file' in source ? source.digest : undefined,
          root: this.#fs(own!.n),
          lowers: below.map((record) => this.#fs(record.n)),
          limits: options.limits ?? {},
          omit: options.omit ?? [],
          extra: options.extra,
        },
        { signal: options.signal, input: 'stream' in source ? source.stream : undefined },
      )
      options.check?.(result)
      const measured = typeof name === 'string' ? result : await this.measure(key, options.signal)
      this.#records.set(own!.n, { size: result.size, diffId: measured.diffId, tarSize: measured.tarSize })
      const committed = typeof name === 'string' ? name : name(measured.diffId)
      await this.commit(key, committed)
      return { ...result, name: committed }
    } catch (error) {
      await this.remove(key)
      throw error
    }
  }

  async receive(
    key: string,
    parent: string | undefined,
    { file, digest, diffId }: { file: string; digest: Digest; diffId: Digest },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.unpack(
      key,
      parent,
      { file, digest },
      {
        signal,
        check: (result) => {
          if (result.diffId !== diffId)
            throw new SlipwayError('invalid', `layer ${digest} has content ${result.diffId}, expected ${diffId}`)
        },
      },
    )
  }

  async stat(key: string): Promise<SnapshotInfo | undefined> {
    const record = this.#records.get(key)
    return record && this.#info(record, await this.#size(record))
  }

  pathOf(key: string): string | undefined {
    const record = this.#records.get(key)
    return record && this.#fs(record.n)
  }

  asideOf(key: string): string | undefined {
    const record = this.#records.get(key)
    return record && `${this.#base}/${record.n}/aside`
  }

  keys(): string[] {
    return this.#records.all().map(({ key }) => key)
  }

  withParents(keys: readonly string[]): Set<string> {
    const found = new Set<string>()
    for (const key of keys) {
      const record = found.has(key) ? undefined : this.#records.get(key)
      for (const each of record ? this.#records.chain(record.n) : []) found.add(each.key)
    }
    return found
  }

  async list(): Promise<SnapshotInfo[]> {
    const infos: SnapshotInfo[] = []
    for (const record of this.#records.all()) {
      const size = await this.#size(record).catch((error: unknown) => {
        if (this.#records.get(record.key)) throw error
        return 0 // removed meanwhile
      })
      infos.push(this.#info(record, size))
    }
    return infos
  }

  async remove(key: string): Promise<void> {
    const record = this.#records.get(key)
    if (!record) return
    if (this.#records.isHeld(record.n)) return this.#records.set(record.n, { kept: 0 })
    if (this.#records.childCount(record.n) > 0)
      throw new SlipwayError('conflict', `snapshot ${key} has snapshots on top of it`)
    await this.#reap(record)
  }

  async moveOut(key: string, to: string): Promise<void> {
    await rename(this.#fs(this.#must(key).n), to)
    await this.remove(key)
  }

  async diff(key: string): Promise<Readable> {
    const record = this.#must(key)
    const stop = new AbortController()
    const stream = new Readable({
      highWaterMark: 1 << 20,
      read: () => resume?.(),
      destroy: (error, done) => {
        stop.abort(error)
        done(error)
      },
    })
    let resume: (() => void) | undefined
    const output = async (chunk: Buffer): Promise<void> => {
      if (!stream.push(chunk)) await new Promise<void>((go) => (resume = go))
    }
    this.#pool
      .run({ op: 'diff', root: this.#fs(record.n), output: { to: 'port' } }, { signal: stop.signal, output })
      .then(
        () => stream.push(null),
        (error: unknown) => stream.destroy(error as Error),
      )
    return stream
  }

  async diffId(key: string): Promise<Digest> {
    return (await this.measure(key)).diffId
  }

  async measure(key: string, signal?: AbortSignal): Promise<{ diffId: Digest; tarSize: number }> {
    const record = this.#must(key)
    if (record.diffId !== null && record.tarSize !== null) return { diffId: record.diffId, tarSize: record.tarSize }
    const result = await this.#pool.run({ op: 'diff', root: this.#fs(record.n), output: { to: 'digest' } }, { signal })
    const { diffId, tarSize, size } = result
    if (record.committed) this.#records.set(record.n, { diffId, tarSize, size })
    return { diffId, tarSize }
  }

  intact(key: string): boolean {
    const record = this.#records.get(key)
    return record?.committed === 1 && existsSync(this.#fs(record.n))
  }

  async reproduces(key: string, signal?: AbortSignal): Promise<boolean> {
    const record = this.#must(key)
    const { diffId } = await this.#pool.run(
      { op: 'diff', root: this.#fs(record.n), output: { to: 'digest' } },
      { signal },
    )
    return diffId === record.diffId
  }

  async pack(
    from: { key: string } | { file: string; digest: Digest },
    form: PackForm,
    to: string,
    options: { signal?: AbortSignal | undefined; grew?: (bytes: number) => void } = {},
  ): Promise<PackResult> {
    const source = 'key' in from ? { root: this.#fs(this.#must(from.key).n) } : from
    return await this.#pool.run({ op: 'pack', from: source, form, file: to }, options)
  }

  async trim(key: string): Promise<void> {
    const [own, ...below] = this.#records.chain(this.#must(key).n)
    if (own!.committed) throw new SlipwayError('conflict', `snapshot ${key} is committed already`)
    const lowers = below.map((record) => this.#fs(record.n))
    await this.#pool.run({ op: 'trim', root: this.#fs(own!.n), lowers })
  }

  async changes(key: string): Promise<{ path: string; kind: 'modified' | 'added' | 'deleted' }[]> {
    const [own, ...below] = this.#records.chain(this.#must(key).n)
    const lowers = below.map((record) => this.#fs(record.n))
    return this.#pool.run({ op: 'changes', root: this.#fs(own!.n), lowers })
  }

  hold(keys: string[], holder: string): void {
    const missing = this.#records.hold(keys, holder)
    if (missing !== undefined) throw noSnapshot(missing)
  }

  async release(holder: string, options: { abandon?: (key: string) => boolean } = {}): Promise<number> {
    const held = this.#records.transaction(() => {
      const records = this.#records.release(holder)
      for (const record of records) if (options.abandon?.(record.key)) this.#records.set(record.n, { kept: 0 })
      return records
    })
    let freed = 0
    for (const { key } of held) freed += await this.#reapUnwanted(key)
    return freed
  }

  holders(prefix: string): string[] {
    return this.#records.holders(prefix)
  }

  async releaseAll(prefix: string, options: { abandon?: (key: string) => boolean } = {}): Promise<void> {
    for (const holder of this.#records.holders(prefix)) await this.release(holder, options)
  }

  async abandon(which: (key: string) => boolean): Promise<void> {
    for (const { n, key } of this.#records.all().reverse()) {
      if (!which(key)) continue
      this.#records.set(n, { kept: 0 })
      await this.#reapUnwanted(key)
    }
  }

  async recover(): Promise<void> {
    for (const record of this.#records.all().reverse()) {
      if (!record.committed && record.key.startsWith(unpacking)) await this.#delete([record.n])
      else if (!record.kept) await this.#reapUnwanted(record.key)
    }
    const known = new Set(this.#records.all().map((record) => String(record.n)))
    const present = new Set(await readdir(this.#base).catch(none))
    for (const name of present)
      if (!known.has(name)) await this.#pool.run({ op: 'delete', path: `${this.#base}/${name}` })
    for (const record of this.#records.all()) {
      if (present.has(String(record.n))) continue
      // A daemon killed between the record and the directory, or somebody who deleted the directory.
      if (!record.committed && this.#records.childCount(record.n) === 0) this.#records.delete(record.n)
      else this.#deps.log.error('a layer is missing on disk', { key: record.key, directory: this.#fs(record.n) })
    }
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  /** Deletes a snapshot nobody holds, and then those below it that were only kept for its sake. */
  async #reap(record: SnapshotRecord): Promise<number> {
    const doomed = this.#records.transaction(() => {
      const gone: SnapshotRecord[] = []
      for (const each of this.#records.chain(record.n)) {
        // It goes, or stays, with its parent.
        if (each.key.startsWith(derivedPrefix) && this.#records.childCount(each.n) === 0) continue
        const wanted = each.n !== record.n && each.kept === 1
        if (wanted || this.#records.isHeld(each.n) || this.#records.childCount(each.n) > 0) break
        for (const one of [...this.#records.derivedFrom(each.n), each]) {
          this.#records.delete(one.n)
          gone.push(one)
        }
      }
      return gone
    })
    // What a container has written is mostly little; a whole layer is work for a thread.
    for (const { n, committed } of doomed) {
      if (committed) await this.#deleteDirectory(n)
      else await rm(`${this.#base}/${n}`, { recursive: true, force: true })
    }
    return doomed.reduce((sum, { size }) => sum + (size ?? 0), 0)
  }

  async #reapUnwanted(key: string): Promise<number> {
    const record = this.#records.get(key)
    if (!record || record.kept || this.#records.isHeld(record.n) || this.#records.childCount(record.n) > 0) return 0
    return this.#reap(record)
  }

  async #delete(ns: number[]): Promise<void> {
    for (const n of ns) {
      this.#records.delete(n)
      await this.#deleteDirectory(n)
    }
  }

  #deleteDirectory(n: number): Promise<undefined> {
    return this.#pool.run({ op: 'delete', path: `${this.#base}/${n}` })
  }

  async #size(record: SnapshotRecord): Promise<number> {
    if (record.committed && record.size !== null) return record.size
    const size = await this.#pool.run({ op: 'usage', root: this.#fs(record.n) })
    if (record.committed) this.#records.set(record.n, { size })
    return size
  }

  #info(record: SnapshotRecord, size: number): SnapshotInfo {
    const parent = record.parent === null ? undefined : this.#records.keyOf(record.parent)
    return {
      key: record.key,
      parent,
      state: record.committed ? 'committed' : 'active',
      createdAt: record.createdAt,
      size,
      path: this.#fs(record.n),
      labels: JSON.parse(record.labels) as Record<string, string>,
    }
  }

  #must(key: string): SnapshotRecord {
    const record = this.#records.get(key)
    if (!record) throw noSnapshot(key)
    return record
  }

  #fs(n: number): string {
    return `${this.#base}/${n}/fs`
  }

  #layer(n: number): { fs: string; work: string } {
    return { fs: this.#fs(n), work: `${this.#base}/${n}/work` }
  }
}

const noSnapshot = (key: string): SlipwayError => new SlipwayError('not-found', `snapshot ${key} does not exist`)

const taken = (key: string): SlipwayError => new SlipwayError('already-exists', `snapshot ${key} exists already`)

const none = (error: NodeJS.ErrnoException): string[] => {
  if (error.code === 'ENOENT') return []
  throw error
}
