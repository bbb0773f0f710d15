/** An engine's network rooms on a home of their own, for the root tests; everything is taken down afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createNetworks, type NetworkRoom } from '../../src/engine/networks/index.ts'
import { createSandboxes, type SandboxRoom } from '../../src/engine/sandboxes/index.ts'
import type { Attachment, EngineEvent, Instance, NetworkSpec, SandboxSpec } from '../../src/engine/types.ts'
import { instanceOf } from '../../src/instance.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import { removeTraces } from '../../src/reset.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import type { RunResult, Sys } from '../../src/sys/sys.ts'

export const testLog = createLog(
  (line) => process.stderr.write(line),
  process.env.TEST_LOG === 'debug' ? 'debug' : 'warn',
)

export interface Room {
  instance: Instance
  sys: Sys
  networks: NetworkRoom
  sandboxes: SandboxRoom
  events: Omit<EngineEvent, 'timeNs'>[]
  /** Runs a program in a sandbox's network namespace. */
  inside(id: string, argv: string[], input?: string): Promise<RunResult>
  /** The same state again, as a new daemon would find it; the old one is abandoned, not closed. */
  again(): Promise<Room>
}

const openRoom = async (home: string): Promise<Room> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  const sys = createLinux(instance, testLog)
  const events: Room['events'] = []
  const deps = {
    instance,
    sys,
    db: openDatabase(join(home, 'state.db')),
    events: {
      emit: (event: Room['events'][number]) => void events.push(event),
      subscribe: () => [] as never,
      on: () => () => {},
    },
    log: testLog,
    clock: systemClock,
  }
  const networks = createNetworks(deps)
  const sandboxes = createSandboxes(deps, networks)
  await networks.recover()
  await sandboxes.recover()
  return {
    instance,
    sys,
    networks,
    sandboxes,
    events,
    inside: (id, argv, input) =>
      sys.processes.run(['nsenter', `--net=${sandboxes.get(id)!.namespaces.net}`, ...argv], {
        timeoutMs: 20_000,
        ...(input === undefined ? {} : { input }),
      }),
    again: () => openRoom(home),
  }
}

/** A room in a temporary home. */
export const useRoom = async (t: TestContext): Promise<Room> => {
  const home = mkdtempSync(join(tmpdir(), 'slipway-net-'))
  const room = await openRoom(home)
  t.after(async () => {
    await room.sandboxes.close()
    const last = await openRoom(home)
    for (const { spec } of last.sandboxes.list()) await last.sandboxes.remove(spec.id)
    for (const { id, spec } of last.networks.list())
      if (!['bridge', 'host', 'none'].includes(spec.name)) await last.networks.remove(id)
    await last.sandboxes.close()
    await removeTraces(last.sys, last.instance)
    rmSync(home, { recursive: true, force: true })
  })
  return room
}

export const networkSpec = (name: string, more: Partial<NetworkSpec> = {}): NetworkSpec => ({
  name,
  driver: 'bridge',
  internal: false,
  attachable: false,
  ipv6: false,
  ipam: [],
  options: {},
  labels: {},
  dns: true,
  ...more,
})
export const on = (network: string, more: Partial<Attachment> = {}): Attachment => ({ network, aliases: [], ...more })
export const sandboxSpec = (id: string, attachments: Attachment[], more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  id,
  hostname: id,
  network: { mode: 'attached', attachments },
  ports: [],
  dns: { servers: [], searches: [], options: [] },
  hosts: [],
  sysctls: {},
  labels: {},
  ...more,
})
