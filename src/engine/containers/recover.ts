import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../errors.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { type Context, isAlive, isRunning, ownerLabel } from './context.ts'
import { dropParts, forget, ownSandbox, snapshotKey } from './create.ts'
import { clearRun, emptyCgroup, takeDown } from './launch.ts'
import { follow, scheduleRestart } from './lifecycle.ts'
import { fillingPrefix } from './mount-points.ts'
import type { ContainerRecord } from './records.ts'
import { firstDelayMs, shouldRestart } from './restart.ts'
import { notedCgroup } from './step-cgroup.ts'

/** What has to be done about one container when a daemon starts. */
type Recovery =
  /** A kill has left it half-made or half-removed. */
  | 'drop'
  /** Its monitor lives, or has left an exit code. */
  | 'follow'
  /** It ran before the machine was rebooted. */
  | 'rebooted'
  /** The runtime had made it, but it had not been started. */
  | 'abandon'
  /** A restart was due, or its policy says that it runs whenever a daemon does. */
  | 'restart'
  | 'leave'

/** Decides by the record alone. */
export const recoveryOf = (record: ContainerRecord, bootId: string): Recovery => {
  const { internal, status, spec } = record
  if (!internal.complete || status === 'removing') return 'drop'
  // --rm, and the daemon was killed between the end and the removal.
  if (status === 'exited' && spec.autoRemove) return 'drop'
  const sameBoot = internal.bootId === bootId
  if (isRunning(record)) return sameBoot ? 'follow' : 'rebooted'
  if (status === 'restarting') return 'restart'
  // As docker: 'always' comes back with the daemon even if it had been stopped by hand.
  const again = spec.restart.policy === 'always' || (spec.restart.policy === 'unless-stopped' && !internal.stopped)
  if (again && record.startedAt !== undefined) return 'restart'
  return internal.pid > 0 && sameBoot ? 'abandon' : 'leave'
}

/** Docker's exit code for a container that was running when the machine went down. */
const rebootExitCode = 255

const act = async (ctx: Context, record: ContainerRecord): Promise<void> => {
  const { id, spec } = record
  // Its record was damaged: what ran in it goes on, and the next start makes a whole one.
  if (record.internal.complete && 'own' in spec.sandbox && !ctx.sandboxes.get(record.sandboxId))
    await ctx.sandboxes.create(ownSandbox(ctx, spec.sandbox.own, id))
  switch (recoveryOf(record, ctx.bootId)) {
    case 'drop':
      await takeDown(ctx, record)
      await dropParts(ctx, record)
      await forget(ctx, record, { volumes: !record.internal.complete || record.spec.autoRemove })
      return
    case 'follow':
      if (isAlive(ctx, record.pid, record.internal.pidStart))
        for (const { name } of record.mounts) if (name !== undefined) await ctx.volumes.acquire(name, id)
      // Killed between a pause and its record, or in the middle of a commit.
      if (record.status === 'running' || record.internal.briefly) ctx.sys.cgroups.thaw(record.cgroup)
      follow(ctx, record.internal.briefly ? ctx.records.change(id, { status: 'running', briefly: false }) : record)
      return
    case 'rebooted': {
      const exited = ctx.records.change(id, {
        status: 'exited',
        pid: 0,
        exitCode: rebootExitCode,
        finishedAt: ctx.clock.now(),
      })
      await takeDown(ctx, exited)
      if (record.spec.autoRemove) {
        await dropParts(ctx, exited)
        await forget(ctx, exited, { volumes: true })
      } else if (!record.internal.stopped && shouldRestart(record.spec.restart, rebootExitCode, 0))
        restartSoon(ctx, ctx.records.change(id, { restartCount: 0 }), { counted: false })
      return
    }
    case 'restart':
      await takeDown(ctx, record)
      if (record.status === 'restarting') restartSoon(ctx, record, { counted: true })
      else restartSoon(ctx, ctx.records.change(id, { restartCount: 0 }), { counted: false })
      return
    case 'abandon':
      await takeDown(ctx, record)
      ctx.records.change(id, { pid: 0 })
      return
    case 'leave':
      // A kill in the middle of taking it down may have left mounts.
      if (existsSync(record.paths.bundle)) await clearRun(ctx, record)
  }
}

/** As docker: what starts because the daemon does begins to count anew. */
const restartSoon = (ctx: Context, record: ContainerRecord, options: { counted: boolean }): void => {
  ctx.records.change(record.id, { status: 'restarting', stopped: false })
  ctx.live(record.id).backoffMs = firstDelayMs
  scheduleRestart(ctx, record.id, firstDelayMs, options)
}

const namesIn = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : [])

/** What has no record any more: its owner was removed, or never got one. */
const sweep = async (ctx: Context): Promise<void> => {
  const { runDir, stateDir, cgroupParent } = ctx.instance
  const known = (id: string): boolean => ctx.records.byId(id) !== undefined
  for (const step of namesIn(join(runDir, 'steps'))) {
    const bundle = join(runDir, 'steps', step)
    await emptyCgroup(ctx, notedCgroup(bundle, cgroupParent))
    removeTree(ctx.sys.mounts, join(ctx.paths.oci, step))
    removeTree(ctx.sys.mounts, bundle)
  }
  for (const exec of namesIn(join(runDir, 'execs'))) removeTree(ctx.sys.mounts, join(runDir, 'execs', exec))
  for (const view of namesIn(join(runDir, 'views'))) removeTree(ctx.sys.mounts, join(runDir, 'views', view))
  for (const id of namesIn(join(runDir, 'containers'))) {
    if (known(id)) continue
    await emptyCgroup(ctx, `${cgroupParent}/${id}`)
    removeTree(ctx.sys.mounts, join(ctx.paths.oci, id))
    removeTree(ctx.sys.mounts, join(runDir, 'containers', id))
  }
  for (const id of new Set([...namesIn(ctx.paths.exits), ...namesIn(ctx.paths.persist)]))
    if (!known(id)) ctx.exits.forget(id)
  await sweepLayers(ctx)
  for (const id of namesIn(join(stateDir, 'containers')))
    if (!known(id)) removeTree(ctx.sys.mounts, join(stateDir, 'containers', id))
  for (const { spec } of ctx.sandboxes.list())
    if (spec.labels[ownerLabel] !== undefined && !known(spec.id)) {
      await ctx.sandboxes.stop(spec.id)
      await ctx.sandboxes.remove(spec.id)
    }
}

const ownLayer = new RegExp(`^${snapshotKey('([0-9a-f]+)')}$`)

/**
 * Layers that no container has. A kill leaves none, so the record was damaged: what was written is nobody's to delete, and
 * is moved to where it can be found, with the container's log.
 */
const sweepLayers = async (ctx: Context): Promise<void> => {
  for (const key of ctx.snapshots.keys()) {
    const id = ownLayer.exec(key)?.[1]
    try {
      if (key.startsWith(fillingPrefix)) await ctx.snapshots.remove(key)
      else if (id !== undefined && !ctx.records.byId(id)) await putAside(ctx, key, id)
    } catch (error) {
      ctx.log.error('a layer that nobody has stays', { key, error: messageOf(error) })
    }
  }
}

const putAside = async (ctx: Context, key: string, id: string): Promise<void> => {
  const { stateDir } = ctx.instance
  const aside = join(stateDir, 'damaged', id)
  const log = join(stateDir, 'containers', id, 'container.log')
  if (namesIn(ctx.snapshots.pathOf(key)!).length === 0) await ctx.snapshots.remove(key)
  else {
    mkdirSync(aside, { recursive: true, mode: 0o700 })
    await ctx.snapshots.moveOut(key, join(aside, 'files'))
    if (existsSync(log)) renameSync(log, join(aside, 'container.log'))
  }
  ctx.log.warn('a container is lost: its record was damaged', {
    id,
    files: existsSync(aside) ? aside : 'none of its own',
  })
}

/** Running containers go on undisturbed: their monitors hold them. One that cannot be dealt with does not stop the rest. */
export const recover = async (ctx: Context): Promise<void> => {
  for (const record of ctx.records.list()) {
    try {
      await act(ctx, record)
    } catch (error) {
      ctx.log.error('container could not be taken over', { id: record.id, error: messageOf(error) })
    }
  }
  await sweep(ctx)
}
