import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import { createNames } from '../names/index.ts'
import type { NetworkRoom } from '../networks/index.ts'
import { createPorts } from '../ports/index.ts'
import type { Sandboxes } from '../types.ts'
import { connect, disconnect } from './connections.ts'
import { type Context, describe, fileDirOf, must } from './context.ts'
import { createSandboxRecords, type StoredSandbox } from './records.ts'
import { recover } from './recover.ts'
import { joinNames } from './resolution.ts'
import { start, stopLocked } from './start.ts'
import { removeHost } from './host-files.ts'
import { validate } from './validate.ts'
import { createWiring } from './wiring.ts'

export interface SandboxRoom extends Sandboxes {
  /** After the networks' own: takes over live sandboxes, marks dead ones stopped, deletes what nobody owns. */
  recover(): Promise<void>
  /** Lets go of sockets and timers; sandboxes and their rules stay. Resolves when links being deleted are gone. */
  close(): Promise<void>
}

/** Asking whether anything has changed costs next to nothing. */
const checkEveryMs = 1000

export const createSandboxes = (deps: EngineDeps, networks: NetworkRoom): SandboxRoom => {
  const { instance, sys, events } = deps
  const log = deps.log.room('sandboxes')
  const ctx: Context = {
    sys,
    events,
    log,
    networks,
    records: createSandboxRecords(deps.db),
    wiring: createWiring(sys, networks, log),
    names: createNames({ sys, clock: deps.clock, log }),
    ports: createPorts(networks.rules, sys.firewall, log),
    locks: new KeyedMutex(),
    root: join(instance.runDir, 'sandboxes'),
    fileRoot: join(instance.stateDir, 'sandboxes'),
    linkPrefix: instance.linkPrefix,
  }
  let checking: NodeJS.Timeout | undefined

  return {
    async create(spec) {
      if (ctx.records.all.has(spec.id)) throw new SlipwayError('already-exists', `sandbox ${spec.id} already exists`)
      if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(spec.id))
        throw new SlipwayError('invalid', `invalid sandbox id "${spec.id}"`)
      validate(spec)
      const record: StoredSandbox = { spec, names: spec.names ?? [], state: 'stopped', ports: [] }
      ctx.records.save(record)
      return describe(ctx, record)
    },
    get: (id) => {
      const record = ctx.records.all.get(id)
      return record && describe(ctx, record)
    },
    list: () => [...ctx.records.all.values()].map((record) => describe(ctx, record)),
    start: async (id) => await start(ctx, id),
    stop: async (id) => await ctx.locks.run(id, () => stopLocked(ctx, id)),
    remove: async (id) =>
      await ctx.locks.run(id, async () => {
        if (!ctx.records.all.has(id)) return
        await stopLocked(ctx, id)
        ctx.records.delete(id)
        rmSync(fileDirOf(ctx, id), { recursive: true, force: true })
      }),
    connect: async (id, attachment) => await connect(ctx, id, attachment),
    disconnect: async (id, reference) => await disconnect(ctx, id, reference),
    rename: async (id, renamed) =>
      await ctx.locks.run(id, async () => {
        const old = must(ctx, id)
        const spec = { ...old.spec, hostname: renamed.hostname ?? old.spec.hostname, names: renamed.names }
        const record = { ...old, names: renamed.names, spec }
        ctx.records.save(record)
        if (renamed.names[0] !== undefined) ctx.networks.rename(id, renamed.names[0])
        if (record.state === 'ready') for (const wire of ctx.networks.endpointsOf(id)) joinNames(ctx, record, wire)
      }),
    removeHost: async (id, host) => await ctx.locks.run(id, async () => removeHost(ctx, id, host)),
    async recover() {
      await recover(ctx)
      checking ??= setInterval(() => {
        ctx.networks.rules.check().catch((error: unknown) => ctx.log.warn('firewall', { error: messageOf(error) }))
        void ctx.networks.hostRules.check()
      }, checkEveryMs).unref()
    },
    async close() {
      clearInterval(checking)
      ctx.ports.close()
      for (const id of ctx.records.all.keys()) ctx.names.stop(id)
      await ctx.wiring.settled()
    },
  }
}
