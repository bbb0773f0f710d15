import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { ociResources } from '../runtime/resources.ts'
import { networkStats } from '../stats/index.ts'
import type { Containers } from '../types.ts'
import { type Context, emit, isRunning } from './context.ts'
import { checkName } from './create.ts'

export const stats =
  (ctx: Context): Containers['stats'] =>
  async (reference) => {
    const record = ctx.records.must(reference)
    const cgroup = isRunning(record) ? ctx.sys.cgroups.stats(record.cgroup) : undefined
    if (!cgroup) throw new SlipwayError('conflict', `container ${record.id} is not running`)
    const netns = ctx.sandboxes.get(record.sandboxId)?.namespaces.net
    const networks = netns === undefined ? {} : networkStats(ctx.sys.namespaces, netns)
    return { time: ctx.clock.now(), cgroup, networks }
  }

/** Columns are as wide as they like; the last, the command, has blanks of its own. */
export const parsePs = (output: string, pids: ReadonlySet<number>): { titles: string[]; processes: string[][] } => {
  const [header = '', ...lines] = output.split('\n').filter((line) => line.trim() !== '')
  const titles = header.trim().split(/\s+/)
  const pidColumn = titles.indexOf('PID')
  if (pidColumn < 0) throw new SlipwayError('bad-request', "Couldn't find PID field in ps output")
  const processes = lines.flatMap((line) => {
    const words = line.trim().split(/\s+/)
    const row = [...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(' ')]
    return pids.has(Number(row[pidColumn])) ? [row] : []
  })
  return { titles, processes }
}

export const top =
  (ctx: Context): Containers['top'] =>
  async (reference, psArgs) => {
    const record = ctx.records.must(reference)
    if (!isRunning(record)) throw new SlipwayError('conflict', `container ${record.id} is not running`)
    const args = psArgs.length === 0 ? ['-ef'] : psArgs
    const pids = ctx.sys.cgroups.pids(record.cgroup)
    const result = await ctx.sys.processes.run(['ps', ...args], { timeoutMs: 10_000 })
    if (result.code !== 0) throw new SlipwayError('bad-request', `ps: ${result.stderr.trim()}`)
    emit(ctx, record, 'top')
    return parsePs(result.stdout, new Set(pids))
  }

export const rename =
  (ctx: Context): Containers['rename'] =>
  async (reference, wanted) => {
    const { id } = ctx.records.must(reference)
    const name = wanted.replace(/^\//, '')
    if (name === '') throw new SlipwayError('bad-request', 'Neither old nor new names may be empty')
    const record = ctx.records.must(id)
    const oldName = record.spec.name
    if (name === oldName)
      throw new SlipwayError('bad-request', 'Renaming a container with the same name as its current name')
    checkName(ctx, name)
    const renamed = ctx.records.settle(id, { spec: { ...record.spec, name } })
    if ('own' in record.spec.sandbox && ctx.sandboxes.get(id)) await ctx.sandboxes.rename(id, { names: [name] })
    emit(ctx, renamed, 'rename', { oldName: `/${oldName}` })
  }

export const update =
  (ctx: Context): Containers['update'] =>
  async (reference, { resources, restart, origin }) => {
    const { id } = ctx.records.must(reference)
    await ctx.locks.run(id, async () => {
      const record = ctx.records.must(id)
      if (restart && restart.policy !== 'no' && record.spec.autoRemove)
        throw new SlipwayError(
          'bad-request',
          'Restart policy cannot be updated because AutoRemove is enabled for the container',
        )
      const merged = { ...record.spec.resources, ...resources }
      const spec = { ...record.spec, resources: merged, ...(restart ? { restart } : {}), ...(origin ? { origin } : {}) }
      if (resources && isRunning(record)) {
        const runtime = await ctx.sys.processes.ociRuntime()
        // crun opens what it is told to read by name, and standard input has none that works.
        const file = join(record.paths.bundle, 'resources.json')
        writeFileSync(file, JSON.stringify(ociResources(merged, ctx.machine.cgroups)), { mode: 0o600 })
        const argv = [...runtime.enter, runtime.path, `--root=${ctx.paths.oci}`, 'update', '--resources', file, id]
        await ctx.sys.processes.must(argv, { timeoutMs: 30_000 })
        if (resources.cpuQuota !== undefined && resources.cpuQuota < 0) ctx.sys.cgroups.unlimit(record.cgroup, 'cpu')
        if (resources.pidsLimit === 0) ctx.sys.cgroups.unlimit(record.cgroup, 'pids')
      }
      emit(ctx, ctx.records.settle(id, { spec }), 'update')
    })
  }
