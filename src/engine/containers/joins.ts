import { SlipwayError } from '../../errors.ts'
import type { ConfigInput } from '../runtime/config.ts'
import type { Sandbox } from '../types.ts'
import { type Context, isRunning } from './context.ts'
import type { ContainerRecord } from './records.ts'

type Choice = 'own' | 'host' | { path: string }

/** No pinned namespace: the host's. */
const pinned = (path: string | undefined): Choice => (path === undefined ? 'host' : { path })

/** Another container whose namespace is joined; it has to run. */
const joined = (ctx: Context, kind: 'IPC' | 'PID', mode: string): ContainerRecord => {
  const other = ctx.records.must(mode.slice('container:'.length))
  if (!isRunning(other))
    throw new SlipwayError('internal', `failed to join ${kind} namespace: container ${other.id} is not running`)
  return other
}
/** One whose IPC namespace is joined; it must have been made to be shared. */
const ipcDonor = (ctx: Context, mode: string): ContainerRecord => {
  const other = joined(ctx, 'IPC', mode)
  if (other.spec.ipcMode === 'private' || other.spec.ipcMode === 'none')
    throw new SlipwayError(
      'bad-request',
      `failed to join IPC namespace: container ${other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    )
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
  return pidMode?.startsWith('container:') ? { path: `/proc/${joined(ctx, 'PID', pidMode).pid}/ns/pid` } : 'own'
}

const ipcOf = (ctx: Context, { spec: { ipcMode } }: ContainerRecord, sandbox: Sandbox): Choice => {
  if (ipcMode === 'host') return 'host'
  if (ipcMode === 'none' || ipcMode === 'private') return 'own'
  return ipcMode?.startsWith('container:')
    ? { path: `/proc/${ipcDonor(ctx, ipcMode).pid}/ns/ipc` }
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

/** What is at /dev/shm goes with the IPC namespace. */
export const shmOf = (ctx: Context, { spec }: ContainerRecord, sandbox: Sandbox): ConfigInput['shm'] => {
  const { ipcMode } = spec
  if (ipcMode === 'none' || ipcMode === 'private') return ipcMode
  if (ipcMode === 'host') return { path: '/dev/shm' }
  const owner = ipcMode?.startsWith('container:') ? ctx.sandboxes.get(ipcDonor(ctx, ipcMode).sandboxId) : sandbox
  const path = owner?.files.shm
  return path === undefined ? 'private' : { path }
}
