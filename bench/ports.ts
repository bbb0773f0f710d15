import { readdirSync, readFileSync } from 'node:fs'
import { startDockerd } from './dockerd.ts'
import { Instance } from './instance.ts'
import { createMachine, type Machine } from './machine.ts'
import { importNode, nodeImage, nodeServer } from './node-image.ts'
import { type Env, eventually, must, run } from './program.ts'
import { type Benchmark, median, type Result } from './report.ts'

const published = '18080'
const rounds = 7

/** The server, published, on a machine of its own. Its pid. */
const serve = async (bench: { env: Env }, host: string, machine: Machine): Promise<number> => {
  await importNode(bench.env, host)
  const docker = (...args: string[]) => must(['docker', '-H', host, ...args], bench.env)
  const { stdout } = await docker('run', '-d', '-p', `${published}:8080`, nodeImage, ...nodeServer)
  await eventually('the server answers', async () =>
    (await run([...machine.on, 'wrk', '-t1', '-c1', '-d1s', `http://127.0.0.1:${published}/`], bench.env)).code === 0
      ? true
      : undefined,
  )
  return Number((await docker('inspect', '-f', '{{.State.Pid}}', stdout.trim())).stdout)
}

/** Microseconds of processor time all threads of a process have had. */
const processorTime = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    .reduce((sum, nanoseconds) => sum + Number(nanoseconds) / 1000, 0)

/** The proxies that dockerd has started for the port. */
const proxies = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return words[0]!.endsWith('docker-proxy') && words.includes(published)
      } catch {
        return false // ended meanwhile
      }
    })
    .map(Number)

interface Side {
  machine: Machine
  /** Whose processor time counts, besides the client's. */
  pids: number[]
}
interface Measured {
  /** Requests a second. */
  rate: number
  /** Microseconds of processor time a request costs, the client's included: kernel work is done in the name of whoever is on. */
  cost: number
}

const measure = async (bench: { env: Env }, side: Side, way: (typeof ways)[number]): Promise<Measured> => {
  const spent = (): number => side.pids.map(processorTime).reduce((sum, each) => sum + each, 0)
  const before = spent()
  const header = way.close ? ['-H', 'Connection: close'] : []
  const wrk = ['wrk', '-t1', '-c16', '-d2s', ...header, `http://${way.to(side.machine)}:${published}/`]
  const timed = ['bash', '-c', 'time -p "$@"', 'bash', ...way.enter(side.machine), ...wrk]
  const { stdout, stderr } = await must(timed, bench.env)
  const figure = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1])
  const client = (figure(/^user ([\d.]+)/m, stderr) + figure(/^sys ([\d.]+)/m, stderr)) * 1e6
  const requests = figure(/(\d+) requests in/, stdout)
  const rate = figure(/Requests\/sec:\s+([\d.]+)/, stdout)
  if (!(rate > 0) || /Non-2xx/.test(stdout)) throw new Error(`wrk:\n${stdout}${stderr}`)
  return { rate, cost: (client + spent() - before) / requests }
}

const ways = [
  { name: 'loopback', enter: ({ on }: Machine) => on, to: () => '127.0.0.1', close: false },
  { name: 'next machine', enter: ({ beside }: Machine) => beside, to: ({ address }: Machine) => address, close: false },
  {
    name: 'next machine, a connection each',
    enter: ({ beside }: Machine) => beside,
    to: ({ address }: Machine) => address,
    close: true,
  },
]

const compare = async (
  bench: { env: Env },
  ours: Side,
  theirs: Side,
  way: (typeof ways)[number],
): Promise<Result[]> => {
  const taken: Record<'ours' | 'theirs', Measured[]> = { ours: [], theirs: [] }
  for (let round = 0; round <= rounds; round++) {
    const pair = { ours: await measure(bench, ours, way), theirs: await measure(bench, theirs, way) }
    if (round === 0) continue // warm
    taken.ours.push(pair.ours)
    taken.theirs.push(pair.theirs)
  }
  const of = (side: 'ours' | 'theirs', what: keyof Measured): number => median(taken[side].map((each) => each[what]))
  const name = `published port, ${way.name}`
  return [
    { name, ours: of('ours', 'rate'), peer: of('theirs', 'rate'), unit: 'req/s', goal: { least: 1 } },
    { name: `${name}: processor`, ours: of('ours', 'cost'), peer: of('theirs', 'cost'), unit: 'µs', goal: { most: 1 } },
  ]
}

export const portThroughput: Benchmark = {
  name: 'ports',
  about: 'wrk at a published port, from the loopback of its machine and from the next one',
  async run(bench) {
    const [mine, theirs] = await Promise.all([createMachine('a', bench.env), createMachine('b', bench.env)])
    const instance = new Instance(bench.env, mine.on)
    let dockerd: Awaited<ReturnType<typeof startDockerd>> | undefined
    try {
      await instance.slipway('daemon', 'start')
      const server = await serve(bench, instance.host, mine)
      dockerd = await startDockerd(bench.env, { enter: theirs.on, iptables: true })
      const peer = await serve(bench, dockerd.host, theirs)
      const ours: Side = { machine: mine, pids: [server, instance.pid()] }
      const results: Result[] = []
      for (const way of ways)
        results.push(...(await compare(bench, ours, { machine: theirs, pids: [peer, ...proxies()] }, way)))
      return results
    } finally {
      await dockerd?.stop()
      await instance.remove()
      await mine.remove()
      await theirs.remove()
    }
  },
}
