/** `slipway system …`: docker's system commands for machines without a docker client, and reset. */
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { SlipwayError } from '../../../errors.ts'
import { instanceOf } from '../../../instance.ts'
import { err, out, table } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { type Call, family, filtersOf } from '../framework/subcommands.ts'
import { humanSize } from '../progress/transfer.ts'

interface Usage {
  LayersSize: number
  Images: { Size: number; SharedSize: number; Containers: number }[]
  Containers: { SizeRw: number; State: string }[]
  Volumes: { UsageData: { Size: number; RefCount: number } }[]
  BuildCache: { Size: number; InUse: boolean; Shared: boolean }[]
}

const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0)
const row = (what: string, all: number, active: number, size: number, reclaimable: number): string[] => [
  what,
  String(all),
  String(active),
  humanSize(size),
  `${humanSize(reclaimable)}${size > 0 && what !== 'Build Cache' ? ` (${Math.floor((reclaimable * 100) / size)}%)` : ''}`,
]

const df = async ({ shell, flags }: Call): Promise<number> => {
  const usage = await (await openEngine(shell)).json<Usage>('/system/df')
  if (flags.format === 'json') {
    out(shell, JSON.stringify(usage))
    return 0
  }
  const { Images, Containers, Volumes, BuildCache, LayersSize } = usage
  const up = ['running', 'paused', 'restarting']
  const idleImages = Images.filter((i) => i.Containers === 0)
  const idleContainers = Containers.filter((c) => !up.includes(c.State))
  const idleVolumes = Volumes.filter((v) => v.UsageData.RefCount === 0)
  const idleCache = BuildCache.filter((c) => !c.InUse && !c.Shared)
  const used = Images.length - idleImages.length
  const kept = sum(Images.filter((i) => i.Containers > 0).map((i) => i.Size - i.SharedSize))
  const rows = [
    row('Images', Images.length, used, LayersSize, used === 0 ? LayersSize : Math.max(0, LayersSize - kept)),
    row(
      'Containers',
      Containers.length,
      Containers.length - idleContainers.length,
      sum(Containers.map((c) => c.SizeRw)),
      sum(idleContainers.map((c) => c.SizeRw)),
    ),
    row(
      'Local Volumes',
      Volumes.length,
      Volumes.length - idleVolumes.length,
      sum(Volumes.map((v) => v.UsageData.Size)),
      sum(idleVolumes.map((v) => v.UsageData.Size)),
    ),
    row(
      'Build Cache',
      BuildCache.length,
      BuildCache.filter((c) => c.InUse).length,
      sum(BuildCache.map((c) => c.Size)),
      sum(idleCache.map((c) => c.Size)),
    ),
  ]
  out(shell, table(['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'], rows))
  return 0
}

const info = async ({ shell, flags }: Call): Promise<number> => {
  const about = await (await openEngine(shell)).json<Record<string, unknown>>('/info')
  if (flags.format === 'json') {
    out(shell, JSON.stringify(about))
    return 0
  }
  const shown: [string, string][] = [
    ['Containers', 'Containers'],
    [' Running', 'ContainersRunning'],
    [' Paused', 'ContainersPaused'],
    [' Stopped', 'ContainersStopped'],
    ['Images', 'Images'],
    ['Server Version', 'ServerVersion'],
    ['Storage Driver', 'Driver'],
    ['Logging Driver', 'LoggingDriver'],
    ['Cgroup Version', 'CgroupVersion'],
    ['Kernel Version', 'KernelVersion'],
    ['Operating System', 'OperatingSystem'],
    ['Architecture', 'Architecture'],
    ['CPUs', 'NCPU'],
    ['Total Memory', 'MemTotal'],
    ['Name', 'Name'],
    ['ID', 'ID'],
    ['Root Dir', 'DockerRootDir'],
    ['Live Restore Enabled', 'LiveRestoreEnabled'],
  ]
  for (const [title, key] of shown)
    out(shell, `${title}: ${key === 'MemTotal' ? `${(Number(about[key]) / 2 ** 30).toPrecision(4)}GiB` : about[key]}`)
  return 0
}

interface Event {
  Type: string
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  timeNano: number
  time: number
}

const events = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const query = {
    since: flags.since as string | undefined,
    until: flags.until as string | undefined,
    filters: filtersOf(flags.filter),
  }
  const answer = await engine.stream('/events', { query, signal: shell.signal })
  try {
    for await (const line of createInterface({ input: answer })) {
      if (flags.format === 'json') {
        out(shell, line)
        continue
      }
      const { Type, Action, Actor, time } = JSON.parse(line) as Event
      const attributes = Object.entries(Actor.Attributes).map(([k, v]) => `${k}=${v}`)
      const about = attributes.length > 0 ? ` (${attributes.sort().join(', ')})` : ''
      out(shell, `${new Date(time * 1000).toISOString()} ${Type} ${Action} ${Actor.ID}${about}`)
    }
  } catch (error) {
    if (!shell.signal.aborted) throw error
  }
  return shell.signal.aborted ? 130 : 0
}

const pruneAll = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const filters = filtersOf(flags.filter)
  let space = 0
  const prune = async (path: string, title: string, key: string, query: Record<string, string | undefined>) => {
    const answer = await engine.json<Record<string, unknown>>(path, { method: 'POST', query })
    space += Number(answer.SpaceReclaimed ?? 0)
    const gone = (answer[key] as (string | { Untagged?: string; Deleted?: string })[] | null) ?? []
    if (gone.length === 0) return
    out(shell, `${title}:`)
    for (const each of gone)
      out(
        shell,
        typeof each === 'string' ? each : each.Untagged ? `untagged: ${each.Untagged}` : `deleted: ${each.Deleted}`,
      )
    out(shell, '')
  }
  const given = (flags.filter as string[] | undefined) ?? []
  await prune('/containers/prune', 'Deleted Containers', 'ContainersDeleted', { filters })
  if (flags.volumes === true) await prune('/volumes/prune', 'Deleted Volumes', 'VolumesDeleted', { filters })
  await prune('/networks/prune', 'Deleted Networks', 'NetworksDeleted', { filters })
  const unused = flags.all === true ? filtersOf([...given, 'dangling=false']) : filters
  await prune('/images/prune', 'Deleted Images', 'ImagesDeleted', { filters: unused })
  if (given.every((f) => f.startsWith('until=')))
    await prune('/build/prune', 'Deleted build cache objects', 'CachesDeleted', {
      filters,
      all: flags.all === true ? '1' : undefined,
    })
  out(shell, `Total reclaimed space: ${humanSize(space)}`)
  return 0
}

const reset = async ({ shell, flags }: Call): Promise<number> => {
  const instance = instanceOf(shell.env)
  if (flags.yes !== true)
    throw new SlipwayError(
      'precondition',
      `this removes all containers, images, volumes and objects under ${instance.stateDir}`,
      { hint: 'If that is what you want: slipway system reset --yes' },
    )
  await shell.reset()
  for (const dir of [instance.runDir, instance.stateDir, instance.logDir]) rmSync(dir, { recursive: true, force: true })
  err(shell, `Everything under ${instance.home ?? instance.stateDir} is removed.`)
  return 0
}

const format = text('--format', 'FORMAT', 'text or json', ['text', 'json'])

export const system = family({
  name: 'system',
  summary: 'The instance as a whole',
  first: '',
  subcommands: {
    df: { usage: '', summary: 'Show disk usage', args: [0, 0], flags: [format], run: df },
    info: { usage: '', summary: 'What the engine is and has', args: [0, 0], flags: [format], run: info },
    events: {
      usage: '',
      summary: 'Tell what happens as it happens',
      args: [0, 0],
      flags: [
        text('--since', 'TIME', 'Also what has happened since: a time, or 10m'),
        text('--until', 'TIME', 'End then'),
        list('-f, --filter', 'NAME=VALUE', 'Only those it fits (type, event, container, image, label …)'),
        format,
      ],
      run: events,
    },
    prune: {
      usage: '',
      summary: 'Remove stopped containers, unused networks, nameless images and unused build cache',
      args: [0, 0],
      flags: [
        toggle('-a, --all', 'Every image that no container uses'),
        toggle('--volumes', 'Anonymous volumes, too'),
        toggle('-f, --force', 'Accepted for scripts: nothing is asked'),
        list('--filter', 'NAME=VALUE', 'Only those it fits (label, until)'),
      ],
      run: pruneAll,
    },
    reset: {
      usage: '',
      summary: 'Remove everything of this instance: containers, images, volumes, networks, objects',
      args: [0, 0],
      flags: [toggle('--yes', 'Really: all data of this instance is lost')],
      run: reset,
    },
  },
})
