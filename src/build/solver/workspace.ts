/** A directory under the run directory where one step's mounts live; closing it leaves nothing. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import type { Snapshots } from '../../engine/types.ts'
import { kernelAtLeast } from '../../lib/kernel.ts'
import type { Mount, Mounts } from '../../sys/sys.ts'

/** Active snapshots of steps that have not ended; recover() removes them. */
export const activePrefix = 'build-active-'

export class Workspace {
  readonly directory: string
  readonly #mounts: Mounts
  readonly #snapshots: Snapshots
  readonly #active = new Set<string>()
  #count = 0

  constructor(base: string, mounts: Mounts, snapshots: Snapshots) {
    this.directory = join(base, randomUUID())
    this.#mounts = mounts
    this.#snapshots = snapshots
    mkdirSync(this.directory, { recursive: true, mode: 0o700 })
  }

  /** A fresh empty directory. */
  make(name: string): string {
    const path = join(this.directory, `${++this.#count}-${name}`)
    mkdirSync(path)
    return path
  }

  /** A writable root filesystem on top of `parent`; `upper` is the directory that takes what is written there. */
  async writable(parent: string | undefined): Promise<{ key: string; root: string; upper: string }> {
    const key = activePrefix + randomUUID()
    const mount = await this.#snapshots.prepare(key, parent)
    this.#active.add(key)
    const root = this.make('rootfs')
    this.#mounts.mount({ ...unsynced(mount), target: root })
    return { key, root, upper: upperOf(mount) }
  }

  /** A committed snapshot to read from; undefined is an empty directory. */
  async readable(snapshot: string | undefined): Promise<string> {
    const root = this.make('source')
    if (snapshot !== undefined) this.#mounts.mount({ ...(await this.#snapshots.mounts(snapshot)), target: root })
    return root
  }

  unmount(root: string): void {
    this.#mounts.unmount(root)
  }

  async commit(key: string, name: string): Promise<void> {
    await this.#snapshots.commit(key, name)
    this.#active.delete(key)
  }

  /** Unmounts, deletes, and drops what was not committed. */
  async close(): Promise<void> {
    clearDirectory(this.#mounts, this.directory)
    for (const key of this.#active) await this.#snapshots.remove(key)
  }
}

/**
 * Steps do not wait for the disk, neither in fsync nor when they are unmounted: all they wrote counts only when the whole step
 * is finished, and is written out at once then (decision 7).
 */
const unsynced = (mount: Mount): Mount =>
  mount.type === 'overlay' && kernelAtLeast(release(), '5.10')
    ? { ...mount, options: [...mount.options, 'volatile'] }
    : mount

const upperOf = ({ type, source, options }: Mount): string =>
  type === 'bind'
    ? source
    : options
        .find((option) => option.startsWith('upperdir='))!
        .slice('upperdir='.length)
        .replace(/\\(.)/g, '$1')

/** Unmounts everything at and below `path`, last first, and deletes it; with a mount left nothing is deleted. */
export const clearDirectory = (mounts: Mounts, path: string): void => {
  for (const { target } of mounts.below(path).reverse()) mounts.unmount(target, { detach: true })
  if (mounts.below(path).length === 0) rmSync(path, { recursive: true, force: true })
}
