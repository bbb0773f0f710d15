/** An engine and a builder on a home of their own with a small busybox image, for the root tests of the builder. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Builder, BuildProgress, BuildRequest, BuildResult } from '../../src/build/index.ts'
import { createBuilder, plainProgress } from '../../src/build/index.ts'
import { createEngine } from '../../src/engine/index.ts'
import type { Engine, Instance } from '../../src/engine/types.ts'
import { instanceOf } from '../../src/instance.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import { packTar, tarEntry } from '../../src/lib/tar/index.ts'
import { removeTraces } from '../../src/reset.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import type { Sys } from '../../src/sys/sys.ts'

const log = createLog((line) => process.stderr.write(line), process.env.TEST_LOG === 'debug' ? 'debug' : 'warn')

export interface Outcome extends BuildResult {
  events: BuildProgress[]
  /** Plain progress text. */
  text: string
  /** Names of vertices that came from the cache, and of those that were performed. */
  cached: string[]
  performed: string[]
}

export interface BuildRoom {
  home: string
  instance: Instance
  sys: Sys
  engine: Engine
  builder: Builder
  /** A directory with these files, executable where the name ends in '*'. */
  context(files: Record<string, string>): string
  /** Builds `dockerfile` on a fresh or given context. */
  build(
    dockerfile: string,
    options?: Partial<BuildRequest> & { files?: Record<string, string>; watch?: (event: BuildProgress) => void },
  ): Promise<Outcome>
  /** Text of a file of an image; undefined when it is not there. */
  file(result: BuildResult, path: string): Promise<string | undefined>
  /** Runs `body` with the root filesystem of an image. */
  rootfs<T>(result: BuildResult, body: (root: string) => T): Promise<T>
  /** As a new daemon would find it: the old one is abandoned. */
  again(): Promise<BuildRoom>
  /** Takes everything down. */
  close(): Promise<void>
}

/** busybox with its usual names, a passwd file with `app` (1000:1001). */
const baseTar = (): Readable => {
  const busybox = readFileSync('/bin/busybox')
  const names =
    'sh cat echo head ls mkdir rm touch id stat env test true false sleep chmod chown cp mv head wc grep find sort mount readlink date printf seq'
  const text = (path: string, content: string) => {
    const data = Buffer.from(content)
    return { entry: tarEntry({ path, size: data.length }), body: data }
  }
  return packTar([
    ...['bin', 'etc', 'tmp', 'root', 'usr', 'usr/bin'].map((path) => ({
      entry: tarEntry({ path: `${path}/`, type: 'directory' as const, mode: path === 'tmp' ? 0o1777 : 0o755 }),
    })),
    { entry: tarEntry({ path: 'bin/busybox', mode: 0o755, size: busybox.length }), body: busybox },
    ...names
      .split(' ')
      .map((name) => ({ entry: tarEntry({ path: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' }) })),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n'),
    text('etc/group', 'root:x:0:\napp:x:1001:\nstaff:x:50:app\n'),
  ])
}

/** The image base:1. */
export const useBase = ({ engine }: BuildRoom): Promise<unknown> =>
  engine.images.import(baseTar(), { name: 'base:1', config: { Cmd: ['sh'] } })

export const openBuildRoom = async (): Promise<BuildRoom> => {
  const room = await openBuildRoomAt(mkdtempSync(join(tmpdir(), 'slipway-build-')))
  await useBase(room)
  return room
}

export const openBuildRoomAt = async (home: string): Promise<BuildRoom> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  for (const path of [instance.stateDir, instance.runDir, instance.logDir]) mkdirSync(path, { recursive: true })
  const sys = createLinux(instance, log)
  const db = openDatabase(join(instance.stateDir, 'state.db'))
  const deps = { instance, sys, db, log, clock: systemClock }
  const engine = createEngine(deps)
  await engine.recover()
  const builder = createBuilder({ ...deps, engine })
  await builder.recover()
  let contexts = 0
  const context: BuildRoom['context'] = (files) => {
    const root = join(home, `context-${process.pid}-${++contexts}-${Date.now()}`)
    mkdirSync(root)
    for (const [name, content] of Object.entries(files)) {
      const path = join(root, name.replace(/\*$/, ''))
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
      if (name.endsWith('*')) chmodSync(path, 0o755)
    }
    return root
  }
  const build: BuildRoom['build'] = async (dockerfile, { files = {}, watch, ...options } = {}) => {
    const events: BuildProgress[] = []
    const style = plainProgress()
    let text = ''
    try {
      const result = await builder.build({
        context: { directory: context(files) },
        dockerfile: { inline: dockerfile },
        args: {},
        labels: {},
        tags: [],
        ...options,
        progress: (event) => {
          events.push(event)
          text += style.event(event)
          watch?.(event)
        },
      })
      return { ...result, events, text: text + style.end(), ...sortVertices(events) }
    } catch (error) {
      throw Object.assign(error as Error, { events, text: text + style.end(error) })
    }
  }
  const rootfs: BuildRoom['rootfs'] = async (result, body) => {
    const target = mkdtempSync(join(home, 'view-'))
    const top = result.image.snapshots.at(-1)
    if (top !== undefined) sys.mounts.mount({ ...(await engine.snapshots.mounts(top)), target })
    try {
      return body(target)
    } finally {
      sys.mounts.unmount(target)
      rmSync(target, { recursive: true })
    }
  }
  return {
    home,
    instance,
    sys,
    engine,
    builder,
    context,
    build,
    rootfs,
    file: (result, path) =>
      rootfs(result, (root) => {
        try {
          return readFileSync(join(root, sys.files.resolveInRoot(root, path)), 'utf8')
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
          throw error
        }
      }),
    again: () => openBuildRoomAt(home),
    async close() {
      try {
        await builder.close()
        for (const { spec } of engine.sandboxes.list()) {
          await engine.sandboxes.stop(spec.id)
          await engine.sandboxes.remove(spec.id)
        }
        await engine.close()
        if (db.isOpen) db.close()
      } finally {
        // After a failure, too: a home may be a disk of its own.
        for (const { target } of sys.mounts.below(home).reverse()) sys.mounts.unmount(target, { detach: true })
        await removeTraces(sys, instance)
        rmSync(home, { recursive: true, force: true })
      }
    },
  }
}

/** Unpacked contexts that are there: they are deleted when nobody waits for it any more, so some time is given. */
export const contextsLeft = async ({ instance }: Pick<BuildRoom, 'instance'>): Promise<string[]> => {
  const path = join(instance.stateDir, 'build/contexts')
  const names = (): string[] => (existsSync(path) ? readdirSync(path) : [])
  for (let i = 0; i < 200 && names().length > 0; i++) await sleep(25)
  return names()
}

const sortVertices = (events: readonly BuildProgress[]): Pick<Outcome, 'cached' | 'performed'> => {
  const names = new Map(events.flatMap((event) => (event.type === 'vertex' ? [[event.id, event.name]] : [])))
  const done = events.filter((event) => event.type === 'done')
  const of = (cached: boolean): string[] =>
    done.filter((event) => event.cached === cached).map(({ id }) => names.get(id) ?? id)
  return { cached: of(true), performed: of(false) }
}
