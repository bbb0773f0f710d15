/** The three images of the example, from nothing but the base: every package is downloaded and unpacked again. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { Bench } from './bench.ts'
import { type ImageBuilder, imageBuilders } from './builders.ts'
import { repository } from './instance.ts'
import { type Benchmark, median } from './report.ts'

const rounds = 3
const base = 'debian:bookworm-slim'

export const coldBuild: Benchmark = {
  name: 'feastflow',
  about: "cold builds of FeastFlow's three images at once, against dockerd (BuildKit)",
  async run(bench: Bench) {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-bench-feastflow-'))
    const dockerd = await bench.onlineDockerd()
    try {
      const { slipway, theirs } = await imageBuilders(bench, dir, dockerd)
      const archive = join(dir, 'base.tar')
      const ours = await bench.ours()
      await ours.docker('pull', '-q', base)
      await ours.docker('save', '-o', archive, base)
      await theirs.buildkit.load(archive)
      const taken = new Map<ImageBuilder, number[]>([
        [slipway, []],
        [theirs.buildkit, []],
      ])
      for (let round = 0; round < rounds; round++)
        for (const [builder, times] of taken) {
          const ms = await builder.build(projects(dir), 'host')
          bench.say(`${builder.name}: ${(ms / 1000).toFixed(1)} s`)
          times.push(ms)
          await builder.forget([base])
        }
      const [us, them] = [...taken.values()].map((times) => median(times) / 1000)
      return [{ name: `FeastFlow's images, cold`, ours: us!, peer: them!, unit: 's', goal: { most: 0.8 } }]
    } finally {
      await dockerd.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  },
}

/** Copies with content of their own, so that nothing an earlier round has left can be of use. */
const projects = (dir: string): Record<string, string> => {
  const round = randomBytes(6).toString('hex')
  return Object.fromEntries(
    ['postgres', 'backend', 'frontend'].map((name) => {
      const path = join(dir, round, name)
      cpSync(join(repository, 'examples/feastflow', name), path, { recursive: true })
      const file = join(path, 'Dockerfile')
      const dockerfile = forOlderFrontends(readFileSync(file, 'utf8'))
      writeFileSync(file, dockerfile.replaceAll(/target=(\/[^,]+)/g, `id=${round}$1,target=$1`))
      return [`bench-${name}:${round}`, path]
    }),
  )
}

/** What Debian's dockerd does not know: here-documents, which become one word, and a health check's interval at the start. */
const forOlderFrontends = (dockerfile: string): string =>
  dockerfile
    .replaceAll(
      /<<'SH'\n(.*?)\nSH\n/gs,
      (_, script: string) => `echo ${Buffer.from(script).toString('base64')} | base64 -d | sh\n`,
    )
    .replaceAll(/ --start-interval=\S+/g, '')
