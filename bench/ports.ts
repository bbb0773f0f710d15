import { startDockerd } from './dockerd.ts'
import { Instance } from './instance.ts'
import { createMachine, type Machine } from './machine.ts'
import { importNode, nodeImage, nodeServer, requestsPerSecond } from './node-image.ts'
import { type Env, eventually, must, run } from './program.ts'
import { type Benchmark, inTurn, type Result } from './report.ts'

const published = '18080'

/** The server, published, on a machine of its own. */
const serve = async (bench: { env: Env }, host: string, machine: Machine): Promise<void> => {
  await importNode(bench.env, host)
  await must(['docker', '-H', host, 'run', '-d', '-p', `${published}:8080`, nodeImage, ...nodeServer], bench.env)
  await eventually('the server answers', async () =>
    (await run([...machine.on, 'wrk', '-t1', '-c1', '-d1s', `http://127.0.0.1:${published}/`], bench.env)).code === 0
      ? true
      : undefined,
  )
}

const ways: {
  name: string
  enter: (machine: Machine) => string[]
  to: (machine: Machine) => string
  close: boolean
}[] = [
  { name: 'loopback', enter: ({ on }) => on, to: () => '127.0.0.1', close: false },
  { name: 'another machine', enter: ({ beside }) => beside, to: ({ address }) => address, close: false },
  {
    name: 'another machine, a connection each',
    enter: ({ beside }) => beside,
    to: ({ address }) => address,
    close: true,
  },
]

export const portThroughput: Benchmark = {
  name: 'ports',
  about: 'wrk at a published port, from the loopback of its machine and from the next one',
  async run(bench) {
    const [mine, theirs] = await Promise.all([createMachine('a', bench.env), createMachine('b', bench.env)])
    const instance = new Instance(bench.env, mine.on)
    let dockerd: Awaited<ReturnType<typeof startDockerd>> | undefined
    try {
      await instance.slipway('daemon', 'start')
      await serve(bench, instance.host, mine)
      dockerd = await startDockerd(bench.env, { enter: theirs.on, iptables: true })
      await serve(bench, dockerd.host, theirs)
      const results: Result[] = []
      for (const { name, enter, to, close } of ways) {
        const ask = (machine: Machine) => () =>
          requestsPerSecond(bench, `${to(machine)}:${published}`, { enter: enter(machine), close })
        const [ours, peer] = await inTurn(9, ask(mine), ask(theirs))
        results.push({ name: `published port, ${name}`, ours: ours!, peer: peer!, unit: 'req/s', goal: { least: 1 } })
      }
      return results
    } finally {
      await dockerd?.stop()
      await instance.remove()
      await mine.remove()
      await theirs.remove()
    }
  },
}
