import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { type ContainerSpec, createEngine, type Engine, type Instance, type Io } from '../../src/engine/index.ts'
import { instanceOf } from '../../src/instance.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import { packTar, type TarMember, tarEntry } from '../../src/lib/tar/index.ts'
import { removeTraces } from '../../src/reset.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import type { Sys } from '../../src/sys/sys.ts'

export interface Bench {
  engine: Engine
  sys: Sys
  instance: Instance
  home: string
  /** Lets go as a killed daemon does, and starts another one on the same state. */
  reopen(): Promise<void>
  /** Takes everything down and removes every trace. */
  destroy(): Promise<void>
}

export const openBench = async (): Promise<Bench> => {
  assert.equal(process.getuid?.(), 0, 'these tests need root')
  const home = realpathSync(mkdtempSync('/tmp/slipway-engine-'))
  const instance = instanceOf({ SLIPWAY_HOME: home })
  for (const dir of [instance.stateDir, instance.runDir]) mkdirSync(dir, { mode: 0o700 })
  const log = createLog((line) => void process.stderr.write(line), process.env.SLIPWAY_TEST_LOG ? 'debug' : 'error')
  let db: DatabaseSync
  const open = async (): Promise<void> => {
    db = openDatabase(join(instance.stateDir, 'state.db'))
    bench.sys = createLinux(instance, log)
    bench.engine = createEngine({ instance, sys: bench.sys, db, log, clock: systemClock })
    await bench.engine.recover()
  }
  // A daemon has its listening sockets; here nothing else would keep the process waiting for a container.
  const alive = setInterval(() => {}, 60_000)
  const bench: Bench = {
    engine: undefined as never,
    sys: undefined as never,
    instance,
    home,
    async reopen() {
      await bench.engine.close()
      if (db.isOpen) db.close()
      await open()
    },
    async destroy() {
      const { engine, sys } = bench
      for (const { id } of engine.containers.list()) await engine.containers.remove(id, { force: true, volumes: true })
      for (const { spec } of engine.sandboxes.list()) {
        await engine.sandboxes.stop(spec.id)
        await engine.sandboxes.remove(spec.id)
      }
      for (const { id, spec } of engine.networks.list())
        if (!['bridge', 'host', 'none'].includes(spec.name)) await engine.networks.remove(id)
      await engine.close()
      db.close()
      await removeTraces(sys, instance)
      rmSync(home, { recursive: true, force: true })
      clearInterval(alive)
    },
  }
  await open()
  return bench
}

const applets =
  'sh true false sleep echo cat ls id env pwd stat mkdir touch rm ln readlink wc head tail grep mount ps kill tty stty dd yes test seq hostname nc wget ip nslookup chmod chown find sync od tr date'

/** The host's static busybox as a root file system. */
const busyboxTar = (): Readable => {
  const body = readFileSync('/bin/busybox')
  const text = (path: string, content: string): TarMember => ({
    entry: tarEntry({ path, size: Buffer.byteLength(content) }),
    body: Buffer.from(content),
  })
  const dirs = ['bin', 'etc', 'root', 'tmp', 'data', 'home', 'home/app']
  return packTar([
    ...dirs.map(
      (path): TarMember => ({ entry: tarEntry({ path, type: 'directory', mode: path === 'tmp' ? 0o1777 : 0o755 }) }),
    ),
    { entry: tarEntry({ path: 'bin/busybox', mode: 0o755, size: body.length }), body },
    ...applets
      .split(' ')
      .map((name): TarMember => ({ entry: tarEntry({ path: `bin/${name}`, type: 'symlink', linkName: 'busybox' }) })),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n'),
    text('etc/group', 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n'),
    text('data/seed', 'from the image\n'),
    text('etc/plain', 'not executable\n'),
  ])
}

export const importBusybox = (engine: Engine, name = 'busybox:latest') =>
  engine.images.import(busyboxTar(), { name, config: { Cmd: ['sh'] } })

export const spec = (name: string, cmd: string[], more: Partial<ContainerSpec> = {}): ContainerSpec => ({
  name,
  image: 'busybox:latest',
  cmd,
  env: [],
  groups: [],
  tty: false,
  stdin: false,
  stdinOnce: false,
  labels: {},
  annotations: {},
  sandbox: {
    own: {
      hostname: name,
      network: { mode: 'none' },
      ports: [],
      dns: { servers: [], searches: [], options: [] },
      hosts: [],
      sysctls: {},
      labels: {},
    },
  },
  mounts: [],
  devices: [],
  deviceCgroupRules: [],
  resources: {},
  security: {
    privileged: false,
    capAdd: [],
    capDrop: [],
    noNewPrivileges: false,
    seccomp: 'default',
    readOnlyRootfs: false,
  },
  ulimits: [],
  sysctls: {},
  init: false,
  restart: { policy: 'no', maxRetries: 0 },
  autoRemove: false,
  log: { driver: 'json-file', options: {} },
  ...more,
})

export const onBridge = (name: string): ContainerSpec['sandbox'] => ({
  own: {
    hostname: name,
    network: { mode: 'attached', attachments: [{ network: 'bridge', aliases: [] }] },
    ports: [],
    dns: { servers: [], searches: [], options: [] },
    hosts: [],
    sysctls: {},
    labels: {},
  },
})

export const textOf = async (io: Pick<Io, 'output'>): Promise<{ stdout: string; stderr: string }> => {
  const text = { stdout: '', stderr: '' }
  for await (const { stream, data } of io.output) text[stream] += data.toString()
  return text
}

/** Runs to the end and returns what was written. */
export const runToEnd = async (engine: Engine, wanted: ContainerSpec) => {
  const { id } = await engine.containers.create(wanted)
  const io = await engine.containers.attach(id, { stdin: false, stdout: true, stderr: true })
  const done = engine.containers.wait(id, 'next-exit')
  const output = textOf(io)
  await engine.containers.start(id)
  const { exitCode } = await done
  return { id, exitCode, ...(await output) }
}
