/** Builds over and over: what a developer waits for. Each builder has directories of its own with content of its own. */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { type Bench, image } from './bench.ts'
import { type ImageBuilder, type ImageBuilders, imageBuilders } from './builders.ts'
import { type Benchmark, median, type Result } from './report.ts'

const rounds = 3
const directories = 100
const filesEach = 100

/** Twenty steps after FROM; the thirteenth copies the source. */
const twentySteps = `FROM ${image}
LABEL org.opencontainers.image.title="bench"
ENV MODE=production
WORKDIR /app
RUN echo system > /etc/system
RUN echo compiler > /etc/compiler
RUN echo certificates > /etc/certificates
ARG VERSION=1
ENV VERSION=$VERSION
COPY package.json lock.json ./
RUN cat package.json lock.json > installed
COPY config config
RUN cat config/* > configured
COPY src src
RUN cat src/* > built
RUN echo tested > tested
COPY --chown=1000:1000 assets assets
RUN echo minified > minified
EXPOSE 8080
USER 1000:1000
CMD ["cat", "/app/built"]
`

const unique = (): string => randomBytes(12).toString('hex')

const writeProject = (dir: string): void => {
  for (const each of ['config', 'src', 'assets']) {
    mkdirSync(join(dir, each), { recursive: true })
    for (let i = 0; i < 20; i++) writeFileSync(join(dir, each, `file-${i}`), `${unique()}\n`.repeat(100))
  }
  for (const each of ['package.json', 'lock.json']) writeFileSync(join(dir, each), JSON.stringify({ name: unique() }))
  writeFileSync(join(dir, 'Dockerfile'), twentySteps)
}

const smallFile = (dir: string, i: number, j: number): string => join(dir, `d${i}`, `file-${j}.txt`)

/** 10,000 files of 0.1 to 2.5 kB. */
const writeManyFiles = (dir: string): void => {
  const line = `${unique()}\n`
  for (let i = 0; i < directories; i++) {
    mkdirSync(join(dir, `d${i}`), { recursive: true })
    for (let j = 0; j < filesEach; j++) writeFileSync(smallFile(dir, i, j), `${i} ${j}\n${line.repeat(4 + j)}`)
  }
  writeFileSync(join(dir, 'Dockerfile'), `FROM ${image}\nCOPY . /app\n`)
}

const touchManyFiles = (dir: string): void => {
  const now = new Date()
  for (let i = 0; i < directories; i++) for (let j = 0; j < filesEach; j++) utimesSync(smallFile(dir, i, j), now, now)
}

/** Times of one builder by what was done. */
type Times = Record<string, number>

/** A second build right after the first still reads what was written a moment ago; a developer's does not. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300))

/**
 * Nothing is deleted before the end: ext4 without a journal passes over inodes that were deleted in the last minutes, one by
 * one, so what one builder had left would slow the next one.
 */
const developerRound = async (builder: ImageBuilder, dir: string): Promise<Times> => {
  const tag = `bench-${unique()}:1`
  const [project, many] = [join(dir, unique()), join(dir, unique())]
  mkdirSync(project)
  mkdirSync(many)
  const build = async (path: string): Promise<number> => {
    await settle()
    return await builder.build({ [tag]: path })
  }
  const times: Times = {}
  writeProject(project)
  await build(project)
  times['20 steps, nothing changed'] = await build(project)
  writeFileSync(join(project, 'src/file-7'), unique())
  times['20 steps, one source file changed'] = await build(project)
  writeManyFiles(many)
  times['10,000 files, the first time'] = await build(many)
  times['10,000 files, nothing changed'] = await build(many)
  writeFileSync(smallFile(many, 50, 50), unique())
  times['10,000 files, one changed'] = await build(many)
  touchManyFiles(many)
  times['10,000 files, all touched'] = await build(many)
  return times
}

const goals: Record<string, number> = {
  '20 steps, nothing changed': 0.3,
  '20 steps, one source file changed': 0.5,
  '10,000 files, the first time': 1,
  '10,000 files, nothing changed': 0.25,
  '10,000 files, one changed': 0.5,
  '10,000 files, all touched': 1,
}

export const builds: Benchmark = {
  name: 'build',
  about:
    'builds of 20 steps and of 10,000 files, unchanged and changed, against dockerd (BuildKit, classic) and buildah',
  async run(bench: Bench) {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-bench-build-'))
    try {
      const builders = await imageBuilders(bench, dir, await bench.theirs())
      const base = join(dir, 'base.tar')
      await (await bench.ours()).docker('save', '-o', base, image)
      await builders.buildah.load(base)
      const { ours, theirs, slipway, buildah } = builders
      const taken = new Map<ImageBuilder, Times[]>()
      // dockerd's classic builder and buildah delete what they have worked with, so they come after the others.
      for (const group of [
        [slipway, ours.buildkit, theirs.buildkit],
        [ours.classic, theirs.classic, buildah],
      ])
        for (const [each, times] of await inTurn(bench, group, dir)) taken.set(each, times)
      for (const each of [slipway, theirs.buildkit, buildah]) await each.forget([image])
      return compare(builders, (builder, what) => median(taken.get(builder)!.map((times) => times[what]!)))
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  },
}

const inTurn = async (bench: Bench, group: readonly ImageBuilder[], dir: string) => {
  const taken = new Map(group.map((each): [ImageBuilder, Times[]] => [each, []]))
  for (let round = 0; round <= rounds; round++)
    for (const each of group) {
      const times = await developerRound(each, dir)
      bench.say(
        `${each.name}: ${Object.entries(times)
          .map(([what, ms]) => `${what} ${ms.toFixed(0)}`)
          .join('; ')}`,
      )
      if (round > 0) taken.get(each)!.push(times) // the first one warms caches
    }
  return taken
}

/** Our command line against each peer, and the same client on both sides. */
const compare = (
  { slipway, ours, theirs, buildah }: ImageBuilders,
  middle: (builder: ImageBuilder, what: string) => number,
): Result[] =>
  Object.entries(goals).flatMap(([what, most]) => {
    const pairs: [ImageBuilder, ImageBuilder][] = [
      [slipway, theirs.buildkit],
      [slipway, buildah],
      [ours.buildkit, theirs.buildkit],
      [ours.classic, theirs.classic],
    ]
    return pairs.map(([our, their]) => ({
      name: `${what}: ${our.name} / ${their.name}`,
      ours: middle(our, what),
      peer: middle(their, what),
      unit: 'ms' as const,
      goal: { most },
    }))
  })
