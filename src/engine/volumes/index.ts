import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import { migrate, putAside, transaction } from '../../lib/database.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import { removeTree, unmountBelow } from '../runtime/remove-tree.ts'
import type { Volume, VolumeSpec, Volumes } from '../types.ts'
import { driverMount } from './driver-options.ts'

/** What the containers need beyond the public interface. */
export interface VolumeStore extends Volumes {
  /** The directory to bind, mounted first where driver options say so. `holder` keeps it mounted. */
  acquire(name: string, holder: string): Promise<string>
  /** The volume `name`, made if it does not exist. An anonymous one goes with the container it was made for. */
  ensure(name: string, anonymous: boolean): Volume
  /** Where the directory of a volume is, or will be. */
  pathOf(name: string): string
  /** Lets go of all that `holder` has acquired, and says what it was. */
  release(holder: string): string[]
  /** Unmounts what an earlier daemon mounted and nobody holds, removes directories without a record. */
  recover(): Promise<void>
}

const steps = [`CREATE TABLE volumes (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT`]

const validName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/

const sameOptions = (a: Record<string, string>, b: Record<string, string>): boolean => {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}

const newVolume = (root: string, spec: VolumeSpec, anonymous: boolean, createdAt: number): Volume => {
  if (!validName.test(spec.name))
    throw new SlipwayError(
      'bad-request',
      `create ${spec.name}: "${spec.name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    )
  driverMount(spec.options)
  return { spec, mountpoint: join(root, spec.name, '_data'), anonymous, createdAt }
}

const mustBeLocal = (spec: VolumeSpec): void => {
  if (spec.driver !== 'local' && spec.driver !== '')
    throw new SlipwayError(
      'not-found',
      `error looking up volume plugin ${spec.driver}: plugin "${spec.driver}" not found`,
    )
}

const mustMatch = (existing: Volume, spec: VolumeSpec): void => {
  if (Object.keys(spec.options).length > 0 && !sameOptions(existing.spec.options, spec.options))
    throw new SlipwayError('conflict', `create ${spec.name}: conflict: volume name must be unique`, {
      hint: 'A volume of this name exists with other driver options.',
    })
}

const mustBeFree = (name: string, users: string[]): void => {
  if (users.length > 0) throw new SlipwayError('conflict', `remove ${name}: volume is in use - [${users.join(', ')}]`)
}

/** Removes directories without a record. */
const sweep = async ({ sys, log }: EngineDeps, root: string, volumes: ReadonlyMap<string, Volume>): Promise<void> => {
  for (const name of await namesIn(root)) {
    if (volumes.has(name)) continue
    log.info('removing a volume directory without a record', { name })
    removeTree(sys.mounts, join(root, name))
  }
}

const existing = (volume: Volume | undefined, name: string): Volume => {
  if (!volume) throw new SlipwayError('not-found', `get ${name}: no such volume`)
  return volume
}

const byName = (a: Volume, b: Volume): number => a.spec.name.localeCompare(b.spec.name)

/** A record that cannot be read is made anew from its name: a directory without one would be removed, and its data with it. */
const load = (db: DatabaseSync, root: string, now: number): Map<string, Volume> => {
  const volumes = new Map<string, Volume>()
  for (const row of db.prepare('SELECT name, record FROM volumes').all() as { name: string; record: string }[]) {
    try {
      const volume = JSON.parse(row.record) as Volume
      if (volume.spec.name !== row.name) throw new SlipwayError('internal', 'is not the record of this volume')
      volumes.set(row.name, volume)
    } catch (error) {
      const volume = newVolume(root, { name: row.name, driver: 'local', options: {}, labels: {} }, false, now)
      transaction(db, () => {
        putAside(db, 'volumes', row, error)
        db.prepare('UPDATE volumes SET record = ? WHERE name = ?').run(JSON.stringify(volume), row.name)
      })
      volumes.set(row.name, volume)
    }
  }
  return volumes
}

/** The directory, and what driver options mount on it. */
const makeReady = async (deps: EngineDeps, { spec, mountpoint }: Volume): Promise<void> => {
  mkdirSync(mountpoint, { recursive: true, mode: 0o755 })
  const mount = driverMount(spec.options)
  if (mount && deps.sys.mounts.below(mountpoint).length === 0)
    await mountVolume(deps, { ...mount, target: mountpoint }, spec.name)
}

/** Who keeps which volume mounted. */
class Holders {
  readonly #of = new Map<string, Set<string>>()

  has(name: string): boolean {
    return this.#of.has(name)
  }
  add(name: string, holder: string): void {
    this.#of.set(name, (this.#of.get(name) ?? new Set()).add(holder))
  }
  /** Returns what it held. */
  drop(holder: string): string[] {
    const held = [...this.#of].filter(([, holders]) => holders.delete(holder))
    for (const [name, holders] of held) if (holders.size === 0) this.#of.delete(name)
    return held.map(([name]) => name)
  }
}

/** `usersOf` names the containers that refer to a volume. */
export const createVolumes = (deps: EngineDeps, usersOf: (name: string) => string[]): VolumeStore => {
  const { instance, sys, db, events, clock } = deps
  migrate(db, 'volumes', steps)
  const root = join(instance.stateDir, 'volumes')
  const volumes = load(db, root, clock.now())
  const holders = new Holders()
  const locks = new KeyedMutex()
  const must = (name: string): Volume => existing(volumes.get(name), name)
  const emit = ({ spec: { name, driver } }: Volume, action: string): void =>
    events.emit({ type: 'volume', action, id: name, attributes: { driver } })

  const make = (spec: VolumeSpec, anonymous: boolean): Volume => {
    const volume = newVolume(root, spec, anonymous, clock.now())
    // The record first: a directory without one is removed by recover, a record without one is mended by acquire.
    db.prepare('INSERT INTO volumes (name, record) VALUES (?, ?)').run(spec.name, JSON.stringify(volume))
    volumes.set(spec.name, volume)
    mkdirSync(volume.mountpoint, { recursive: true, mode: 0o755 })
    emit(volume, 'create')
    return volume
  }

  const unmountIfFree = (name: string): string => {
    const volume = volumes.get(name)
    if (volume && !holders.has(name) && driverMount(volume.spec.options))
      sys.mounts.unmount(volume.mountpoint, { detach: true })
    return name
  }

  return {
    async create(spec) {
      mustBeLocal(spec)
      const anonymous = spec.name === ''
      const name = anonymous ? randomBytes(32).toString('hex') : spec.name
      const known = volumes.get(name)
      if (!known) return make({ ...spec, name, driver: 'local' }, anonymous)
      mustMatch(known, spec)
      return known
    },
    get: (name) => volumes.get(name),
    pathOf: (name) => join(root, name, '_data'),
    ensure: (name, anonymous) =>
      volumes.get(name) ?? make({ name, driver: 'local', options: {}, labels: {} }, anonymous),
    list: () => [...volumes.values()].sort(byName),
    remove: (name, options = {}) =>
      locks.run(name, async () => {
        if (options.force && !volumes.has(name)) return
        const volume = must(name)
        mustBeFree(name, usersOf(name))
        unmountBelow(sys.mounts, volume.mountpoint)
        db.prepare('DELETE FROM volumes WHERE name = ?').run(name)
        volumes.delete(name)
        removeTree(sys.mounts, join(root, name))
        emit(volume, 'destroy')
      }),
    size: async (name) => directorySize(must(name).mountpoint),
    acquire: (name, holder) =>
      locks.run(name, async () => {
        const volume = must(name)
        await makeReady(deps, volume)
        holders.add(name, holder)
        return volume.mountpoint
      }),
    release: (holder) => holders.drop(holder).map(unmountIfFree),
    async recover() {
      for (const name of volumes.keys()) unmountIfFree(name)
      await sweep(deps, root, volumes)
    },
  }
}

/** A kernel without the mount helper's knowledge (nfs addresses) needs mount(8); all else is one system call. */
const mountVolume = async (
  deps: EngineDeps,
  mount: { type: string; source: string; target: string; options: string[] },
  name: string,
): Promise<void> => {
  try {
    if (mount.type.startsWith('nfs') || mount.type === 'cifs')
      await deps.sys.processes.must(
        ['mount', '-t', mount.type, '-o', mount.options.join(','), mount.source, mount.target],
        { timeoutMs: 60_000 },
      )
    else deps.sys.mounts.mount(mount)
  } catch (cause) {
    throw new SlipwayError(
      'internal',
      `error while mounting volume '${name}': failed to mount local volume: mount ${mount.source}:${mount.target}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

const namesIn = async (dir: string): Promise<string[]> => {
  const names: string[] = []
  try {
    for await (const entry of await opendir(dir)) names.push(entry.name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return names
}

/** Bytes on disk, hard links counted once. */
const directorySize = async (root: string): Promise<number> => {
  const seen = new Set<string>()
  let total = 0
  const todo = [root]
  for (let dir = todo.pop(); dir !== undefined; dir = todo.pop()) {
    for (const name of await namesIn(dir)) {
      const path = join(dir, name)
      const stat = await lstat(path).catch(() => undefined)
      if (!stat) continue
      if (stat.isDirectory()) todo.push(path)
      else if (stat.nlink > 1 && seen.has(`${stat.dev}:${stat.ino}`)) continue
      else total += stat.size
      if (stat.nlink > 1) seen.add(`${stat.dev}:${stat.ino}`)
    }
  }
  return total
}
