import { SlipwayError } from '../../errors.ts'
import type { ConfigInput } from '../runtime/config.ts'
import type { Sandbox } from '../types.ts'
import { type Context, isRunning } from './context.ts'
import type { ContainerRecord } from './records.ts'

type Choice = 'own' | 'host' | { path: string }

/** No pinned namespace: the host's. */
const pinned = (path: string | undefined): Choice => (path === undefined ? 'host' : { path })

/** Another container whose namespace is joined; it has to run. */
const joined = (ctx: Context, mode: string): ContainerRecord => {
  const other = ctx.records.must(mode.slice('container:'.length))
  if (!isRunning(other))
    throw new SlipwayError('conflict', `cannot join namespace of a non running container: ${other.id}`)
  return other
}

/** Containers of a pod that share their processes: all join the first that runs, and end with it. */
const sharedPid = (ctx: Context, record: ContainerRecord): 'own' | { path: string } => {
  const first = ctx.records
    .list()
    .find((other) => other.sandboxId === record.sandboxId && other.spec.pidMode === 'sandbox' && isRunning(other))
  return first === undefined ? 'own' : { path: `/proc/${first.pid}/ns/pid` }
}

const pidOf = (ctx: Context, record: ContainerRecord): Choice => {
  const { pidMode } = record.spec
  if (pidMode === 'host') return 'host'
  if (pidMode === 'sandbox') return sharedPid(ctx, record)
  return pidMode?.startsWith('container:') ? { path: `/proc/${joined(ctx, pidMode).pid}/ns/pid` } : 'own'
}

const ipcOf = (ctx: Context, { spec: { ipcMode } }: ContainerRecord, sandbox: Sandbox): Choice => {
  if (ipcMode === 'host') return 'host'
  if (ipcMode === 'none' || ipcMode === 'private') return 'own'
  return ipcMode?.startsWith('container:')
    ? { path: `/proc/${joined(ctx, ipcMode).pid}/ns/ipc` }
    : pinned(sandbox.namespaces.ipc)
}

/** Docker's default: a cgroup namespace of its own with cgroup v2, unless it is privileged. */
const cgroupOf = (ctx: Context, { spec }: ContainerRecord): Choice => {
  const usual = ctx.machine.cgroups.version === 2 && !spec.security.privileged ? 'private' : 'host'
  return (spec.cgroupnsMode ?? usual) === 'host' ? 'host' : 'own'
}

/** Which namespaces a container makes, joins, or shares with the host. */
export const namespaces = (ctx: Context, record: ContainerRecord, sandbox: Sandbox): ConfigInput['namespaces'] => ({
  pid: pidOf(ctx, record),
  ipc: ipcOf(ctx, record, sandbox),
  cgroup: cgroupOf(ctx, record),
  network: pinned(sandbox.namespaces.net),
  uts: record.spec.utsMode === 'host' ? 'host' : pinned(sandbox.namespaces.uts),
})

/** The directory at /dev/shm; undefined: a tmpfs of its own. It goes with the IPC namespace. */
export const shmOf = (ctx: Context, { spec }: ContainerRecord, sandbox: Sandbox): string | undefined => {
  if (spec.ipcMode === 'host') return '/dev/shm'
  if (spec.ipcMode?.startsWith('container:')) return ctx.sandboxes.get(joined(ctx, spec.ipcMode).sandboxId)?.files.shm
  return spec.ipcMode === 'none' || spec.ipcMode === 'private' ? undefined : sandbox.files.shm
}
