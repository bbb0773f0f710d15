import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { CdiEdits } from '../../spec/cdi/index.ts'
import type { OciMount } from '../../spec/oci/index.ts'
import type { Mount } from '../../sys/sys.ts'
import { type ConfigInput, configText, ociConfig } from '../runtime/config.ts'
import { hostDevices } from '../runtime/devices.ts'
import { removeTree } from '../runtime/remove-tree.ts'
import { resolveUserIn } from '../runtime/user.ts'
import type { BuildStep, Containers, OutputChunk, Sandbox, SandboxSpec } from '../types.ts'
import { type Context, diskIsFull, ownerLabel } from './context.ts'
import { editedMounts, withEdits } from './device-edits.ts'
import { emptyCgroup } from './launch.ts'
import { candidatesFor, runtimeEnv } from './process.ts'
import { noteCgroup, stepCgroup } from './step-cgroup.ts'
import { makeStubs, removeStubs } from './stubs.ts'

const cgroupOf = ({ instance }: Context, id: string, { cgroupParent }: BuildStep): string =>
  stepCgroup(cgroupParent || instance.cgroupParent, id)

const networkOf = (ctx: Context, network: string): SandboxSpec['network'] => {
  if (network === 'none' || network === 'host') return { mode: network }
  if (network.startsWith('container:')) return { mode: 'sandbox', id: ctx.records.must(network.slice(10)).sandboxId }
  return { mode: 'attached', attachments: [{ network: network === 'default' ? 'bridge' : network, aliases: [] }] }
}

const sandboxSpec = (ctx: Context, id: string, step: BuildStep): SandboxSpec => ({
  id,
  hostname: step.hostname ?? 'buildkitsandbox',
  network: networkOf(ctx, step.network),
  ports: [],
  dns: { servers: [], searches: [], options: [] },
  hosts: step.hosts,
  sysctls: {},
  labels: { [ownerLabel]: 'step' },
  shmSize: step.shmSize,
})

/** With those of its devices, which take the place of its own. */
const withMounts = (mounts: readonly Mount[], edits: CdiEdits): Mount[] =>
  editedMounts(
    edits,
    mounts.map(({ target, ...mount }) => ({ ...mount, destination: target, options: [...mount.options] })),
    (mount) => mount,
  ).map(({ destination, ...mount }) => ({ ...mount, target: destination }))

/** Mounts of the step, reached by the runtime even from a mount namespace of its own. */
const stepMounts = (ctx: Context, mounts: readonly Mount[], bundle: string, staged: boolean): OciMount[] =>
  mounts.map(({ type, source, target, options }, i) => {
    const bind = type === 'bind' || options.includes('bind') || options.includes('rbind')
    if (!bind || !staged) return { destination: target, type, source, options: [...options] }
    const at = join(bundle, 'mounts', String(i))
    if (statSync(source).isDirectory()) mkdirSync(at, { recursive: true, mode: 0o700 })
    else {
      mkdirSync(dirname(at), { recursive: true, mode: 0o700 })
      writeFileSync(at, '', { mode: 0o600 })
    }
    ctx.sys.mounts.mount({ type: 'bind', source, target: at, options: ['rbind'] })
    return { destination: target, type: 'bind', source: at, options: [...options] }
  })

/** The root file system where the runtime's own mount namespace sees it. */
const stepRootfs = (ctx: Context, rootfs: string, bundle: string, staged: boolean): string => {
  if (!staged) return rootfs
  const at = join(bundle, 'rootfs')
  mkdirSync(at, { mode: 0o700 })
  ctx.sys.mounts.mount({ type: 'bind', source: rootfs, target: at, options: ['rbind'] })
  return at
}

const files = ({ files: of }: Sandbox): OciMount[] =>
  (
    [
      ['/etc/hosts', of.hosts],
      ['/etc/resolv.conf', of.resolvConf],
    ] as const
  )
    .filter(([, source]) => existsSync(source))
    .map(([destination, source]) => ({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'ro'] }))

const writeConfig = async (
  ctx: Context,
  id: string,
  step: BuildStep,
  sandbox: Sandbox,
  bundle: string,
): Promise<OciMount[]> => {
  const runtime = await ctx.sys.processes.ociRuntime()
  const user = resolveUserIn(ctx.sys.files, step.rootfs, step.user, [])
  const of = (path: string | undefined): 'host' | { path: string } => (path === undefined ? 'host' : { path })
  const edits = await ctx.devices.edits(step.devices ?? [])
  const all = withMounts(step.mounts, edits)
  const taken = new Set(all.map(({ target }) => posix.normalize(target)))
  const mounts = [
    ...files(sandbox).filter(({ destination }) => !taken.has(destination)),
    ...stepMounts(ctx, all, bundle, runtime.enter.length > 0),
  ]
  const input: ConfigInput = {
    process: {
      args: step.args,
      env: runtimeEnv(step.env, { hostname: undefined, tty: false, home: user.home }),
      cwd: step.cwd,
      user,
      tty: false,
      security: {
        privileged: step.privileged,
        capAdd: [],
        capDrop: [],
        noNewPrivileges: false,
        seccomp: 'default',
        readOnlyRootfs: false,
      },
      ulimits: step.ulimits,
    },
    rootfs: stepRootfs(ctx, step.rootfs, bundle, runtime.enter.length > 0),
    namespaces: {
      pid: 'own',
      ipc: of(sandbox.namespaces.ipc),
      network: of(sandbox.namespaces.net),
      uts: of(sandbox.namespaces.uts),
      cgroup: ctx.machine.cgroups.version === 2 ? 'own' : 'host',
    },
    mounts,
    shm: sandbox.files.shm === undefined ? 'private' : { path: sandbox.files.shm },
    shmSize: step.shmSize,
    devices: step.privileged ? hostDevices() : [],
    deviceRules: [],
    resources: step.resources,
    sysctls: {},
    annotations: {},
    cgroupsPath: cgroupOf(ctx, id, step),
  }
  const config = ociConfig(withEdits(input, edits), ctx.machine)
  await ctx.loadProfile(config.process.apparmorProfile)
  writeFileSync(join(bundle, 'config.json'), configText(ctx.seccomp.apply(config, runtime)), { mode: 0o600 })
  return config.mounts
}

/** Runs the bundle to its end. An abort kills whatever is in the cgroup. */
const runBundle = async (ctx: Context, id: string, step: BuildStep, bundle: string): Promise<number> => {
  const runtime = await ctx.sys.processes.ociRuntime()
  const log = join(bundle, 'log')
  step.signal?.throwIfAborted()
  const own = [`--root=${ctx.paths.oci}`, `--log=${log}`, '--log-format=json']
  const child = ctx.sys.processes.spawn([...runtime.enter, runtime.path, ...own, 'run', '--bundle', bundle, id], {
    env: runtime.env,
    fds: ['ignore', 'pipe', 'pipe'],
  })
  const onAbort = (): void => {
    child.kill('SIGKILL')
    void emptyCgroup(ctx, cgroupOf(ctx, id, step))
  }
  step.signal?.addEventListener('abort', onAbort, { once: true })
  let last: Buffer | undefined
  const pump = (stream: typeof child.stdout, name: OutputChunk['stream']): Promise<void> =>
    new Promise((resolve) => {
      stream?.on('data', (data: Buffer) => {
        last = data
        step.output({ stream: name, data })
      })
      stream?.on('error', () => resolve())
      stream?.on('close', () => resolve())
    })
  const ended = Promise.all([pump(child.stdout, 'stdout'), pump(child.stderr, 'stderr')])
  try {
    const { code } = await child.exited
    // Whatever the program has left behind holds the pipes open: it goes first.
    await emptyCgroup(ctx, cgroupOf(ctx, id, step))
    await ended
    if (step.signal?.aborted) throw new SlipwayError('cancelled', 'cancelled', { cause: step.signal.reason })
    const said = code === 0 ? '' : readFileSync(log, { encoding: 'utf8', flag: 'a+' })
    return said.trim() === '' ? code : startFailure(ctx, step, said, last)
  } finally {
    step.signal?.removeEventListener('abort', onAbort)
  }
}

/**
 * The runtime could not start the program: 127 when it is not there, 126 when it may not be run; else an error. What it
 * says of that is mostly `heard` already: where the program would have had its stderr.
 */
const startFailure = (ctx: Context, step: BuildStep, log: string, heard: Buffer | undefined): number => {
  const program = step.args[0]!
  const message = (JSON.parse(log.trim().split('\n').at(-1)!) as { msg: string }).msg
  const modes = candidatesFor(program, step.env, step.cwd).flatMap((candidate) => {
    const stat = statSync(join(step.rootfs, ctx.sys.files.resolveInRoot(step.rootfs, candidate)), {
      throwIfNoEntry: false,
    })
    return stat?.isFile() ? [stat.mode] : []
  })
  if (modes.some((mode) => mode & 0o111))
    throw diskIsFull(ctx)
      ? new SlipwayError('no-space', `cannot run ${program}: ${message}: no space left on device`)
      : new SlipwayError('internal', `cannot run ${program}: ${message}`)
  if (!heard?.includes(message)) step.output({ stream: 'stderr', data: Buffer.from(`${message}\n`) })
  return modes.length > 0 ? 126 : 127
}

export const runStep =
  (ctx: Context): Containers['runStep'] =>
  async (step) => {
    const id = `step-${randomBytes(8).toString('hex')}`
    const bundle = join(ctx.instance.runDir, 'steps', id)
    mkdirSync(bundle, { recursive: true, mode: 0o700 })
    let left: string[] = []
    try {
      noteCgroup(bundle, cgroupOf(ctx, id, step))
      await ctx.sandboxes.create(sandboxSpec(ctx, id, step))
      const sandbox = await ctx.sandboxes.start(id)
      const mounts = await writeConfig(ctx, id, step, sandbox, bundle)
      left = makeStubs(ctx.sys.files, step.rootfs, mounts)
      return await runBundle(ctx, id, step, bundle)
    } finally {
      await emptyCgroup(ctx, cgroupOf(ctx, id, step))
      removeStubs(ctx.sys.files, left)
      rmSync(join(ctx.paths.oci, id), { recursive: true, force: true })
      if (ctx.sandboxes.get(id)) {
        await ctx.sandboxes.stop(id)
        await ctx.sandboxes.remove(id)
      }
      removeTree(ctx.sys.mounts, bundle)
    }
  }
