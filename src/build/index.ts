/** The builder: Dockerfiles to images, with a cache that outlives the daemon. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Engine, Instance } from '../engine/types.ts'
import { SlipwayError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { migrate } from '../lib/database.ts'
import type { Log } from '../lib/log.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { Sys } from '../sys/sys.ts'
import type { BuildDeps } from './build.ts'
import { runBuild } from './build.ts'
import { cacheUsage, dropOrphans, prune } from './cache/collect.ts'
import { CacheMounts } from './cache/mounts.ts'
import { CacheRecords } from './cache/records.ts'
import { schema } from './cache/schema.ts'
import { createFileDigests } from './context/digests.ts'
import { Downloads } from './context/download.ts'
import { Flights } from './solver/flights.ts'
import { activePrefix, clearDirectory } from './solver/workspace.ts'
import type { Builder } from './types.ts'

export { parseDockerignore } from './context/dockerignore.ts'
export { parseDockerfile } from './dockerfile/parser.ts'
export type { ProgressStyle } from './progress/plain.ts'
export { plainProgress } from './progress/plain.ts'
export type * from './types.ts'

export interface BuilderDeps {
  engine: Pick<Engine, 'images' | 'snapshots' | 'containers'>
  instance: Instance
  sys: Sys
  db: DatabaseSync
  log: Log
  clock: Clock
}

const hour = 60 * 60 * 1000
const day = 24 * hour

export const createBuilder = ({ engine, instance, sys, db, log, clock }: BuilderDeps): Builder => {
  migrate(db, 'build', schema)
  const base = join(instance.stateDir, 'build')
  const now = (): number => clock.now()
  const deps: BuildDeps = {
    instance,
    sys,
    clock,
    log: log.room('build'),
    images: engine.images,
    snapshots: engine.snapshots,
    containers: engine.containers,
    records: new CacheRecords(db, now),
    cacheMounts: new CacheMounts(db, join(base, 'cache-mounts'), now),
    digests: createFileDigests(db, now),
    downloads: new Downloads(db, join(base, 'downloads'), now),
    flights: new Flights(),
    slots: new Semaphore(Math.max(4, availableParallelism())),
    workDir: join(instance.runDir, 'build'),
    contextDir: join(base, 'contexts'),
    inUse: new Map(),
  }
  const running = new Set<AbortController>()
  const builds = new Set<Promise<unknown>>()
  const collect = { ...deps, now }
  let closed = false
  let collectedAt = now()
  /** Now and then: what was not used for long, and the oldest of what is too much. Images keep what they have. */
  const collectGarbage = async (): Promise<void> => {
    if (now() - collectedAt < hour) return
    collectedAt = now()
    await prune(collect, { all: false, until: now() - 60 * day })
    const { totalBytes } = sys.files.statfs(instance.stateDir)
    await prune(collect, { all: false, keepBytes: Math.max(2 * 1024 ** 3, totalBytes / 10) })
  }
  return {
    async build(request) {
      if (closed) throw new SlipwayError('unavailable', 'the builder is shutting down')
      const stop = new AbortController()
      const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal
      const task = runBuild(deps, { ...request, signal })
      running.add(stop)
      builds.add(task)
      try {
        return await task
      } finally {
        running.delete(stop)
        builds.delete(task)
        if (builds.size === 0)
          await collectGarbage().catch((error: unknown) =>
            deps.log.warn('cache not collected', { error: String(error) }),
          )
      }
    },
    prune: (options) => {
      if (options.all && options.until === undefined && options.keepBytes === undefined) deps.downloads.prune(now() + 1)
      return prune(collect, options)
    },
    cacheUsage: () => cacheUsage(collect),
    async recover() {
      mkdirSync(base, { recursive: true, mode: 0o700 })
      clearDirectory(sys.mounts, deps.workDir)
      rmSync(deps.contextDir, { recursive: true, force: true })
      for (const { key } of await engine.snapshots.list())
        if (key.startsWith(activePrefix)) await engine.snapshots.remove(key)
      await dropOrphans(collect)
      const mounts = join(base, 'cache-mounts')
      deps.cacheMounts.recover(existsSync(mounts) ? readdirSync(mounts) : [])
      deps.digests.forget(now() - 30 * day)
      deps.downloads.prune(now() - 30 * day)
    },
    async close() {
      closed = true
      for (const stop of running) stop.abort()
      await Promise.allSettled(builds)
    },
  }
}
