import { join } from 'node:path'
import { Instance, processorMs, repository, residentMB } from './instance.ts'
import { pause } from './program.ts'
import type { Benchmark, Result } from './report.ts'

const settleMs = 30_000
const watchedMs = 30_000

const idle = async (instance: Instance, what: string): Promise<Result[]> => {
  await pause(settleMs)
  const pid = instance.pid()
  const before = processorMs(pid)
  const from = performance.now()
  await pause(watchedMs)
  const share = ((processorMs(pid) - before) / (performance.now() - from)) * 100
  return [
    { name: `daemon's memory, ${what}`, ours: residentMB(pid), unit: 'MB', goal: { most: 120 } },
    { name: `daemon's processor share, ${what}`, ours: share, unit: '%', goal: { most: 0.3 } },
  ]
}

/** What the daemon costs while nothing happens: half a minute after the last thing did. */
export const idleCost: Benchmark = {
  name: 'idle',
  about:
    'resident memory and processor time of the daemon (without its probes), 30 s after: start, and FeastFlow built and up',
  async run(bench) {
    const instance = new Instance(bench.env)
    try {
      await instance.slipway('daemon', 'start')
      const results = await idle(instance, 'nothing running')
      await instance.slipway('up', '-d', '--build', '-f', join(repository, 'examples/feastflow/compose.yaml'))
      return [...results, ...(await idle(instance, 'FeastFlow up'))]
    } finally {
      await instance.remove()
    }
  },
}
