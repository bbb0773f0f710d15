import { encodeName, type TarEntry } from '../../../lib/tar/index.ts'
import { isLayerXattr } from './special.ts'

/**
 * Sees an archive's entries as they come: could it be what layerTar writes for the tree they make? False is certain: an
 * order, a missing directory or an attribute that layerTar never gives. True has to be seen by comparing digests.
 */
export class CanonicalForm {
  holds = true
  /** The directories the present entry may be in, from the root on, each with the last name in it. */
  readonly #open: { path: string; last: Buffer | undefined }[] = [{ path: '', last: undefined }]

  entry(entry: TarEntry): void {
    if (this.holds) this.holds = this.#follows(entry)
  }

  #follows({ path: named, type, uname, gname, mtimeNs, xattrs }: TarEntry): boolean {
    if (uname !== '' || gname !== '' || mtimeNs % 1_000_000_000n !== 0n) return false
    for (const name of xattrs.keys()) if (!isLayerXattr(name)) return false
    const path = type === 'directory' && named.endsWith('/') ? named.slice(0, -1) : named
    const cut = path.lastIndexOf('/')
    const [parent, name] = [cut < 0 ? '' : path.slice(0, cut), path.slice(cut + 1)]
    if (name === '' || name === '.' || name === '..') return false
    while (this.#open.length > 0 && this.#open.at(-1)!.path !== parent) this.#open.pop()
    const within = this.#open.at(-1)
    if (!within) return false
    if (!name.startsWith('.wh.')) {
      const bytes = Buffer.from(encodeName(name))
      if (within.last && Buffer.compare(within.last, bytes) >= 0) return false
      within.last = bytes
    }
    if (type === 'directory') this.#open.push({ path, last: undefined })
    return true
  }
}
