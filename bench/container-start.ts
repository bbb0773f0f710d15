/** Medians of a container's whole life (create, start, exit, remove of `true`) and of an exec, in one process. Needs root. */
import type { ContainerSpec } from '../src/engine/index.ts'
import { importBusybox, onBridge, openBench, spec } from '../test/root/engine-kit.ts'

const rounds = Number(process.argv[2] ?? 20)
const median = (values: number[]): string =>
  [...values]
    .sort((a, b) => a - b)
    [values.length >> 1]!.toFixed(1)
    .padStart(6)

const bench = await openBench()
try {
  const { containers } = bench.engine
  await importBusybox(bench.engine)
  const life = async (name: string, sandbox?: ContainerSpec['sandbox']): Promise<number[]> => {
    const at = [performance.now()]
    const { id } = await containers.create(spec(name, ['true'], sandbox ? { sandbox } : {}))
    at.push(performance.now())
    const exit = containers.wait(id, 'next-exit')
    await containers.start(id)
    at.push(performance.now())
    await exit
    at.push(performance.now())
    await containers.remove(id)
    at.push(performance.now())
    return [...at.slice(1).map((time, i) => time - at[i]!), at.at(-1)! - at[0]!]
  }
  const networks: [string, () => ContainerSpec['sandbox'] | undefined][] = [
    ['bridge', () => onBridge('bench')],
    ['none', () => undefined],
  ]
  console.log('median ms      create  start   exit remove  total')
  for (const [network, sandbox] of networks) {
    await life(`${network}-warm`, sandbox())
    const rows: number[][] = []
    for (let i = 0; i < rounds; i++) rows.push(await life(`${network}-${i}`, sandbox()))
    console.log(network.padEnd(14), [0, 1, 2, 3, 4].map((column) => median(rows.map((row) => row[column]!))).join(' '))
  }
  const { id } = await containers.create(spec('execs', ['sleep', '1000']))
  await containers.start(id)
  const execs: number[] = []
  for (let i = 0; i < rounds; i++) {
    const start = performance.now()
    await containers.execOnce(id, ['true'])
    execs.push(performance.now() - start)
  }
  console.log('exec'.padEnd(14), median(execs))
} finally {
  await bench.destroy()
}
