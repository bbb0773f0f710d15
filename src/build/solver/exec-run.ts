/** RUN: the command on a writable snapshot, with what --mount asked for. */
import { chmodSync, chownSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { OutputChunk } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Mount } from '../../sys/sys.ts'
import type { CacheMountWish } from '../cache/mounts.ts'
import type { StepResult } from '../cache/records.ts'
import { select } from '../context/select.ts'
import { RootWriter } from '../context/write.ts'
import { SyntaxFault } from '../dockerfile/source.ts'
import type { RunMount, RunOp } from '../ops.ts'
import { type AgentSocket, openAgentSocket } from './agent-socket.ts'
import type { SolverDeps } from './deps.ts'
import { topOf } from './deps.ts'
import type { Executed } from './exec-copy.ts'
import type { StepContext } from './flights.ts'
import { cannotRun } from './foreign.ts'
import type { OpNode } from './graph.ts'
import { hashOf } from './keys.ts'
import { Workspace } from './workspace.ts'

/** A RUN step that ended with a non-zero code; each build that waited for it reports it at its own line. */
export class StepFailure extends Error {
  readonly exitCode: number
  readonly args: string[]
  /** Last lines of its output. */
  readonly output: string
  readonly hint: string | undefined
  constructor(exitCode: number, args: string[], output: string, hint: string | undefined) {
    super(`process ${JSON.stringify(args.join(' '))} did not complete successfully: exit code: ${exitCode}`)
    this.exitCode = exitCode
    this.args = args
    this.output = output
    this.hint = hint
  }
}

/** The filesystem each mount of a run reads from, in the order of the mounts. */
export type MountInputs = readonly ({ result: StepResult; source: string } | undefined)[]

/** Takes the cache mounts in a fixed order (two steps never wait for each other), then runs `task` with their directories. */
export const withCaches = async <T>(
  deps: SolverDeps,
  node: Pick<OpNode<RunOp>, 'op' | 'env' | 'noCache'>,
  inputs: MountInputs,
  task: (directories: ReadonlyMap<RunMount, string>) => Promise<T>,
): Promise<T> => {
  const wanted = node.op.mounts
    .flatMap((mount, i) => (mount.type === 'cache' ? [{ mount, wish: wishOf(deps, mount, node, inputs[i]) }] : []))
    .sort((a, b) => (a.wish.id < b.wish.id ? -1 : 1))
  const taken = new Map<RunMount, string>()
  const take = async (at: number): Promise<T> => {
    const next = wanted[at]
    if (!next) return await task(taken)
    const same = wanted.slice(0, at).find(({ wish }) => wish.id === next.wish.id && wish.seed === next.wish.seed)
    if (same) {
      taken.set(next.mount, taken.get(same.mount)!)
      return await take(at + 1)
    }
    return await deps.cacheMounts.with(next.wish, async (directory) => {
      taken.set(next.mount, directory)
      return await take(at + 1)
    })
  }
  return await take(0)
}

/**
 * What a mount asks a new directory to be makes it another one than the same id without, and one that a build without a cache
 * begins anew, once: as BuildKit does, where such a directory is the result of a step of its own.
 */
const wishOf = (
  deps: SolverDeps,
  mount: Extract<RunMount, { type: 'cache' }>,
  { env, noCache }: Pick<OpNode<RunOp>, 'env' | 'noCache'>,
  input: MountInputs[number],
): CacheMountWish => {
  const { mode = 0o755, uid = 0, gid = 0 } = mount
  const id = env.cacheNamespace === '' ? mount.id : `${env.cacheNamespace}/${mount.id}`
  const isOwned = mount.mode !== undefined || mount.uid !== undefined || mount.gid !== undefined
  const content = input ? hashOf(topOf(input.result), input.source) : ''
  const seed = isOwned ? `${content} ${mode} ${uid} ${gid}` : content
  const renew = noCache && seed !== '' && !env.renewedCaches.has(`${id} ${seed}`)
  if (renew) env.renewedCaches.add(`${id} ${seed}`)
  const fill = input && topOf(input.result) !== undefined
  return {
    ...{ id, sharing: mount.sharing, mode, uid, gid, seed, renew },
    fill: fill ? (directory) => seedWith(deps, input, directory) : undefined,
  }
}

/** A new cache directory begins as a copy of what `from` names. */
const seedWith = async (
  deps: SolverDeps,
  input: NonNullable<MountInputs[number]>,
  directory: string,
): Promise<void> => {
  const space = new Workspace(deps.workDir, deps.sys.mounts, deps.snapshots)
  try {
    const root = await space.readable(topOf(input.result))
    const { files } = deps.sys
    const selected = await select({ root, resetOwner: false, stable: false }, files, {
      path: input.source,
      exclude: [],
    })
    const writer = new RootWriter({ files, root: directory, owner: undefined, mode: undefined })
    await writer.copy(selected, '/', false)
    await writer.flush()
  } finally {
    await space.close()
  }
}

export const executeRun = async (
  deps: SolverDeps,
  space: Workspace,
  node: OpNode<RunOp>,
  parent: string | undefined,
  inputs: MountInputs,
  caches: ReadonlyMap<RunMount, string>,
  context: StepContext,
): Promise<Executed> => {
  const { op } = node
  const { key, root } = await space.writable(parent)
  const secrets = await secretsOf(node)
  checkLeave(node)
  const agents = new Map<RunMount, AgentSocket>()
  try {
    const mounts: Mount[] = []
    for (const [i, mount] of op.mounts.entries()) {
      const agent = mount.type === 'ssh' ? await openAgent(space, node, mount) : undefined
      if (agent) agents.set(mount, agent)
      const made =
        mount.type === 'ssh'
          ? agent && bind(agent.path, mount.target, false)
          : await mountOf(deps, space, mount, inputs[i], caches, secrets)
      if (made) mounts.push(made)
    }
    if (op.document) mounts.push(documentMount(space, op.document))
    const [agent] = agents.keys()
    const variables = [...secretVariables(op, secrets), ...(agent ? [`SSH_AUTH_SOCK=${agent.target}`] : [])]
    await runProgram(deps, node, root, mounts, variables, context)
  } finally {
    for (const agent of agents.values()) await agent.close()
  }
  return { key, root, changed: true, cacheable: true }
}

const secretVariables = (op: RunOp, secrets: ReadonlyMap<string, Uint8Array>): string[] =>
  op.mounts.flatMap((mount) =>
    mount.type === 'secret' && mount.env !== undefined && secrets.has(mount.id)
      ? [`${mount.env}=${Buffer.from(secrets.get(mount.id)!).toString()}`]
      : [],
  )

const runProgram = async (
  deps: SolverDeps,
  { op, env, platform }: OpNode<RunOp>,
  rootfs: string,
  mounts: Mount[],
  variables: string[],
  context: StepContext,
): Promise<void> => {
  const tail = new Tail()
  const exitCode = await deps.containers.runStep({
    rootfs,
    args: op.args,
    env: [...env.proxies, ...op.env, ...variables],
    cwd: op.cwd,
    user: op.user,
    network: op.network ?? env.network,
    mounts,
    hosts: env.hosts,
    privileged: op.insecure,
    resources: env.resources,
    ulimits: env.ulimits,
    shmSize: env.shmSize,
    hostname: env.hostname ?? 'buildkitsandbox',
    cgroupParent: env.cgroupParent,
    devices: op.devices,
    signal: context.signal,
    output: (chunk: OutputChunk) => {
      tail.add(chunk.data)
      context.emit({ type: 'log', stream: chunk.stream, data: chunk.data })
    },
  })
  context.signal.throwIfAborted()
  if (exitCode !== 0) throw new StepFailure(exitCode, op.args, tail.text(), cannotRun(platform))
}

/** What a file may not ask for by itself. */
const checkLeave = ({ op, env }: OpNode<RunOp>): void => {
  if (
    (op.insecure && !env.privileged) ||
    (op.network === 'host' && env.network !== 'host' && !env.privileged && !env.hostNetwork)
  ) {
    throw new SyntaxFault(`${op.insecure ? 'security.insecure' : 'network.host'} is not allowed`, {
      near: op.insecure ? '--security' : '--network',
      hint: 'Allow it for this build: the file asks for more than a build may do by itself.',
    })
  }
}

/** The end of a step's output, for its error. */
class Tail {
  #chunks: Buffer[] = []
  #size = 0

  add(data: Buffer): void {
    this.#chunks.push(data)
    this.#size += data.length
    while (this.#size > 64 * 1024 && this.#chunks.length > 1) this.#size -= this.#chunks.shift()!.length
  }
  text(): string {
    return Buffer.concat(this.#chunks)
      .subarray(-16 * 1024)
      .toString()
      .trimEnd()
      .split('\n')
      .slice(-20)
      .join('\n')
  }
}

const secretsOf = async ({ op, env }: OpNode<RunOp>): Promise<Map<string, Uint8Array>> => {
  const found = new Map<string, Uint8Array>()
  for (const mount of op.mounts) {
    if (mount.type !== 'secret') continue
    const value = await env.secret(mount.id)
    if (value) found.set(mount.id, value)
    else if (mount.required) {
      throw new SyntaxFault(`secret ${mount.id}: not found`, {
        near: mount.id,
        hint: `Pass it with --secret id=${mount.id},src=FILE (or env=NAME).`,
      })
    }
  }
  return found
}

const openAgent = async (
  space: Workspace,
  { env }: OpNode<RunOp>,
  mount: Extract<RunMount, { type: 'ssh' }>,
): Promise<AgentSocket | undefined> => {
  const socket = await env.ssh(mount.id)
  if (socket === undefined && mount.required) {
    throw new SyntaxFault(`unset ssh forward key ${mount.id}`, {
      near: 'type=ssh',
      hint: 'Start the build with --ssh default.',
    })
  }
  return socket === undefined ? undefined : await openAgentSocket(space.make('agent'), socket, mount)
}

const mountOf = async (
  deps: SolverDeps,
  space: Workspace,
  mount: Exclude<RunMount, { type: 'ssh' }>,
  input: MountInputs[number],
  caches: ReadonlyMap<RunMount, string>,
  secrets: ReadonlyMap<string, Uint8Array>,
): Promise<Mount | undefined> => {
  switch (mount.type) {
    case 'tmpfs': {
      const size = mount.size === undefined ? [] : [`size=${mount.size}`]
      return {
        type: 'tmpfs',
        source: 'tmpfs',
        target: mount.target,
        options: ['nosuid', 'nodev', 'mode=1777', ...size],
      }
    }
    case 'cache':
      return bind(caches.get(mount)!, mount.target, mount.readOnly)
    case 'secret': {
      const value = secrets.get(mount.id)
      if (value === undefined || mount.target === undefined) return undefined
      const file = join(space.make('secret'), 'value')
      writeFileSync(file, value, { mode: 0o400 })
      chownSync(file, mount.uid, mount.gid)
      chmodSync(file, mount.mode)
      return bind(file, mount.target, true)
    }
    case 'bind': {
      const top = topOf(input!.result)
      // Writes are discarded: they go to a snapshot that is never committed.
      const root = mount.readOnly ? await space.readable(top) : (await space.writable(top)).root
      const inside = deps.sys.files.resolveInRoot(root, input!.source)
      const path = join(root, inside)
      if (!lstatSync(path, { throwIfNoEntry: false })) {
        throw new SyntaxFault(`failed to calculate checksum of ref: "${mount.source}": not found`, {
          near: mount.source,
        })
      }
      return bind(path, mount.target, mount.readOnly)
    }
  }
}

const bind = (source: string, target: string, readOnly: boolean): Mount => ({
  type: 'bind',
  source,
  target,
  options: ['rbind', readOnly ? 'ro' : 'rw', 'rprivate'],
})

const documentMount = (space: Workspace, document: { name: string; data: string }): Mount => {
  const directory = space.make('document')
  const name = basename(document.name)
  if (name !== document.name || name === '..')
    throw new SlipwayError('invalid', `invalid heredoc name ${document.name}`)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, name), document.data, { mode: 0o755 })
  chmodSync(join(directory, name), 0o755)
  return bind(directory, '/dev/pipes', true)
}
