/** CPU and memory use of pods and the node, from cgroups: two samples make a rate. */
import { readFileSync } from 'node:fs'
import type { Container as EngineContainer } from '../../engine/index.ts'
import type { PodUsage } from '../../spec/kube/client.ts'
import type { CgroupStats } from '../../sys/sys.ts'
import type { PodIndex } from './pod-index.ts'
import type { PodWorker } from './pod-worker.ts'
import { type KubeletDeps, label } from './types.ts'

interface Sample {
  time: number
  cpuNs: number
  memoryBytes: number
}
/** A rate needs this long a window, or it says more of chance than of load. */
const shortestWindowMs = 1_000

export class UsageMeter {
  #deps: Pick<KubeletDeps, 'sys' | 'clock' | 'node'>
  #index: PodIndex
  #samples = new Map<string, { older: Sample; newer: Sample }>()

  constructor(deps: Pick<KubeletDeps, 'sys' | 'clock' | 'node'>, index: PodIndex) {
    this.#deps = deps
    this.#index = index
  }

  /** A first sample of a container that has just started: its use can be told a second later. */
  begin(container: EngineContainer): void {
    const stats = this.#deps.sys.cgroups.stats(container.cgroup)
    if (stats && !this.#samples.has(container.id)) this.#rate(container.id, sampleOf(stats, this.#deps.clock.now()))
  }

  pods(workers: Iterable<PodWorker>): PodUsage[] {
    const seen = new Set<string>()
    const result: PodUsage[] = []
    for (const worker of workers) {
      const containers: PodUsage['containers'] = []
      let window = Number.POSITIVE_INFINITY
      for (const [name, tries] of this.#index.tries(worker.uid)) {
        const newest = tries[0]
        if (newest?.status !== 'running' || newest.spec.labels[label.role] === 'ephemeral') continue
        const stats = this.#deps.sys.cgroups.stats(newest.cgroup)
        if (!stats) continue
        seen.add(newest.id)
        const rate = this.#rate(newest.id, sampleOf(stats, this.#deps.clock.now()))
        if (!rate) continue
        window = Math.min(window, rate.window)
        containers.push({ name, cpuNanocores: rate.cpuNanocores, memoryBytes: rate.memoryBytes })
      }
      if (containers.length === 0) continue
      const { namespace, name } = worker.key
      result.push({
        namespace,
        name,
        labels: worker.pod.metadata.labels ?? {},
        time: this.#deps.clock.now(),
        window,
        containers,
      })
    }
    for (const id of this.#samples.keys()) if (!seen.has(id) && id !== 'node') this.#samples.delete(id)
    return result
  }

  node(): { name: string; time: number; window: number; cpuNanocores: number; memoryBytes: number }[] {
    const rate = this.#rate('node', nodeSample(this.#deps.clock.now()))
    return rate ? [{ name: this.#deps.node.name, time: this.#deps.clock.now(), ...rate }] : []
  }

  /** The rate since the older of two kept samples; undefined until there are two far enough apart. */
  #rate(id: string, now: Sample): { window: number; cpuNanocores: number; memoryBytes: number } | undefined {
    const kept = this.#samples.get(id)
    if (!kept) {
      this.#samples.set(id, { older: now, newer: now })
      return undefined
    }
    if (now.time - kept.newer.time >= 10_000) this.#samples.set(id, { older: kept.newer, newer: now })
    const { older } = this.#samples.get(id)!
    const window = now.time - older.time
    if (window < shortestWindowMs) return undefined
    const cpuNanocores = Math.max(0, Math.round(((now.cpuNs - older.cpuNs) * 1000) / window))
    return { window, cpuNanocores, memoryBytes: now.memoryBytes }
  }
}

const sampleOf = (stats: CgroupStats, time: number): Sample => ({
  time,
  cpuNs: stats.cpuUsageNs,
  memoryBytes: stats.memoryWorkingSetBytes,
})

/** From /proc: all CPU time but idle and iowait (USER_HZ is 100 on Linux), and memory that cannot be reclaimed. */
const nodeSample = (time: number): Sample => {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/).slice(1).map(Number)
  const busy = fields.reduce((sum, value, i) => (i === 3 || i === 4 || i >= 8 ? sum : sum + value), 0)
  const info = readFileSync('/proc/meminfo', 'utf8')
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  return { time, cpuNs: busy * 10_000_000, memoryBytes: (kib('MemTotal') - kib('MemAvailable')) * 1024 }
}
