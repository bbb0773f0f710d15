/** The daemon: makes every room, hands each what it needs, and brings them up and down in order. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import { createBuilder } from './build/index.ts'
import { startControlPlane } from './control-plane.ts'
import { createControlDoor } from './doors/control/index.ts'
import { createDockerDoor } from './doors/docker/index.ts'
import { createEngine, type Engine } from './engine/index.ts'
import { messageOf } from './errors.ts'
import { instanceOf, socketsOf } from './instance.ts'
import { systemClock } from './lib/clock.ts'
import { openDatabase } from './lib/database.ts'
import { createLog, type Log } from './lib/log.ts'
import { writeAtomically } from './lib/write-atomically.ts'
import * as kinds from './spec/kube/kinds.ts'
import { bindSocket, createLinux, reserveRoom, returnFreeMemory, takeLock, takeNotifier } from './sys/linux/index.ts'
import { createSupervision, takenCode } from './sys/supervisor.ts'

const version = '0.1.0'

/**
 * As much as the database's log takes before it begins anew: on a disk that is full its files grow into this, so what runs
 * can still be stopped, and removed to make room.
 */
const databaseReserve = 4 << 20

/** Runs until SIGTERM, SIGINT or a stop request; resolves with the exit code. */
export const runDaemon = async (env: NodeJS.ProcessEnv): Promise<number> => {
  const log = createLog((line) => process.stderr.write(line), env.SLIPWAY_LOG === 'debug' ? 'debug' : 'info')
  const instance = instanceOf(env)
  const systemd = takeNotifier(env, log)
  process.umask(0o022)
  for (const dir of [instance.stateDir, instance.runDir, instance.logDir])
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = takeLock(join(instance.runDir, 'daemon.lock'))
  if (!lock) {
    log.error('another daemon serves this instance already', { run: instance.runDir })
    return takenCode
  }
  process.on('unhandledRejection', (error) =>
    log.error('unhandled rejection', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }),
  )
  const daemon = new Daemon(env, instance, log)
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
    daemon.onStop = resolve
  })
  try {
    await daemon.start()
  } catch (error) {
    log.error('the daemon could not start', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    return 1
  }
  systemd.ready()
  await stopped
  systemd.stopping()
  log.info('stopping')
  await daemon.close()
  lock.close()
  return 0
}

class Daemon {
  onStop: () => void = () => {}
  readonly #env: NodeJS.ProcessEnv
  readonly #instance: ReturnType<typeof instanceOf>
  readonly #log: Log
  readonly #startedAt = Date.now()
  /** Undone in reverse order by close(). */
  readonly #closers: (() => unknown)[] = []
  /** Stop what runs as well, once nothing starts it again. */
  #endContainers = false
  /** Another daemon follows this one. */
  #again = false

  constructor(env: NodeJS.ProcessEnv, instance: ReturnType<typeof instanceOf>, log: Log) {
    this.#env = env
    this.#instance = instance
    this.#log = log
  }

  async start(): Promise<void> {
    const instance = this.#instance
    const log = this.#log
    const clock = systemClock
    const sockets = socketsOf(instance)
    const sys = createLinux(instance, log.room('sys'))
    this.#closers.push(returnFreeMemory())
    const db = this.#openDatabase(join(instance.stateDir, 'slipway.db'))
    this.#closers.push(() => db.close())
    const engine = createEngine({ instance, sys, db, log: log.room('engine'), clock })
    this.#closers.push(
      () => engine.close(),
      () => (this.#endContainers ? stopContainers(engine) : undefined),
    )
    await engine.recover()
    const builder = createBuilder({ engine, instance, sys, db, log: log.room('build'), clock })
    this.#closers.push(() => builder.close())
    await builder.recover()

    const supervised = await this.#serveDocker({ engine, builder, sys, instance, version, log, clock })

    const cluster = await startControlPlane({ instance, engine, sys, db, log, clock, closers: this.#closers })
    const control = createControlDoor({
      images: engine.images,
      builder,
      log: log.room('control'),
      status: async () => {
        const containers = engine.containers.list()
        const pods = await cluster.client.list(kinds.Pod)
        return {
          pid: process.pid,
          version,
          startedAt: this.#startedAt,
          home: instance.home,
          sockets: { docker: sockets.docker, kubernetes: cluster.url, control: sockets.control },
          kubeconfig: sockets.kubeconfig,
          counts: {
            containers: containers.length,
            running: containers.filter((c) => c.status === 'running').length,
            images: (await engine.images.list()).length,
            pods: pods.items.length,
            networks: engine.networks.list().length,
            volumes: engine.volumes.list().length,
          },
          memoryBytes: process.memoryUsage.rss(),
        }
      },
      stop: async ({ containers, again }) => {
        this.#endContainers = containers
        this.#again = again
        setTimeout(() => this.onStop(), 20)
      },
    })
    this.#closers.push(() => control.close())
    await control.listen(sockets.control)
    supervised()
    writeAtomically(
      sockets.daemon,
      JSON.stringify({ pid: process.pid, version, startedAt: this.#startedAt, sockets }),
      0o600,
    )
    this.#closers.push(() => rmSync(sockets.daemon, { force: true }))
    // A daemon may run for months and be killed: what it has compiled is kept now, for the next one.
    setTimeout(flushCompileCache, 3000).unref()
    log.info('ready', { ms: Date.now() - this.#startedAt, docker: sockets.docker, kubernetes: cluster.url })
  }

  /** Opens docker's socket. Call the answer once all else is open as well: from then on the daemon comes back when it dies. */
  async #serveDocker(deps: Parameters<typeof createDockerDoor>[0]): Promise<() => void> {
    const { instance, sys, log } = deps
    const path = socketsOf(instance).docker
    const { processes } = sys
    const supervision = createSupervision({
      env: this.#env,
      runDir: instance.runDir,
      dockerSocket: path,
      processes,
      log,
    })
    const listening = supervision.inherited ?? bindSocket(path)
    // What containers have mounted is this very socket: it stays for the next daemon if there is to be one.
    this.#closers.push(() => (this.#again ? undefined : rmSync(path, { force: true })))
    const docker = createDockerDoor({ ...deps, log: log.room('docker') })
    this.#closers.push(() => docker.close())
    await docker.listen(path, listening)
    return () => {
      supervision.begin(listening)
      this.#closers.push(() => supervision.end({ again: this.#again }))
    }
  }

  /** What is closed of a file takes SQLite's locks on it along, so its own file is looked after before it has any. */
  #openDatabase(path: string): ReturnType<typeof openDatabase> {
    reserveRoom(path, databaseReserve)
    const db = openDatabase(path)
    chmodSync(path, 0o600)
    reserveRoom(`${path}-wal`, databaseReserve)
    return db
  }

  async close(): Promise<void> {
    for (const close of this.#closers.toReversed()) {
      try {
        await close()
      } catch (error) {
        this.#log.error('closing failed', { error: messageOf(error) })
      }
    }
  }
}

const stopContainers = async (engine: Engine): Promise<void> => {
  const running = engine.containers.list().filter((c) => c.status === 'running' || c.status === 'paused')
  await Promise.all(running.map((c) => engine.containers.stop(c.id)))
  for (const sandbox of engine.sandboxes.list()) await engine.sandboxes.stop(sandbox.spec.id)
}
