import { image } from './bench.ts'
import { type Benchmark, inTurn, type Result } from './report.ts'

/** A whole life of a container, as `docker run --rm` sees it, and a command inside a running one. */
export const runContainer: Benchmark = {
  name: 'run',
  about: 'docker run --rm IMAGE true, with a bridge and without a network; docker exec',
  async run(bench) {
    const [ours, theirs] = [await bench.ours(), await bench.theirs()]
    const results: Result[] = []
    for (const network of ['bridge', 'none']) {
      const argv = ['run', '--rm', '--network', network, image, 'true']
      const [us, them] = await inTurn(
        20,
        () => ours.time(...argv),
        () => theirs.time(...argv),
      )
      results.push({ name: `docker run --rm, ${network}`, ours: us!, peer: them!, unit: 'ms', goal: { most: 0.35 } })
    }
    const name = 'bench-exec'
    for (const side of [ours, theirs]) await side.docker('run', '-d', '--name', name, image, 'sleep', '1000')
    const [us, them] = await inTurn(
      20,
      () => ours.time('exec', name, 'true'),
      () => theirs.time('exec', name, 'true'),
    )
    for (const side of [ours, theirs]) await side.docker('rm', '-f', name)
    results.push({ name: 'docker exec', ours: us!, peer: them!, unit: 'ms', goal: { most: 0.6 } })
    return results
  },
}
