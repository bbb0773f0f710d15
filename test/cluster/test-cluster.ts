import { setTimeout as after } from 'node:timers/promises'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog, type Log, silentLog } from '../../src/lib/log.ts'
import type { ObjectClient } from '../../src/spec/kube/client.ts'
import { Node, Pod } from '../../src/spec/kube/kinds.ts'
import { createApiServer } from '../../src/cluster/api/index.ts'
import { createInformers } from '../../src/cluster/informers/index.ts'
import { startScheduler } from '../../src/cluster/scheduler/index.ts'
import type { ApiServer, Informers, NodeProxy } from '../../src/cluster/types.ts'
import type { ControllerOptions } from '../../src/cluster/controllers/index.ts'
import { startControllers, storedKinds } from '../../src/cluster/controllers/index.ts'
import { type FakeKubelet, fakeKubelet, testNode } from './fake-kubelet.ts'

export interface TestCluster {
  client: ObjectClient
  informers: Informers
  kubelet: FakeKubelet
  /** What pods use now, in milli-CPUs, by pod name. Pods without an entry have no metrics. */
  cpu: Map<string, number>
  /** Directories the provisioner has made and not removed. */
  directories: Set<string>
  /** Waits until `check` gives something; fails with what it last gave after `ms`. */
  until<T>(what: string, check: () => T | undefined | false | Promise<T | undefined | false>, ms?: number): Promise<T>
  /** Stops controllers and scheduler, wherever they are, and starts new ones that know nothing. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** For tests: API server in memory (or the one given), all controllers, the scheduler and a kubelet that only says so. */
export const testCluster = async (
  more: Partial<ControllerOptions> = {},
  nodes: readonly string[] = ['node-1'],
  given?: ApiServer,
): Promise<TestCluster> => {
  const log: Log = process.env.SLIPWAY_TEST_LOG ? createLog((line) => process.stderr.write(line), 'debug') : silentLog
  const clock = systemClock
  const made = (): ApiServer =>
    createApiServer({
      db: openDatabase(':memory:'),
      log,
      clock,
      options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: nodes[0] ?? 'node-1' },
    })
  const api = given ?? made()
  const client = api.client({ name: 'test', groups: ['system:masters'] })
  const informers = createInformers(client, log)
  const cpu = new Map<string, number>()
  if (!given) api.connectNodes(usageOnly(informers, cpu))
  const directories = new Set<string>()
  const options: ControllerOptions = {
    rootCa: 'test authority',
    volumeRoot: '/volumes',
    resources: () => storedKinds(api.resources()),
    directories: {
      create: async (path) => void directories.add(path),
      remove: async (path) => void directories.delete(path),
    },
    ...more,
  }
  const parts = { client: (user: Parameters<typeof api.client>[0]) => api.client(user), informers, log, clock }
  const kubelet = fakeKubelet(client, informers)
  const start = (): { close(): void } => {
    const own = createInformers(client, log)
    const all = { ...parts, informers: own }
    const running = [startControllers({ ...all, options }), startScheduler(all), own]
    return { close: () => running.forEach((part) => void part.close()) }
  }
  let running = start()
  await Promise.all(options.resources!().map((kind) => informers.of(kind).synced))
  for (const name of nodes) {
    const node = await client.create(Node, testNode(name))
    await client.updateStatus(Node, { ...node, status: testNode(name).status })
  }
  return {
    client,
    informers,
    kubelet,
    cpu,
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
    async restart() {
      running.close()
      running = start()
    },
    async close() {
      running.close()
      informers.close()
      if (!given) await api.close()
    },
  }
}

/** A node side that has nothing but usage. */
const usageOnly = (informers: Informers, cpu: ReadonlyMap<string, number>): NodeProxy =>
  ({
    podUsage: () =>
      informers
        .of(Pod)
        .list()
        .filter(({ metadata }) => cpu.has(metadata.name!))
        .map(({ metadata, spec }) => ({
          namespace: metadata.namespace!,
          name: metadata.name!,
          labels: metadata.labels ?? {},
          time: Date.now() + 60_000,
          window: 1000,
          containers: spec!.containers.map(({ name }) => ({
            name,
            cpuNanocores: (cpu.get(metadata.name!)! * 1e6) / spec!.containers.length,
            memoryBytes: 0,
          })),
        })),
    nodeUsage: () => [],
  }) as unknown as NodeProxy
