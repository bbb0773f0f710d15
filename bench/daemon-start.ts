import { existsSync } from 'node:fs'
import { Instance } from './instance.ts'
import { eventually, run } from './program.ts'
import { type Benchmark, median, type Result } from './report.ts'

/** Asked until the node is ready; a kubectl that finds no server yet gives up at once, so it does not distort much. */
const nodeReady = async (instance: Instance): Promise<true | undefined> => {
  if (!existsSync(instance.env.KUBECONFIG!)) return undefined
  const jsonpath = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
  return (await run(['kubectl', 'get', 'nodes', '-o', jsonpath], instance.env)).stdout === 'True' ? true : undefined
}

const startToReady = async (instance: Instance): Promise<number> => {
  const from = performance.now()
  await instance.slipway('daemon', 'start')
  await eventually('the node is Ready', () => nodeReady(instance))
  return performance.now() - from
}

/** A cluster from nothing: what kind and minikube take half a minute for. */
export const daemonStart: Benchmark = {
  name: 'start',
  about: 'from `slipway daemon start` to kubectl seeing a Ready node, in a new home and in one with state',
  async run(bench) {
    const [fresh, warm]: [number[], number[]] = [[], []]
    for (let round = 0; round < 5; round++) {
      const instance = new Instance(bench.env)
      try {
        fresh.push(await startToReady(instance))
        await instance.slipway('daemon', 'stop')
        warm.push(await startToReady(instance))
      } finally {
        await instance.remove()
      }
    }
    const result = (name: string, values: number[]): Result => ({
      name: `daemon start to Ready, ${name}`,
      ours: median(values),
      unit: 'ms',
      goal: { most: 1500 },
    })
    return [result('new home', fresh), result('with state', warm)]
  },
}
