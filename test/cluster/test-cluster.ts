import { setTimeout as after } from 'node:timers/promises'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog, type Log, silentLog } from '../../src/lib/log.ts'
import type { ObjectClient } from '../../src/spec/kube/client.ts'
import { Node } from '../../src/spec/kube/kinds.ts'
import { createApiServer } from '../../src/cluster/api/index.ts'
import { createInformers } from '../../src/cluster/informers/index.ts'
import { startScheduler } from '../../src/cluster/scheduler/index.ts'
import type { Informers } from '../../src/cluster/types.ts'
import type { ControllerOptions } from '../../src/cluster/controllers/index.ts'
import { startControllers } from '../../src/cluster/controllers/index.ts'
import { type FakeKubelet, fakeKubelet, testNode } from './fake-kubelet.ts'

export interface TestCluster {
  client: ObjectClient
  informers: Informers
  kubelet: FakeKubelet
  /** Directories the provisioner has made and not removed. */
  directories: Set<string>
  /** Waits until `check` gives something; fails with what it last gave after `ms`. */
  until<T>(what: string, check: () => T | undefined | false | Promise<T | undefined | false>, ms?: number): Promise<T>
  close(): Promise<void>
}

/** For tests: API server in memory, all controllers, the scheduler and a kubelet that only says so. */
export const testCluster = async (
  more: Partial<ControllerOptions> = {},
  nodes: readonly string[] = ['node-1'],
): Promise<TestCluster> => {
  const log: Log = process.env.SLIPWAY_TEST_LOG ? createLog((line) => process.stderr.write(line), 'debug') : silentLog
  const clock = systemClock
  const api = createApiServer({
    db: openDatabase(':memory:'),
    log,
    clock,
    options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: nodes[0] ?? 'node-1' },
  })
  const client = api.client({ name: 'test', groups: ['system:masters'] })
  const informers = createInformers(client, log)
  const directories = new Set<string>()
  const options: ControllerOptions = {
    rootCa: 'test authority',
    volumeRoot: '/volumes',
    directories: {
      create: async (path) => void directories.add(path),
      remove: async (path) => void directories.delete(path),
    },
    ...more,
  }
  const parts = { client: (user: Parameters<typeof api.client>[0]) => api.client(user), informers, log, clock }
  const kubelet = fakeKubelet(client, informers)
  const controllers = startControllers({ ...parts, options })
  const scheduler = startScheduler(parts)
  for (const name of nodes) {
    const node = await client.create(Node, testNode(name))
    await client.updateStatus(Node, { ...node, status: testNode(name).status })
  }
  return {
    client,
    informers,
    kubelet,
    directories,
    async until(what, check, ms = 5000) {
      const end = Date.now() + ms
      for (;;) {
        const found = await check()
        if (found !== undefined && found !== false) return found as never
        if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
        await after(3)
      }
    },
    async close() {
      controllers.close()
      scheduler.close()
      informers.close()
      await api.close()
    },
  }
}
