import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { Log } from '../../lib/log.ts'
import type { NamespaceKind, Sys } from '../../sys/sys.ts'
import type { Names } from '../names/index.ts'
import type { NetworkRoom } from '../networks/index.ts'
import type { Ports } from '../ports/index.ts'
import type { Endpoint, Events, Sandbox, SandboxSpec } from '../types.ts'
import type { SandboxRecords, StoredSandbox } from './records.ts'
import type { Wire, Wiring } from './wiring.ts'

/** What the parts of this room share. */
export interface Context {
  sys: Sys
  events: Events
  log: Log
  records: SandboxRecords
  networks: NetworkRoom
  wiring: Wiring
  names: Names
  ports: Ports
  /** One change of a sandbox at a time. */
  locks: KeyedMutex
  /** Each sandbox has a directory here while it is ready, with its pinned namespaces. */
  root: string
  /** And one here for as long as there is a record of it, with its files: `docker cp` reads them of stopped ones, too. */
  fileRoot: string
  /** What the names of our links begin with. */
  linkPrefix: string
}

export const dirOf = (ctx: Context, id: string): string => join(ctx.root, id)
export const fileDirOf = (ctx: Context, id: string): string => join(ctx.fileRoot, id)

export const must = (ctx: Context, id: string): StoredSandbox => {
  const record = ctx.records.all.get(id)
  if (!record) throw new SlipwayError('not-found', `no such sandbox: ${id}`)
  return record
}
/** The sandbox whose network namespace and files this one uses. */
const ownerOf = (spec: SandboxSpec): string => (spec.network.mode === 'sandbox' ? spec.network.id : spec.id)

/** The namespaces a sandbox has of its own. */
export const ownKinds = ({ network, hostIpc }: SandboxSpec): NamespaceKind[] => [
  ...(network.mode === 'none' || network.mode === 'attached' ? (['net'] as const) : []),
  ...(hostIpc ? [] : (['ipc'] as const)),
  'uts',
]
export const addressesOf = ({ ipv4, ipv6 }: Endpoint): string[] =>
  [ipv4, ipv6].filter((address) => address !== undefined)

export const describe = (ctx: Context, record: StoredSandbox): Sandbox => {
  const { spec, state } = record
  const dir = dirOf(ctx, spec.id)
  const shared = dirOf(ctx, ownerOf(spec))
  const files = fileDirOf(ctx, ownerOf(spec))
  const kinds = ownKinds(spec)
  const mode = spec.network.mode
  return {
    spec,
    state,
    endpoints: ctx.networks.endpointsOf(spec.id).map(({ endpoint }) => endpoint),
    ports: record.ports,
    namespaces: {
      net: mode === 'host' ? undefined : join(shared, 'net'),
      ipc: kinds.includes('ipc') ? join(dir, 'ipc') : undefined,
      uts: join(dir, 'uts'),
    },
    files: {
      hosts: join(files, 'hosts'),
      resolvConf: join(files, 'resolv.conf'),
      hostname: join(files, 'hostname'),
      shm: spec.hostIpc ? '/dev/shm' : join(dir, 'shm'),
    },
  }
}

export const emit = (ctx: Context, action: 'connect' | 'disconnect', sandboxId: string, { network }: Wire): void =>
  ctx.events.emit({
    type: 'network',
    action,
    id: network.id,
    attributes: { container: sandboxId, name: network.spec.name, type: network.spec.driver },
  })
