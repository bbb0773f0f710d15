import { join } from 'node:path'
import { bootId } from '../../lib/boot-id.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import { createExecs, execOnce } from '../exec/index.ts'
import { profileLoader, profileOf } from '../runtime/apparmor.ts'
import { AttachHub } from '../runtime/attach.ts'
import { Exits } from '../runtime/exits.ts'
import { readMachine } from '../runtime/machine.ts'
import { SeccompCache } from '../runtime/seccomp-cache.ts'
import type { Containers } from '../types.ts'
import { archives } from './archive.ts'
import { attach, logs, resize } from './attach.ts'
import { layers } from './commit.ts'
import { type Context, type Live, type Neighbours, runtimePaths } from './context.ts'
import { create } from './create.ts'
import { rename, stats, top, update } from './inspect.ts'
import { restart, start } from './lifecycle.ts'
import { unlink } from './links.ts'
import type { ContainerRecords } from './records.ts'
import { recover } from './recover.ts'
import { remove } from './remove.ts'
import { runStep } from './step.ts'
import { kill, pause, stop, unpause } from './stop.ts'
import { wait } from './waiters.ts'

export { ContainerRecords } from './records.ts'

interface ContainerRoom extends Containers {
  /** Takes over what runs, restarts what should run, removes what is left over. Once, before anything else. */
  recover(): Promise<void>
  /** Lets go without stopping anything. */
  close(): Promise<void>
}

const letGo = (ctx: Context, lives: ReadonlyMap<string, Live>): void => {
  ctx.closing.abort()
  for (const live of lives.values()) {
    live.run?.abort()
    live.hub.close()
  }
  ctx.exits.close()
}

/** Containers, given the rooms they stand on. `records` is made first, since volumes and images ask it who uses them. */
export const createContainers = (
  deps: EngineDeps,
  neighbours: Neighbours,
  records: ContainerRecords,
): ContainerRoom => {
  const paths = runtimePaths(deps.instance.runDir)
  const lives = new Map<string, Live>()
  const locks = new KeyedMutex()
  const newLive = (id: string): Live => {
    const { tty = false, stdinOnce = false } = records.byId(id)?.spec ?? {}
    // A terminal is left and come back to.
    const once = stdinOnce && !tty
    const hub = new AttachHub(deps.sys.packets, { tty, stdinOnce: once, resize: (size) => resize(ctx)(id, size) })
    return { hub, waiters: new Set(), restart: undefined, run: undefined, backoffMs: 0, settled: undefined }
  }
  const ctx: Context = {
    ...deps,
    ...neighbours,
    records,
    locks,
    machine: readMachine(deps.sys.cgroups),
    seccomp: new SeccompCache(join(deps.instance.stateDir, 'seccomp')),
    loadProfile: profileLoader(deps.sys.processes),
    exits: new Exits(paths, deps.log),
    paths,
    bootId: bootId(),
    closing: new AbortController(),
    live(id) {
      let live = lives.get(id)
      if (!live) lives.set(id, (live = newLive(id)))
      return live
    },
    forgetLive: (id) => void lives.delete(id),
  }
  return {
    create: (spec) => create(ctx, spec),
    get: (reference) => records.get(reference),
    must: (reference) => records.must(reference),
    list: () => records.list(),
    start: (reference) => start(ctx, reference),
    stop: (reference, options) => stop(ctx, reference, options),
    restart: (reference, options) => restart(ctx, reference, options),
    kill: (reference, signal) => kill(ctx, reference, signal),
    pause: (reference) => pause(ctx, reference),
    unpause: (reference) => unpause(ctx, reference),
    remove: (reference, options) => remove(ctx, reference, options),
    wait: async (reference, condition, signal) => wait(ctx, reference, condition, signal),
    rename: rename(ctx),
    unlink: unlink(ctx),
    update: update(ctx),
    attach: attach(ctx),
    logs: logs(ctx),
    resize: resize(ctx),
    stats: stats(ctx),
    top: top(ctx),
    ...createExecs(ctx),
    apparmorProfile: (container) => profileOf(container?.spec.security ?? { privileged: false }, ctx.machine),
    execOnce: (reference, args, options) => execOnce(ctx, reference, args, options),
    ...archives(ctx),
    ...layers(ctx),
    runStep: runStep(ctx),
    recover: () => recover(ctx),
    close: async () => letGo(ctx, lives),
  }
}
