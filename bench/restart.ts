import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { image, type Side } from './bench.ts'
import { eventually, pause, run } from './program.ts'
import { type Benchmark, median } from './report.ts'

const running = 100
const rounds = 5
/** A daemon that dies younger than this is started again with a delay, on purpose. */
const steadyMs = 11_000

const startAll = async (side: Side): Promise<void> => {
  for (let i = 0; i < running; i += 10)
    await Promise.all(
      Array.from({ length: 10 }, (_, j) =>
        side.docker('run', '-d', '--name', `kept-${i + j}`, image, 'sleep', '100000'),
      ),
    )
}

/** From SIGKILL to an answer that knows all containers. */
const back = async (side: Side, pid: number, env: NodeJS.ProcessEnv): Promise<number> => {
  const from = performance.now()
  process.kill(pid, 'SIGKILL')
  await eventually('the next daemon', async () => {
    const { code, stdout } = await run(['docker', '-H', side.host, 'ps', '-q'], env)
    return code === 0 && stdout.trim().split('\n').length === running ? true : undefined
  })
  return performance.now() - from
}

/** Both come back by themselves: ours by its supervisor, dockerd (with live-restore) by a shell that starts it anew at once. */
export const restart: Benchmark = {
  name: 'restart',
  about: `the daemon is killed with ${running} containers running: how long until docker ps lists them`,
  async run(bench) {
    const ours = await bench.ours()
    const theirs = await bench.liveDockerd()
    const pidOfTheirs = (): number =>
      Number(readFileSync(join(dirname(theirs.host.replace('unix://', '')), 'pid'), 'utf8'))
    const [mine, other]: [number[], number[]] = [[], []]
    try {
      for (const side of [ours, theirs]) await startAll(side)
      for (let round = 0; round < rounds; round++) {
        await pause(steadyMs)
        mine.push(await back(ours, ours.instance.pid(), bench.env as NodeJS.ProcessEnv))
        other.push(await back(theirs, pidOfTheirs(), bench.env as NodeJS.ProcessEnv))
      }
      const ids = (await ours.docker('ps', '-aq')).stdout.trim().split('\n')
      await ours.docker('rm', '-f', ...ids)
    } finally {
      await theirs.stop()
    }
    const name = `killed daemon until docker ps, ${running} containers`
    return [
      { name, ours: median(mine), unit: 'ms', goal: { most: 1000 } },
      { name: `${name}, against live-restore`, ours: median(mine), peer: median(other), unit: 'ms', goal: { most: 1 } },
    ]
  },
}
