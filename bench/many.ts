import { image, type Side } from './bench.ts'
import { type Benchmark, inTurn } from './report.ts'

const created = 200
const parallel = 50

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

/** In groups of ten: two hundred clients at once would measure the machine. */
const createAll = async (side: Side): Promise<void> => {
  const all = names('many', created)
  for (let i = 0; i < all.length; i += 10)
    await Promise.all(all.slice(i, i + 10).map((name) => side.docker('create', '--name', name, image, 'true')))
}

export const listing: Benchmark = {
  name: 'list',
  about: `docker ps -a with ${created} containers`,
  async run(bench) {
    const sides = [await bench.ours(), await bench.theirs()]
    for (const side of sides) await createAll(side)
    const [ours, theirs] = await inTurn(15, ...sides.map((side) => () => side.time('ps', '-a')))
    for (const side of sides) await side.docker('rm', '-f', ...names('many', created))
    return [{ name: `docker ps -a, ${created} containers`, ours: ours!, peer: theirs!, unit: 'ms', goal: { most: 1 } }]
  },
}

export const logReading: Benchmark = {
  name: 'logs',
  about: 'docker logs of 100 MB that a container wrote, and the time it took to write them',
  async run(bench) {
    const sides = [await bench.ours(), await bench.theirs()]
    const write = 'yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 100000000'
    const name = 'bench-logs'
    const writing = async (side: Side): Promise<number> => {
      await side.docker('rm', '-f', name).catch(() => {}) // the first time there is none
      await side.docker('run', '-d', '--name', name, image, 'sh', '-c', write)
      const from = performance.now()
      await side.docker('wait', name)
      return performance.now() - from
    }
    const [weWrite, theyWrite] = await inTurn(3, ...sides.map((side) => () => writing(side)))
    const [weRead, theyRead] = await inTurn(3, ...sides.map((side) => () => side.time('logs', name)))
    for (const side of sides) await side.docker('rm', '-f', name)
    return [
      { name: 'docker logs, 100 MB', ours: weRead!, peer: theyRead!, unit: 'ms', goal: { most: 1 } },
      { name: 'writing 100 MB of logs', ours: weWrite!, peer: theyWrite!, unit: 'ms', goal: { most: 1 } },
    ]
  },
}

export const parallelRuns: Benchmark = {
  name: 'parallel',
  about: `${parallel} times docker run -d at once`,
  async run(bench) {
    const sides = [await bench.ours(), await bench.theirs()]
    const [ours, theirs] = await inTurn(
      3,
      ...sides.map((side) => async () => {
        const all = names('parallel', parallel)
        const from = performance.now()
        await Promise.all(all.map((name) => side.docker('run', '-d', '--name', name, image, 'sleep', '1000')))
        const took = performance.now() - from
        await side.docker('rm', '-f', ...all)
        return took
      }),
    )
    return [
      { name: `${parallel} × docker run -d at once`, ours: ours!, peer: theirs!, unit: 'ms', goal: { most: 0.4 } },
    ]
  },
}
