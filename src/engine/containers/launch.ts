import { closeSync, constants, existsSync, mkdirSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { OciConfig } from '../../spec/oci/index.ts'
import type { OciRuntime } from '../../sys/sys.ts'
import { startMonitor } from '../runtime/monitor.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { writeBundle } from './bundle.ts'
import { type Context, diskIsFull, emit, isAlive, ownsSandbox } from './context.ts'
import { snapshotKey } from './create.ts'
import { diagnose } from './diagnose.ts'
import { checkLinks } from './links.ts'
import type { ContainerRecord } from './records.ts'

/** Mounts the root file system, and nothing else, at its place in the bundle. */
export const mountRootfs = async (
  ctx: Context,
  { id, paths }: Pick<ContainerRecord, 'id' | 'paths'>,
): Promise<void> => {
  mkdirSync(paths.rootfs, { recursive: true, mode: 0o700 })
  ctx.sys.mounts.mount({ ...(await ctx.snapshots.mounts(snapshotKey(id))), target: paths.rootfs })
}

const networking = 'failed to set up container networking: '

/** A sandbox that cannot be made, in docker's words. */
const networkFailed = (error: unknown, { id, spec }: ContainerRecord): unknown => {
  if (!isError(error)) return error
  const { code, message, hint, details } = error
  const what = details as { port?: number; network?: string } | undefined
  if (what?.port === undefined && what?.network === undefined) return error
  const why =
    what.port === undefined
      ? `failed to create endpoint ${spec.name} on network ${what.network}`
      : `driver failed programming external connectivity on endpoint ${spec.name} (${id})`
  return new SlipwayError(code, `${networking}${why}: ${message}`, { hint, details, cause: error })
}

const readySandbox = async (ctx: Context, record: ContainerRecord) => {
  if (ownsSandbox(record))
    return await ctx.sandboxes.start(record.sandboxId).catch((error: unknown) => {
      throw networkFailed(error, record)
    })
  const sandbox = ctx.sandboxes.get(record.sandboxId)
  if (sandbox?.state === 'ready') return sandbox
  throw new SlipwayError('conflict', `sandbox ${record.sandboxId} is not running`)
}

/**
 * Everything of a run that is not on record goes: processes, mounts, the runtime's state, the monitor's files. Done by
 * system calls: `runtime delete` would do the same, a process later.
 */
export const clearRun = async (ctx: Context, record: ContainerRecord): Promise<void> => {
  const { id, cgroup, paths, internal, spec } = record
  const { kill } = ctx.sys.processes
  if (isAlive(ctx, internal.pid, internal.pidStart)) kill(internal.pid, 'SIGKILL')
  await emptyCgroup(ctx, cgroup)
  if (spec.deviceRequests?.length) await endHooks(ctx, record)
  rmSync(join(ctx.paths.oci, id), { recursive: true, force: true })
  ctx.exits.forget(id)
  removeTree(ctx.sys.mounts, paths.bundle)
  for (const name of ctx.volumes.release(id))
    ctx.events.emit({ type: 'volume', action: 'unmount', id: name, attributes: { driver: 'local', container: id } })
}

/** A device's specification may want programs of the host to be started at a container's end: that, only the runtime does. */
const endHooks = async (ctx: Context, { id }: Pick<ContainerRecord, 'id'>): Promise<void> => {
  if (!existsSync(join(ctx.paths.oci, id))) return
  const runtime = await ctx.sys.processes.ociRuntime()
  const argv = [...runtime.enter, runtime.path, `--root=${ctx.paths.oci}`, 'delete', '--force', id]
  await ctx.sys.processes.must(argv, { timeoutMs: 60_000 }).catch((error: unknown) => {
    ctx.log.warn('the runtime could not end a container', { id, error: messageOf(error) })
  })
}

/** Kills what is left in a cgroup (a program without its own PID namespace may leave children), then removes it. */
export const emptyCgroup = async (ctx: Pick<Context, 'sys' | 'clock' | 'log'>, cgroup: string): Promise<void> => {
  const { cgroups, processes } = ctx.sys
  for (let attempt = 0; attempt < 100; attempt++) {
    const pids = cgroups.pids(cgroup)
    if (pids.length === 0) break
    if (attempt === 0) cgroups.thaw(cgroup)
    for (const pid of pids) processes.kill(pid, 'SIGKILL')
    await ctx.clock.sleep(Math.min(2 + attempt, 50))
  }
  try {
    cgroups.remove(cgroup)
  } catch (error) {
    ctx.log.warn('cgroup could not be removed', { cgroup, error: messageOf(error) })
  }
}

/** Descriptors crun and runc have open while they start a program, with room. */
const runtimeFiles = 32

/** The failure of a start as docker tells it, and the exit code that goes on record. `begun`: it got as far as the runtime. */
const startError = (
  ctx: Context,
  record: ContainerRecord,
  error: unknown,
  begun: boolean,
): { error: SlipwayError; exitCode: number } => {
  const fromRuntime = begun && isError(error, 'internal')
  const reason = fromRuntime ? diagnose(ctx, record, record.process) : undefined
  const prefix =
    'failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: '
  if (reason)
    return {
      error: new SlipwayError('bad-request', `${prefix}${reason.message}: unknown`, { cause: error }),
      exitCode: reason.exitCode,
    }
  if (!fromRuntime)
    return {
      error: error instanceof SlipwayError ? error : new SlipwayError('internal', messageOf(error), { cause: error }),
      exitCode: 128,
    }
  // The runtime says what it could not write, and not always why.
  if (diskIsFull(ctx))
    return {
      error: new SlipwayError('no-space', `${prefix}${messageOf(error)}: no space left on device: unknown`, {
        cause: error,
      }),
      exitCode: 128,
    }
  // The runtime itself lives under the limit, and what it then fails at says nothing of it.
  const files = record.spec.ulimits.find((u) => u.name === 'nofile' && u.soft >= 0 && u.soft < runtimeFiles)
  if (files)
    return {
      error: new SlipwayError('bad-request', `${prefix}ulimit nofile=${files.soft}: too many open files: unknown`, {
        hint: `The runtime needs up to ${runtimeFiles} open files to start a program.`,
        cause: error,
      }),
      exitCode: 128,
    }
  return {
    error: new SlipwayError('internal', `${prefix}${messageOf(error)}: unknown`, { cause: error }),
    exitCode: 128,
  }
}

/** Brings the program to life. Resolves when it runs; on failure everything is taken down again and the reason is on record. */
export const launch = async (ctx: Context, before: ContainerRecord): Promise<ContainerRecord> => {
  const { id } = before
  let record = before
  let begun = false
  try {
    checkLinks(ctx, record)
    await clearRun(ctx, record)
    for (const dir of [ctx.paths.exits, join(ctx.paths.persist, id), record.paths.bundle, dirname(record.paths.log)])
      mkdirSync(dir, { recursive: true, mode: 0o700 })
    // The two slow parts do not need each other.
    const [sandbox] = await bothOrNeither(readySandbox(ctx, record), mountRootfs(ctx, record))
    const { user, config } = await writeBundle(ctx, record, sandbox)
    if (user.uid !== record.process.uid || user.gid !== record.process.gid)
      record = ctx.records.settle(id, { process: { ...record.process, uid: user.uid, gid: user.gid } })
    begun = true
    record = await run(ctx, record, config)
    return record
  } catch (thrown) {
    const { error, exitCode } = startError(ctx, record, thrown, begun)
    await takeDown(ctx, ctx.records.must(id))
    ctx.live(id).hub.end()
    const status = before.startedAt === undefined ? 'created' : 'exited'
    ctx.records.observe(id, { status, pid: 0, exitCode, error: error.message, finishedAt: ctx.clock.now() })
    throw error
  }
}

/** Waits for both, so that a failure of one never leaves the other at work behind our back. */
const bothOrNeither = async <A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> => {
  const [first, second] = await Promise.allSettled([a, b])
  if (first.status === 'rejected') throw first.reason
  if (second.status === 'rejected') throw second.reason
  return [first.value, second.value]
}

const run = async (ctx: Context, record: ContainerRecord, config: OciConfig): Promise<ContainerRecord> => {
  const { id, spec, paths } = record
  const { processes } = ctx.sys
  const { hub } = ctx.live(id)
  const { pid, monitorPid } = await startMonitor(processes, ctx.paths, {
    id,
    bundle: paths.bundle,
    log: spec.log.driver === 'none' ? undefined : paths.log,
    tty: spec.tty,
    stdin: spec.stdin,
    leaveStdinOpen: !spec.stdinOnce || spec.tty,
  })
  // On record before the program runs: a daemon that is killed now finds it again.
  const created = ctx.records.change(id, {
    pid,
    pidStart: processes.startTime(pid),
    monitorPid,
    monitorStart: processes.startTime(monitorPid),
    bootId: ctx.bootId,
    exitCode: 0,
    error: '',
    oomKilled: false,
  })
  if (hub.busy) await hub.connect(`${paths.bundle}/attach`)
  const runtime = await processes.ociRuntime()
  ctx.seccomp.keep(config.linux.seccomp, runtime, join(ctx.paths.oci, id))
  await startProgram(ctx, runtime, config, id)
  const running = ctx.records.change(id, { status: 'running', startedAt: ctx.clock.now() })
  emit(ctx, created, 'start')
  return running
}

/** Lets the program begin that the runtime has prepared. */
const startProgram = async (ctx: Context, runtime: OciRuntime, { hooks }: OciConfig, id: string): Promise<void> => {
  if (runtime.name === 'crun' && !hooks && releaseFifo(join(ctx.paths.oci, id, 'exec.fifo'))) return
  const argv = [...runtime.enter, runtime.path, `--root=${ctx.paths.oci}`, 'start', id]
  await ctx.sys.processes.must(argv, { timeoutMs: 60_000 })
}

/**
 * All that `crun start` does where there are no hooks, without a process for it: it removes the FIFO on which the
 * container waits, and writes a byte to it. False where nobody waits like that: then the runtime has to be asked.
 */
const releaseFifo = (path: string): boolean => {
  let fd: number
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return false
  }
  try {
    unlinkSync(path)
    return writeSync(fd, '1') === 1
  } finally {
    closeSync(fd)
  }
}

/** The opposite of launch. The sandbox is stopped only if it is the container's own. */
export const takeDown = async (ctx: Context, record: ContainerRecord): Promise<void> => {
  await clearRun(ctx, record)
  if (ownsSandbox(record)) await ctx.sandboxes.stop(record.sandboxId)
}
