/** The builder: Dockerfiles to images, with a cache that outlives the daemon. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Engine, Instance } from '../engine/types.ts'
import { messageOf, SlipwayError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { migrate } from '../lib/database.ts'
import type { Log } from '../lib/log.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { Sys } from '../sys/sys.ts'
import type { BuildDeps } from './build.ts'
import { describe, runBuild, runExport } from './build.ts'
import type { CollectDeps } from './cache/collect.ts'
import { cachePolicy, cacheUsage, createGarbageCollector, dropOrphans, prune } from './cache/collect.ts'
import { EarlierCopies } from './cache/copies.ts'
import { CacheMounts } from './cache/mounts.ts'
import { CacheRecords } from './cache/records.ts'
import { schema } from './cache/schema.ts'
import { WriteOut } from './cache/write-out.ts'
import { gitAuthorization, httpAuthorization } from './context/authorization.ts'
import { createFileDigests } from './context/digests.ts'
import { Downloads } from './context/download.ts'
import { GitSources, needsAgent } from './context/git.ts'
import { KeptContexts } from './context/kept.ts'
import { ReceivedContexts, receivedPrefix } from './context/received-contexts.ts'
import { History } from './history/history.ts'
import { recordOf, resultOf } from './history/record.ts'
import { HistoryRows } from './history/rows.ts'
import { Flights } from './solver/flights.ts'
import { activePrefix, clearDirectory } from './solver/workspace.ts'
import type { Builder, BuildRequest } from './types.ts'

export { matcher as cacheMatcher } from './cache/filter.ts'
export { changedConfig } from './changes.ts'
export { pathPattern } from './context/glob.ts'
export { isFreeDevice } from './devices.ts'
export { entitled } from './entitlements.ts'
export { foreignFrontend } from './dockerfile/frontend.ts'
export { type GitAddress, parseGitAddress } from './context/git.ts'
export { type FileTree, type WalkedFile, walkTrees } from './output/files.ts'
export { buildResources, isCounted } from './resources.ts'
export { runnable } from './solver/foreign.ts'
export { policedGit, policedUrl } from './policed.ts'
export { answerOf, plainProgress } from './progress/index.ts'
export { sourceRules } from './source-policy.ts'
export type * from './types.ts'

interface BuilderDeps {
  engine: Pick<Engine, 'images' | 'snapshots' | 'containers' | 'devices'>
  instance: Instance
  sys: Sys
  db: DatabaseSync
  log: Log
  clock: Clock
}

export const createBuilder = (given: BuilderDeps): Builder => {
  const deps = wire(given)
  const { clock, log } = deps
  const running = new Map<Promise<unknown>, AbortController>()
  const collect: CollectDeps = {
    ...deps,
    kept: keptContexts(deps),
    now: () => clock.now(),
    isBuilding: () => running.size > 0,
    disk: () => deps.sys.files.statfs(given.instance.stateDir),
  }
  const collectGarbage = createGarbageCollector(collect)
  const history = new History(new HistoryRows(given.db), () => clock.now())
  let closed = false
  const tracked = async <T>(request: BuildRequest, run: (request: BuildRequest) => Promise<T>): Promise<T> => {
    if (closed) throw new SlipwayError('unavailable', 'the builder is shutting down')
    const stop = new AbortController()
    const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal
    const task = run({ ...request, signal })
    running.set(task, stop)
    try {
      return await task
    } finally {
      running.delete(task)
      if (running.size === 0 && !closed)
        await collectGarbage().catch((error: unknown) => log.warn('cache not collected', { error: messageOf(error) }))
    }
  }
  return {
    history,
    build: (request) =>
      tracked(request, (given) => {
        const run = (it: BuildRequest) => runBuild(deps, it)
        const { record = recordOf(given, [{ type: 'image', attrs: { name: given.tags.join(',') } }]) } = given
        return record === 'none' ? run(given) : history.during(given, record, run, (result) => resultOf(given, result))
      }),
    export: (request, outputs) =>
      tracked(request, (given) => {
        const run = (it: BuildRequest) => runExport(deps, it, outputs)
        const { record = recordOf(given, outputs) } = given
        return record === 'none' ? run(given) : history.during(given, record, run, (response) => response)
      }),
    describe: (request, what) => tracked(request, (given) => describe(deps, given, what)),
    async fetch(url, { signal, findSecret = nothing }) {
      const authorization = await httpAuthorization(url, findSecret)
      return await deps.downloads.get(url, { signal, authorization, progress: () => {} })
    },
    async files(address, { signal, findSecret = nothing, findAgent = nothing }) {
      const agent = needsAgent(address) ? await findAgent(address.agent ?? 'default') : undefined
      return await deps.git.files(address, {
        signal,
        agent,
        authorization: await gitAuthorization(address, findSecret),
      })
    },
    prune: (options) => prune(collect, options),
    cacheUsage: () => cacheUsage(collect),
    cachePolicy: () => cachePolicy(collect.disk()),
    recover: () => recover(deps, collect),
    async close() {
      closed = true
      for (const stop of running.values()) stop.abort()
      await Promise.allSettled(running.keys())
      await deps.writeOut.settle()
    },
  }
}

const nothing = async (): Promise<undefined> => undefined

const wire = ({ engine, instance, sys, db, log, clock }: BuilderDeps): BuildDeps => {
  migrate(db, 'build', schema)
  const base = join(instance.stateDir, 'build')
  const now = (): number => clock.now()
  const records = new CacheRecords(db, now)
  return {
    sys,
    clock,
    log: log.room('build'),
    images: engine.images,
    snapshots: engine.snapshots,
    containers: engine.containers,
    devices: engine.devices,
    records,
    copies: new EarlierCopies(db, engine.snapshots, log.room('build')),
    cacheMounts: new CacheMounts(db, join(base, 'cache-mounts'), now),
    digests: createFileDigests(db, now),
    git: new GitSources(sys, join(base, 'git')),
    downloads: new Downloads(db, join(base, 'downloads'), now),
    flights: new Flights(),
    slots: new Semaphore(Math.max(4, availableParallelism())),
    workDir: join(instance.runDir, 'build'),
    received: new ReceivedContexts(join(base, 'contexts'), now),
    kept: new KeptContexts(base, sys.files),
    inUse: new Map(),
    writeOut: new WriteOut(sys.files, records, instance.stateDir, log.room('build')),
  }
}

/** What the machine took with it when it went down, and images that are made of it. */
const forgetUnsynced = async ({ records, images, log }: BuildDeps): Promise<void> => {
  const lost = new Set(records.dropUnsynced())
  if (lost.size === 0) return
  log.warn('the machine went down before steps of a build were on disk: they are forgotten', { steps: lost.size })
  for (const { id, names, snapshots } of await images.list())
    if (snapshots.some((snapshot) => lost.has(snapshot))) {
      log.warn('so is an image that was made of them: build it again', { id, names })
      await images.remove(id, { force: true })
    }
}

/** Both kinds, by their ids. */
const keptContexts = ({ kept, received }: Pick<BuildDeps, 'kept' | 'received'>): CollectDeps['kept'] => ({
  list: () => [...kept.list(), ...received.list()],
  remove: (id) => (id.startsWith(receivedPrefix) ? received.remove(id) : kept.remove(id)),
})

const month = 30 * 24 * 60 * 60 * 1000

/** Takes down what a killed daemon left of its builds; the cache itself is always complete. */
const recover = async (deps: BuildDeps, collect: CollectDeps): Promise<void> => {
  clearDirectory(deps.sys.mounts, deps.workDir)
  deps.received.recover()
  for (const key of deps.snapshots.keys()) if (key.startsWith(activePrefix)) await deps.snapshots.remove(key)
  await forgetUnsynced(deps)
  deps.writeOut.begin()
  await dropOrphans(collect)
  deps.copies.forget(new Set(deps.snapshots.keys()))
  deps.records.forgetImages(new Set((await deps.images.list()).map(({ id }) => id)))
  deps.cacheMounts.recover()
  deps.downloads.recover()
  deps.git.recover()
  deps.digests.forget(collect.now() - month)
  deps.downloads.prune(collect.now() - month)
}
