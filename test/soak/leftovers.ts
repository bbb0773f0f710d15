/** What is on the machine and on the disk when nobody does anything, beside what should be. */
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { instanceOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import type { ImageConfig } from '../../src/spec/oci/index.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import { descendants } from './troubles.ts'
import type { World } from './world.ts'

const inside = (path: string): string[] => (existsSync(path) ? readdirSync(path).sort() : [])

/** What the firewall knows of containers and networks. */
export const rules = async ({ home }: World): Promise<string[]> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  const table = (await createLinux(instance, silentLog).firewall.list('inet', instance.nftTable)) ?? ''
  // Subnets of networks stay.
  return table.split('\n').filter((line) => /\belements = \{/.test(line) && !/\d\/\d/.test(line))
}

/** Nothing of this may be there once no container is. `before`: rules when none was. */
export const remains = async (world: World, before: readonly string[]): Promise<string[]> => {
  const { home } = world
  const instance = instanceOf({ SLIPWAY_HOME: home })
  const sys = createLinux(instance, silentLog)
  const found: string[] = []
  const none = (what: string, those: readonly unknown[]): void => {
    if (those.length > 0)
      found.push(`${what}: ${those.slice(0, 8).join(', ')}${those.length > 8 ? ` and ${those.length - 8} more` : ''}`)
  }
  const mounts = sys.mounts.below(home).map(({ target }) => target)
  none(
    'mounts',
    mounts.filter((target) => !/\/run$|\/run\/runtime(\/mnt)?$/.test(target)),
  )
  none(
    'mounts twice',
    mounts.filter((target, i) => mounts.indexOf(target) !== i),
  )
  for (const dir of ['build', 'steps', 'sandboxes', 'oci', 'views', 'execs', 'persist', 'exits', 'containers'])
    none(`run/${dir}`, inside(join(home, 'run', dir)))
  for (const dir of ['containers', 'sandboxes', 'build/contexts', 'damaged'])
    none(`lib/${dir}`, inside(join(home, 'lib', dir)))
  none(
    'ingest',
    inside(join(home, 'lib/content/ingest')).filter((name) => !name.endsWith('.partial')),
  )
  none(
    'half mounts',
    inside(join(home, 'lib/build/cache-mounts')).filter((name) => /\W/.test(name)),
  )
  none(
    'links',
    readdirSync('/sys/class/net').filter((name) => new RegExp(`^${instance.linkPrefix}v`).test(name)),
  )
  none(
    'rules',
    (await rules(world)).filter((line) => !before.includes(line)),
  )
  none('processes in cgroups', sys.cgroups.pids(instance.cgroupParent))
  none(
    'processes',
    descendants(world.pid)
      .map((pid) => cmdline(pid))
      .filter((line) => !line.includes('slipway-supervisor')),
  )
  none('cgroups', cgroupsOf(instance.cgroupParent))
  none(
    'temporary files',
    inside(join(home, '..')).filter((name) => name !== home.split('/').at(-1)),
  )
  return found
}

const cmdline = (pid: number): string => {
  try {
    return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`
  } catch {
    return `${pid}`
  }
}

/** Groups below the instance's own, in every hierarchy. */
const cgroupsOf = (parent: string): string[] =>
  execFileSync(
    'sh',
    ['-c', `find /sys/fs/cgroup -maxdepth 4 -mindepth 2 -type d -path '*${parent}/*' 2>/dev/null || true`],
    { encoding: 'utf8' },
  )
    .split('\n')
    .filter(Boolean)

/** Records without their files, files without records, and what nobody lets go. */
export const disagreements = (lib: string, database = 'slipway.db'): string[] => {
  const db = new DatabaseSync(join(lib, database), { readOnly: true })
  const found: string[] = []
  const all = (query: string): Record<string, string | number | null>[] => db.prepare(query).all() as never
  const column = (query: string): string[] => all(query).map((row) => String(Object.values(row)[0]))
  const same = (what: string, records: string[], files: string[]): void => {
    const only = (those: string[], others: string[]): string[] => those.filter((one) => !others.includes(one))
    const [lost, stray] = [only(records, files), only(files, records)]
    if (lost.length > 0) found.push(`${what} without files: ${lost.join(', ')}`)
    if (stray.length > 0) found.push(`${what} without records: ${stray.join(', ')}`)
  }
  try {
    for (const row of column('PRAGMA integrity_check')) if (row !== 'ok') found.push(`database: ${row}`)
    if (all('PRAGMA foreign_key_check').length > 0) found.push('database: foreign keys')
    const snapshots = all('SELECT * FROM snapshots')
    same(
      'snapshots',
      snapshots.map(({ n }) => String(n)),
      inside(join(lib, 'snapshots')),
    )
    same(
      'blobs',
      column('SELECT DISTINCT digest FROM layer_blobs'),
      inside(join(lib, 'content/blobs/sha256')).map((name) => `sha256:${name}`),
    )
    same('cache mounts', column('SELECT id FROM build_mounts'), inside(join(lib, 'build/cache-mounts')))
    const keys = new Set(snapshots.map(({ key }) => String(key)))
    const holders = new Set(column("SELECT n || ' ' || holder FROM snapshot_holders"))
    for (const { id, snapshots: list } of all('SELECT * FROM images'))
      for (const key of JSON.parse(String(list)) as string[]) {
        const one = snapshots.find((each) => each.key === key)
        if (!one) found.push(`image ${id} lacks snapshot ${key}`)
        else if (!holders.has(`${one.n} image:${id}`)) found.push(`image ${id} does not hold snapshot ${key}`)
      }
    // What a container sees is a layer and its parents: they have to be those that the image tells of.
    for (const { id, config, snapshots: list } of all('SELECT * FROM images')) {
      const { diff_ids: wanted } = (JSON.parse(String(config)) as ImageConfig).rootfs
      const chain: (typeof snapshots)[number][] = []
      const top = (JSON.parse(String(list)) as string[]).at(-1)
      for (let one = snapshots.find(({ key }) => key === top); one; ) {
        chain.unshift(one)
        const { parent } = one
        one = snapshots.find(({ n }) => n === parent)
      }
      const right = chain.length === wanted.length && chain.every(({ diffId }, i) => !diffId || diffId === wanted[i])
      if (!right)
        found.push(
          `image ${id} has ${wanted.join(' ')}, and its top stands on ${chain.map(({ diffId }) => diffId).join(' ')}`,
        )
    }
    const images = new Set(column('SELECT id FROM images'))
    for (const each of holders) {
      const [n, holder = ''] = [each.split(' ')[0], each.slice(each.indexOf(' ') + 1)]
      if (!holder.startsWith('image:')) found.push(`snapshot ${n} is held by ${holder}`)
      else if (!images.has(holder.slice('image:'.length))) found.push(`snapshot ${n} is held by an image that is gone`)
    }
    for (const { key, committed, kept, n } of snapshots) {
      if (!committed) found.push(`snapshot ${key} is not committed`)
      const wanted =
        kept || [...holders].some((each) => each.startsWith(`${n} `)) || snapshots.some((each) => each.parent === n)
      if (!wanted) found.push(`nobody wants snapshot ${key}`)
    }
    for (const { id, snapshot } of all('SELECT id, snapshot FROM build_records WHERE snapshot IS NOT NULL'))
      if (!keys.has(String(snapshot))) found.push(`step ${id} lacks snapshot ${snapshot}`)
    const steps = new Set(column('SELECT snapshot FROM build_records WHERE snapshot IS NOT NULL'))
    // Layers of images are called by their chain, those of steps by steps; each has one who wants it.
    for (const { key, n, parent } of snapshots) {
      const held = [...holders].some((each) => each.startsWith(`${n} `)) || snapshots.some((each) => each.parent === n)
      if (!held && !steps.has(String(key)) && !String(key).startsWith('derived-'))
        found.push(`snapshot ${key} (on ${parent}) belongs to nothing`)
    }
  } finally {
    db.close()
  }
  return found
}

const bytesBelow = (path: string): number =>
  Number(
    execFileSync('sh', ['-c', `find '${path}' -type f -printf '%i %s\\n' | sort -u | awk '{s+=$2} END {print s+0}'`], {
      encoding: 'utf8',
    }),
  )

/** What `docker system df` says, beside what is there. */
export const usageGaps = async (world: World): Promise<string[]> => {
  const usage = JSON.parse(
    await world.must(['curl', '-sf', '--unix-socket', join(world.home, 'run/docker.sock'), 'http://d/system/df']),
  ) as {
    LayersSize: number
    BuildCache: { Type: string; Description: string; Size: number; Shared: boolean }[] | null
  }
  const lib = join(world.home, 'lib')
  const layers = inside(join(lib, 'snapshots')).reduce((sum, n) => sum + bytesBelow(join(lib, 'snapshots', n, 'fs')), 0)
  const blobs = bytesBelow(join(lib, 'content/blobs'))
  // Copies of contexts and mounts lie elsewhere.
  const steps = (usage.BuildCache ?? []).filter(
    ({ Type, Description, Shared }) =>
      !Shared && (Type === 'regular' || (Type === 'source.local' && !Description.startsWith('copy of'))),
  )
  const told = usage.LayersSize + steps.reduce((sum, { Size }) => sum + Size, 0)
  return told === layers + blobs
    ? []
    : [
        `df tells of ${told} bytes in layers and archives (${usage.LayersSize} of images), and there are ${layers} + ${blobs}`,
      ]
}

/** File descriptors by what they are, threads, and resident memory in MB. */
export const vitals = (world: World): { fds: number; kinds: Record<string, number>; threads: number; rss: number } => {
  const proc = `/proc/${world.pid}`
  const kinds: Record<string, number> = {}
  for (const fd of readdirSync(`${proc}/fd`)) {
    try {
      const target = readlinkSync(`${proc}/fd/${fd}`)
      const kind = target.replace(/\d+/g, 'N').replace(world.home, '~')
      kinds[kind] = (kinds[kind] ?? 0) + 1
    } catch {
      // the one that listed them
    }
  }
  const status = readFileSync(`${proc}/status`, 'utf8')
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1])
  return {
    fds: Object.values(kinds).reduce((a, b) => a + b, 0),
    kinds,
    threads: of('Threads'),
    rss: Math.round(of('VmRSS') / 1024),
  }
}

/** Bytes on the disk below the state directory, by its parts. */
export const sizes = (world: World): Record<string, number> => {
  const lib = join(world.home, 'lib')
  return Object.fromEntries(
    inside(lib).map((name) => {
      const path = join(lib, name)
      const kB = lstatSync(path).isDirectory()
        ? execFileSync('du', ['-sk', path], { encoding: 'utf8' }).split('\t')[0]
        : lstatSync(path).size / 1024
      return [name, Math.round(Number(kB))]
    }),
  )
}
