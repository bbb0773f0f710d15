import { join } from 'node:path'
import { launcher, repository } from './instance.ts'
import { must } from './program.ts'
import { type Benchmark, inTurn, type Result } from './report.ts'

const nodeAlone = join(repository, 'node_modules/.bin/node')

/** What a command of ours costs over Node itself, which it cannot go below. */
export const commandLine: Benchmark = {
  name: 'cli',
  about: 'slipway version, ps, container ls, and a Node that does nothing',
  async run(bench) {
    const { instance } = await bench.ours()
    const project = join(repository, 'examples/feastflow/compose.yaml')
    const time = async (...argv: string[]): Promise<number> => (await must(argv, instance.env)).ms
    const [version, ps, containers, node] = await inTurn(
      11,
      () => time(launcher, 'version'),
      () => time(launcher, '-f', project, 'ps'),
      () => time(launcher, 'container', 'ls'),
      () => time(nodeAlone, '-e', ''),
    )
    const result = (name: string, ours: number, most: number): Result => ({
      name: `${name} / node alone`,
      ours,
      peer: node!,
      unit: 'ms',
      goal: { most },
    })
    return [
      result('slipway version', version!, 2),
      result('slipway ps', ps!, 4),
      result('slipway container ls', containers!, 4),
    ]
  },
}
