/** Makes what a sandbox is on this machine, and takes it away. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { interfacePrefix } from '../networks/index.ts'
import type { Network, PublishedPort, Sandbox, SandboxSpec } from '../types.ts'
import { type Context, describe, dirOf, emit, must, ownKinds } from './context.ts'
import { tellLinked, writeFiles } from './host-files.ts'
import { targetsOf } from './publication.ts'
import type { StoredSandbox } from './records.ts'
import { joinNames, needsResolver, serveNames } from './resolution.ts'
import type { Wire } from './wiring.ts'

const defaultShmSize = 64 << 20

/** Removes everything a start makes, whether or not all of it is there. */
export const takeDown = async (ctx: Context, spec: SandboxSpec): Promise<void> => {
  const wires = ctx.networks.endpointsOf(spec.id)
  ctx.names.stop(spec.id)
  for (const { network } of wires) ctx.names.table.leave(network.id, spec.id)
  await ctx.ports.withdraw(spec.id)
  ctx.sys.namespaces.remove(dirOf(ctx, spec.id))
  ctx.wiring.discard(wires.map(({ endpoint }) => endpoint.hostIfname))
  ctx.sys.mounts.unmount(join(dirOf(ctx, spec.id), 'shm'), { detach: true })
  rmSync(dirOf(ctx, spec.id), { recursive: true, force: true })
  for (const { network } of wires) ctx.networks.release(network.id, spec.id)
}

export const nextIfname = (network: Network, used: readonly string[]): string => {
  const prefix = interfacePrefix(network)
  for (let i = 0; ; i++) if (!used.includes(`${prefix}${i}`)) return `${prefix}${i}`
}

const reserveAll = async (ctx: Context, record: StoredSandbox): Promise<Wire[]> => {
  const { spec } = record
  if (spec.network.mode !== 'attached') return []
  const wires: Wire[] = []
  for (const attachment of spec.network.attachments) {
    const network = await ctx.networks.bringUp(ctx.networks.must(attachment.network).id)
    const used = wires.map(({ endpoint }) => endpoint.ifname)
    const ifname = attachment.ifname ?? nextIfname(network, used)
    if (used.includes(ifname)) throw new SlipwayError('invalid', `interface name ${ifname} is used twice`)
    wires.push(ctx.networks.reserve(spec.id, record.names[0] ?? spec.hostname, attachment, ifname))
  }
  return wires
}

const applySysctls = (ctx: Context, spec: SandboxSpec, netns: string): void => {
  // Those of the IPC namespace are for whoever starts processes in it.
  for (const [key, value] of Object.entries(spec.sysctls))
    if (key.startsWith('net.')) ctx.sys.links.sysctl(key.replaceAll('.', '/'), value, { netns })
}

const build = async (ctx: Context, record: StoredSandbox): Promise<void> => {
  const { spec } = record
  const dir = dirOf(ctx, spec.id)
  mkdirSync(dir, { recursive: true, mode: 0o711 })
  if (spec.network.mode === 'sandbox' && ctx.records.all.get(spec.network.id)?.state !== 'ready')
    throw new SlipwayError('conflict', `cannot join network of a non running container: ${spec.network.id}`)
  const kinds = ownKinds(spec)
  ctx.sys.namespaces.create(dir, kinds, { hostname: spec.hostname })
  if (!spec.hostIpc) {
    mkdirSync(join(dir, 'shm'), { mode: 0o1777 })
    const size = spec.shmSize ?? defaultShmSize
    const options = ['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${size}`]
    ctx.sys.mounts.mount({ type: 'tmpfs', source: 'shm', target: join(dir, 'shm'), options })
  }
  if (spec.network.mode === 'sandbox') return
  const netns = join(dir, 'net')
  if (kinds.includes('net')) ctx.wiring.prepare(netns)
  const wires = await reserveAll(ctx, record)
  writeFiles(ctx, spec, wires)
  const targets = targetsOf(wires)
  const [bound] = await allDone([
    targets ? ctx.ports.publish(spec.id, spec.ports, targets) : Promise.resolve<PublishedPort[]>([]),
    wires.length > 0 ? ctx.wiring.connect(netns, wires, wires) : undefined,
    needsResolver(spec, wires) ? serveNames(ctx, spec) : undefined,
  ] as const)
  if (kinds.includes('net')) applySysctls(ctx, spec, netns)
  for (const wire of wires) joinNames(ctx, record, wire)
  ctx.records.save({ ...record, state: 'ready', ports: bound })
  tellLinked(ctx, spec.id)
  for (const wire of wires) emit(ctx, 'connect', spec.id, wire)
}

export const start = async (ctx: Context, id: string): Promise<Sandbox> =>
  await ctx.locks.run(id, async () => {
    const record = must(ctx, id)
    if (record.state === 'ready') return describe(ctx, record)
    try {
      await takeDown(ctx, record.spec) // what a start that was killed has left
      await build(ctx, record)
      if (must(ctx, id).state !== 'ready') ctx.records.save({ ...record, state: 'ready' })
    } catch (error) {
      await takeDown(ctx, record.spec)
      throw error
    }
    return describe(ctx, must(ctx, id))
  })

export const stopLocked = async (ctx: Context, id: string): Promise<void> => {
  // Gone already, as after a kill between the removal of a sandbox and that of its container: nothing is left to stop.
  const record = ctx.records.all.get(id)
  if (record === undefined || record.state === 'stopped') return
  const wires = ctx.networks.endpointsOf(id)
  await takeDown(ctx, record.spec)
  ctx.records.save({ ...record, state: 'stopped', ports: [] })
  for (const wire of wires) emit(ctx, 'disconnect', id, wire)
}

/** Like Promise.all, but waits for all of them also when one fails, so that nothing is still being made while it is undone. */
const allDone = async <T extends readonly unknown[]>(
  tasks: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> => {
  const results = await Promise.allSettled(tasks)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as never
}
