import { createHash } from 'node:crypto'
import { createWriteStream, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { packTar, type TarMember, tarEntry } from '../src/lib/tar/index.ts'
import type { Bench, Side } from './bench.ts'
import { deleted, eventually, must, run, start } from './program.ts'
import { type Benchmark, median, type Result } from './report.ts'

const layerBytes = 100e6
const layerCount = 3
const rounds = 3

/** One way to handle images: our daemon or dockerd by docker's client, or podman. */
interface Tool {
  name: string
  run(...args: string[]): ReturnType<typeof must>
  /** Flags of push and pull. */
  plain: string[]
}

/** save, load, push and pull of a 300 MB image of three layers, made of this machine's own programs and libraries. */
export const images: Benchmark = {
  name: 'images',
  about: 'save, load, push and pull of a 300 MB image, against dockerd and podman',
  async run(bench) {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-bench-images-'))
    const stops: (() => unknown)[] = []
    try {
      const archive = join(dir, 'image.tar')
      await writeArchive(archive)
      const tools = await toolsFor(bench, dir, stops)
      const { host } = await bench.theirs()
      // dockerd has a loopback of its own: the registry answers there as well.
      const pid = readFileSync(join(dirname(host.replace('unix://', '')), 'pid'), 'utf8').trim()
      return await measure(tools, dir, archive, () => emptyRegistry(bench, dir, pid))
    } finally {
      for (const stop of stops.reverse()) await stop()
      rmSync(dir, { recursive: true, force: true })
    }
  },
}

const toolsFor = async (bench: Bench, dir: string, stops: (() => unknown)[]): Promise<Tool[]> => {
  const [ours, theirs] = [await bench.ours(), await bench.theirs()]
  const side = (name: string, { docker }: Side): Tool => ({ name, run: docker, plain: [] })
  const policy = join(dir, 'policy.json')
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  const podmanHome = [
    '--root',
    join(dir, 'podman'),
    '--runroot',
    join(dir, 'run'), // podman takes 50 characters at most
    '--storage-driver',
    'overlay',
  ]
  const podman: Tool = {
    name: 'podman',
    plain: ['--tls-verify=false'],
    run: (command = '', ...args) => {
      const policied = ['push', 'pull', 'load'].includes(command) ? ['--signature-policy', policy] : []
      return must(['podman', ...podmanHome, command, ...policied, ...args], bench.env)
    },
  }
  // Overlay mounts that podman keeps would hold the directory.
  stops.push(() => run(['umount', join(dir, 'podman/overlay')], bench.env))
  return [side('slipway', ours), side(`dockerd ${theirs.version}`, theirs), podman]
}

/** Nobody has anything there, and nobody knows it: every layer has to be compressed and sent. */
const emptyRegistry = async (bench: Bench, dir: string, dockerd: string): Promise<{ host: string; stop(): void }> => {
  const storage = mkdtempSync(join(dir, 'registry-'))
  const port = await freePort()
  const config = join(storage, 'registry.yml')
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: ${storage}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  )
  const children = [[], ['nsenter', '--target', dockerd, '--net']].map((inside) =>
    start([...inside, 'docker-registry', 'serve', config], bench.env, 'ignore'),
  )
  const stop = (): void => {
    for (const child of children) child.kill()
    rmSync(storage, { recursive: true, force: true })
  }
  await eventually('docker-registry', async () => (await answers(port)) || undefined)
  return { host: `127.0.0.1:${port}`, stop }
}

const name = 'localhost/bench:300'

const measure = async (
  tools: readonly Tool[],
  dir: string,
  archive: string,
  registry: () => Promise<{ host: string; stop(): void }>,
): Promise<Result[]> => {
  const taken = new Map<string, number[]>()
  const add = (tool: Tool, what: string, ms: number): void => {
    const key = `${what} ${tool.name}`
    taken.set(key, [...(taken.get(key) ?? []), ms])
  }
  for (let round = 0; round <= rounds; round++)
    for (const tool of tools) {
      const times = await tryOut(tool, dir, archive, await registry())
      // The first round warms caches.
      if (round > 0) for (const [what, ms] of Object.entries(times)) add(tool, what, ms)
    }
  const [ours, ...peers] = tools
  const middle = (tool: Tool, what: string): number => median(taken.get(`${what} ${tool.name}`)!)
  return ['save', 'load', 'push', 'pull'].flatMap((what) =>
    peers.map((peer) => ({
      name: `${what} of 300 MB, against ${peer.name}`,
      ours: middle(ours!, what),
      peer: middle(peer, what),
      unit: 'ms' as const,
      goal: { most: 0.8 },
    })),
  )
}

/** How long each takes, in ms, with a registry that is ended afterwards. */
const tryOut = async (
  tool: Tool,
  dir: string,
  archive: string,
  { host, stop }: { host: string; stop(): void },
): Promise<Record<string, number>> => {
  const remote = `${host}/bench/image:1`
  const saved = join(dir, 'saved.tar')
  const timed = async (...args: string[]): Promise<number> => (await tool.run(...args)).ms
  const times: Record<string, number> = {}
  try {
    await deleted()
    times.load = await timed('load', '-q', '-i', archive)
    times.save = await timed('save', '-o', saved, name)
    rmSync(saved)
    await tool.run('tag', name, remote)
    times.push = await timed('push', '-q', ...tool.plain, remote)
    await tool.run('rmi', '-f', name, remote)
    await deleted()
    times.pull = await timed('pull', '-q', ...tool.plain, remote)
    await tool.run('rmi', '-f', remote)
    return times
  } finally {
    stop()
  }
}

/** A docker archive all three can load. */
const writeArchive = async (path: string): Promise<void> => {
  const layers: Buffer[] = []
  const files = filesOf(['/usr/bin', '/usr/lib', '/usr/share', '/usr/sbin'])
  for (let i = 0; i < layerCount; i++) layers.push(await buffer(packTar(take(files, layerBytes))))
  const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex')
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      created: '2024-01-01T00:00:00Z',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
      history: layers.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'bench' })),
    }),
  )
  const parts: [string, Buffer][] = [
    ...layers.map((layer, i): [string, Buffer] => [`${i}/layer.tar`, layer]),
    [`${sha256(config)}.json`, config],
  ]
  const manifest = [{ Config: parts.at(-1)![0], RepoTags: [name], Layers: parts.slice(0, -1).map(([each]) => each) }]
  parts.push(['manifest.json', Buffer.from(JSON.stringify(manifest))])
  const members = parts.map(([each, body]): TarMember => ({ entry: tarEntry({ path: each, size: body.length }), body }))
  await pipeline(packTar(members), createWriteStream(path))
}

function* filesOf(directories: string[]): Generator<string> {
  for (const directory of directories)
    for (const entry of readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) yield* filesOf([path])
      else if (entry.isFile() && lstatSync(path).size < 20e6) yield path
    }
}

function* take(files: Generator<string>, bytes: number): Generator<TarMember> {
  for (let left = bytes; left > 0; ) {
    const next = files.next()
    if (next.done)
      throw new Error(`this machine has less than ${(layerCount * layerBytes) / 1e6} MB of files below /usr`)
    const body = readFileSync(next.value)
    left -= body.length
    const { mode } = lstatSync(next.value)
    yield { entry: tarEntry({ path: next.value.slice(1), size: body.length, mode: mode & 0o7777 }), body }
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
