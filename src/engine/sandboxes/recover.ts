/** Takes over what a daemon before this one has left running, and removes what nobody owns. */
import { existsSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../errors.ts'
import { type Context, dirOf, fileDirOf, ownKinds } from './context.ts'
import { writeFiles } from './host-files.ts'
import { targetsOf } from './publication.ts'
import type { StoredSandbox } from './records.ts'
import { joinNames, needsResolver, serveNames } from './resolution.ts'
import { takeDown } from './start.ts'

const NSFS_MAGIC = 0x6e736673

const isPinned = (path: string): boolean => {
  try {
    return statfsSync(path).type === NSFS_MAGIC
  } catch {
    return false
  }
}

const isAlive = (ctx: Context, { spec }: StoredSandbox): boolean =>
  ownKinds(spec).every((kind) => isPinned(join(dirOf(ctx, spec.id), kind)))

const adopt = async (ctx: Context, record: StoredSandbox): Promise<void> => {
  const { spec } = record
  const wires = ctx.networks.endpointsOf(spec.id)
  const netns = join(dirOf(ctx, spec.id), 'net')
  const lost = wires.filter((wire) => !ctx.wiring.exists(netns, wire))
  if (lost.length > 0) {
    ctx.log.warn('links of a running sandbox are gone; making them again', { sandbox: spec.id })
    await ctx.wiring.connect(netns, lost, wires)
  }
  if (spec.network.mode !== 'sandbox' && !existsSync(fileDirOf(ctx, spec.id))) writeFiles(ctx, spec, wires)
  for (const wire of wires) joinNames(ctx, record, wire)
  if (needsResolver(spec, wires)) await serveNames(ctx, spec)
  const targets = targetsOf(wires)
  if (targets) await ctx.ports.adopt(spec.id, record.ports, targets)
}

const sweep = (ctx: Context): void => {
  const present = (path: string): string[] => {
    try {
      return readdirSync(path)
    } catch {
      return []
    }
  }
  for (const id of present(ctx.root)) {
    if (ctx.records.all.get(id)?.state === 'ready') continue
    ctx.sys.namespaces.remove(dirOf(ctx, id))
    ctx.sys.mounts.unmount(join(dirOf(ctx, id), 'shm'), { detach: true })
    rmSync(dirOf(ctx, id), { recursive: true, force: true })
  }
  for (const id of present(ctx.fileRoot))
    if (!ctx.records.all.has(id)) rmSync(fileDirOf(ctx, id), { recursive: true, force: true })
  const used = ctx.networks.ownLinks()
  for (const id of ctx.records.all.keys())
    for (const { endpoint } of ctx.networks.endpointsOf(id)) used.add(endpoint.hostIfname)
  const ours = new RegExp(`^${ctx.linkPrefix}[bvprd][0-9a-f]{8}$`)
  ctx.wiring.discard([...ctx.sys.links.names()].filter((name) => ours.test(name) && !used.has(name)))
}

export const recover = async (ctx: Context): Promise<void> => {
  for (const record of [...ctx.records.all.values()]) {
    try {
      if (record.state === 'ready' && isAlive(ctx, record)) await adopt(ctx, record)
      else {
        await takeDown(ctx, record.spec)
        if (record.state === 'ready') ctx.records.save({ ...record, state: 'stopped', ports: [] })
      }
    } catch (error) {
      ctx.log.error('cannot take over a sandbox', { sandbox: record.spec.id, error: messageOf(error) })
    }
  }
  sweep(ctx)
  await ctx.networks.rules.restore()
}
