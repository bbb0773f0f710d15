import { open, readFile } from 'node:fs/promises'
import { chainIds, type Digest, type ImageConfig } from '../../spec/oci/index.ts'
import type { UnpackResult } from '../snapshots/index.ts'
import type { ImageStore, Lease } from './store.ts'

interface ArchiveFile {
  digest: Digest
  size: number
}

const largestConfig = 256 * 1024
/** More layers than images have: then it is something else. */
const mostLayers = 1000
/** A digest as a name: whoever writes such archives orders them by that. */
const byDigest = /(?:^|\/)[a-f0-9]{64}(?:\/layer\.tar)?$/

/**
 * Unpacks layers of an image's archive while the rest of it is still read. What the archive consists of is said at its end,
 * so this is a guess: layers stand in their order, or in that of a configuration that came before them. A snapshot is called by
 * what it was made of: one that nobody asks for in the end goes with the lease.
 */
export class EarlyLayers {
  readonly #store: ImageStore
  readonly #lease: Lease
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #order: Digest[] = []
  /** The order is that of a configuration. */
  #told = false
  readonly #came = new Set<Digest>()
  readonly #results = new Map<string, Promise<UnpackResult | undefined>>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(store: ImageStore, lease: Lease, signal: AbortSignal | undefined) {
    this.#store = store
    this.#lease = lease
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal
  }

  /** A file of the archive has come. */
  async seen(path: string, file: ArchiveFile): Promise<void> {
    const at = this.#store.content.path(file.digest)
    if (await isPlainTar(at)) {
      this.#came.add(file.digest)
      if (!this.#told && !byDigest.test(path)) this.#order.push(file.digest)
    } else if (!this.#told && this.#results.size === 0 && file.size <= largestConfig) await this.#config(at)
    for (let n = this.#results.size; n < mostLayers && this.#came.has(this.#order[n] ?? ''); n++) this.#begin(n)
  }

  /** What became of the layer; undefined: it was not unpacked here, and what was guessed besides is given up. */
  async result(key: string): Promise<UnpackResult | undefined> {
    const result = this.#results.get(key)
    if (!result) this.#stop.abort()
    this.#results.set(key, Promise.resolve(undefined)) // told once: from then on it is as any other that is here
    return await result
  }

  /** Nothing is under way any more. */
  async over(): Promise<void> {
    this.#stop.abort()
    await this.#last
  }

  #begin(n: number): void {
    const chain = chainIds(this.#order.slice(0, n + 1))
    const unpacking = this.#last.then(() => this.#unpack(chain[n]!, chain[n - 1], this.#order[n]!))
    // What fails here fails again when it is asked for, and is told then.
    this.#last = unpacking.catch(() => this.#stop.abort())
    this.#results.set(
      chain[n]!,
      unpacking.catch(() => undefined),
    )
  }

  async #unpack(key: string, parent: string | undefined, digest: Digest): Promise<UnpackResult | undefined> {
    const { content } = this.#store
    let result: UnpackResult | undefined
    const source = { file: content.path(digest), digest }
    await this.#lease.layer(key, parent, () => source, {
      signal: this.#signal,
      done: (unpacked) => (result = unpacked),
    })
    // It will have to be on the disk.
    if (result?.canonical === false) void content.settle(digest).catch(() => {}) // asked for again
    return result
  }

  /** A configuration that comes before the layers tells their order. */
  async #config(path: string): Promise<void> {
    const text = await readFile(path, 'utf8')
    if (!text.startsWith('{')) return
    try {
      const { rootfs } = JSON.parse(text) as Partial<ImageConfig>
      if (!Array.isArray(rootfs?.diff_ids) || rootfs.diff_ids.length === 0) return
      this.#order = rootfs.diff_ids.map(String)
      this.#told = true
    } catch {
      // not JSON: something else
    }
  }
}

const isPlainTar = async (path: string): Promise<boolean> => {
  const handle = await open(path, 'r')
  try {
    const { buffer } = await handle.read(Buffer.alloc(5), 0, 5, 257)
    return buffer.toString('latin1') === 'ustar'
  } finally {
    await handle.close()
  }
}
