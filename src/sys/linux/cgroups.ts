import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { posix } from 'node:path'
import type { Cgroups } from '../sys.ts'
import { flatKeyed, type ReadFile, statsV1, statsV2 } from './cgroup-files.ts'
import { callError } from './libc.ts'
import { parseMountInfo } from './mount-flags.ts'

interface Hierarchies {
  layout: Cgroups['layout']
  /** Mount point by v1 controller. */
  controllers: Map<string, string>
  unified: string | undefined
  /** All mount points. */
  roots: string[]
}

const notControllers = new Set([
  'rw',
  'ro',
  'nosuid',
  'nodev',
  'noexec',
  'relatime',
  'noatime',
  'xattr',
  'clone_children',
])

export const hierarchies = (mountinfo: string): Hierarchies => {
  const controllers = new Map<string, string>()
  let unified: string | undefined
  for (const entry of parseMountInfo(mountinfo)) {
    if (!entry.target.startsWith('/sys/fs/cgroup')) continue
    if (entry.type === 'cgroup2') unified = entry.target
    if (entry.type !== 'cgroup') continue
    for (const option of entry.options.split(','))
      if (!notControllers.has(option) && !controllers.has(option)) controllers.set(option, entry.target)
  }
  const layout = controllers.size === 0 ? 'v2' : unified === undefined ? 'v1' : 'hybrid'
  const roots = [...new Set([...controllers.values(), ...(unified === undefined ? [] : [unified])])]
  return { layout, controllers, unified, roots }
}

const vanished = new Set(['ENOENT', 'ENODEV', 'ENOTDIR'])

const readIfThere = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (vanished.has((error as NodeJS.ErrnoException).code!)) return undefined
    // Some files of the root cgroup, and of controllers that are off, refuse to be read.
    if ((error as NodeJS.ErrnoException).code === 'EOPNOTSUPP') return undefined
    throw error
  }
}

const childrenOf = (dir: string): string[] => {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [`${dir}/${entry.name}`] : [],
    )
  } catch (error) {
    if (vanished.has((error as NodeJS.ErrnoException).code!)) return []
    throw error
  }
}

const pidsBelow = (dir: string): number[] => [
  ...(readIfThere(`${dir}/cgroup.procs`)?.split('\n').filter(Boolean).map(Number) ?? []),
  ...childrenOf(dir).flatMap(pidsBelow),
]

const removeBelow = (dir: string): void => {
  for (const child of childrenOf(dir)) removeBelow(child)
  try {
    rmdirSync(dir)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (!vanished.has(code!)) throw callError(code!, `remove cgroup ${dir}`)
  }
}

/** Where this process is in the first hierarchy that it can name: [controllers, path] by /proc/self/cgroup. */
const ownCgroup = (text: string, dirOf: (controller: string, path: string) => string): string | undefined => {
  for (const line of text.split('\n')) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (names === undefined || names.startsWith('name=')) continue
    const dir = dirOf(names.split(',')[0]!, path === '/' ? '' : path!)
    if (existsSync(`${dir}/cgroup.procs`)) return dir
  }
  return undefined
}

/**
 * Who asks for the root cgroup, be it with a path that was lost on the way, would get every process of the machine, and mostly
 * to kill them.
 */
const below = (path: string): string => {
  if (!/^\/+[^/]/.test(posix.normalize(path))) throw callError('EINVAL', `cgroup '${path}' is not below the root`)
  return path
}

/** Writes this process into the cgroup it is in, which moves nothing but takes the lock of all moves. */
const createMover = (dirOf: (controller: string, path: string) => string): (() => void) => {
  let moving = false
  return () => {
    if (moving) return
    moving = true
    const own = ownCgroup(readFileSync('/proc/self/cgroup', 'utf8'), dirOf)
    const moved = own === undefined ? Promise.resolve() : writeFile(`${own}/cgroup.procs`, '0', { flag: 'r+' })
    void moved
      .catch(() => {}) // then the next one waits
      .finally(() => (moving = false))
  }
}

const thawBelow = (dir: string, file: string, value: string): void => {
  // From the top: what is frozen above cannot be let go below.
  if (existsSync(`${dir}/${file}`)) writeFileSync(`${dir}/${file}`, value)
  for (const child of childrenOf(dir)) thawBelow(child, file, value)
}

export const createCgroups = (): Cgroups => {
  const { layout, controllers, unified, roots } = hierarchies(readFileSync('/proc/self/mountinfo', 'utf8'))
  const dirOf = (controller: string, path: string): string => {
    const root = layout === 'v2' ? unified : (controllers.get(controller) ?? unified)
    return `${root ?? '/sys/fs/cgroup'}${path}`
  }
  const exists = (path: string): boolean => existsSync(dirOf('memory', path)) || existsSync(dirOf('pids', path))

  return {
    layout,
    stats(path) {
      if (!exists(path)) return undefined
      const read: ReadFile = (controller, file) => readIfThere(`${dirOf(controller, path)}/${file}`)
      return layout === 'v2' ? statsV2(read) : statsV1(read)
    },
    pids: (path) => [...new Set(roots.flatMap((root) => pidsBelow(`${root}${below(path)}`)))],
    thaw(path) {
      const [file, value] = layout === 'v2' ? ['cgroup.freeze', '0'] : ['freezer.state', 'THAWED']
      thawBelow(dirOf('freezer', below(path)), file, value)
    },
    remove(path) {
      for (const root of roots) if (existsSync(`${root}${below(path)}`)) removeBelow(`${root}${path}`)
    },
    expectMove: createMover(dirOf),
    unlimit(path, what) {
      const [file, value] =
        what === 'pids' ? ['pids.max', 'max'] : layout === 'v2' ? ['cpu.max', 'max'] : ['cpu.cfs_quota_us', '-1']
      writeFileSync(`${dirOf(what, path)}/${file}`, value)
    },
    oomKills(path) {
      const file = layout === 'v2' ? 'memory.events' : 'memory.oom_control'
      return flatKeyed(readIfThere(`${dirOf('memory', path)}/${file}`)).oom_kill ?? 0
    },
  }
}
