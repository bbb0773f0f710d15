/** One build from request to image. */
import { randomUUID } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Images } from '../engine/types.ts'
import { isError, messageOf, SlipwayError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { hostPlatform, type Platform, parsePlatform } from '../spec/oci/index.ts'
import { Bases, familiar, fullName } from './bases.ts'
import type { StepResult } from './cache/records.ts'
import { needsAgent, parseGitAddress } from './context/git.ts'
import type { KeptContexts } from './context/kept.ts'
import {
  type FoundDockerfile,
  findDockerfile,
  type OpenableContext,
  type OpenedContext,
  openContext,
  treeOf,
} from './context/open.ts'
import { findRemoteDockerfile, remoteIgnore, Remotes } from './context/remotes.ts'
import { parseCheck } from './dockerfile/directives.ts'
import { proxyArgs } from './dockerfile/instructions/arg.ts'
import { type Dockerfile, parseDockerfile } from './dockerfile/parser.ts'
import { parametersOf, targetsOf } from './describe.ts'
import { createLint, type Warning } from './rules/lint.ts'
import { checkStructure } from './rules/structure.ts'
import type { SolverDeps } from './solver/deps.ts'
import { cancelled } from './solver/flights.ts'
import type { LocalNode, StepEnvironment, Vertex } from './solver/graph.ts'
import { imageConfig } from './solver/image.ts'
import { hashOf } from './solver/keys.ts'
import { codeOf, locate } from './solver/locate.ts'
import { outlineOf } from './solver/outline.ts'
import { type PlanInput, planBuild } from './solver/plan.ts'
import { Report } from './solver/report.ts'
import { globalScope, platformArgs } from './solver/scope.ts'
import { Solve } from './solver/solve.ts'
import type { StageResult } from './solver/stage.ts'
import { Workspace } from './solver/workspace.ts'
import type { BuildRequest, BuildResult, Builder, Description, RemoteDirectory } from './types.ts'

export interface BuildDeps extends SolverDeps {
  images: Images
  /** Where streamed contexts are unpacked. */
  contextDir: string
  kept: KeptContexts
}

type Receive = Parameters<Builder['buildFiles']>[1]

export const runBuild = (deps: BuildDeps, request: BuildRequest): Promise<BuildResult> =>
  during(deps, request, (build) => build.run())
export const runBuildFiles = (deps: BuildDeps, request: BuildRequest, receive: Receive): Promise<void> =>
  during(deps, request, (build) => build.files(receive))

export const describe = (
  deps: BuildDeps,
  request: BuildRequest,
  what: Parameters<Builder['describe']>[1],
): Promise<Description> => during(deps, request, (build) => build.describe(what))

const during = async <T>(deps: BuildDeps, request: BuildRequest, task: (build: Build) => Promise<T>): Promise<T> => {
  const stop = new AbortController()
  const onAbort = (): void => stop.abort(cancelled())
  if (request.signal?.aborted) onAbort()
  request.signal?.addEventListener('abort', onAbort, { once: true })
  const build = new Build(deps, request, stop)
  try {
    stop.signal.throwIfAborted()
    return await task(build)
  } catch (error) {
    // The other branches of the graph have no purpose any more.
    const wasAborted = stop.signal.aborted
    stop.abort(cancelled())
    throw wasAborted ? cancelled() : asSlipwayError(error)
  } finally {
    await build.close()
    request.signal?.removeEventListener('abort', onAbort)
  }
}

class Build {
  readonly #deps: BuildDeps
  readonly #request: BuildRequest
  readonly #signal: AbortSignal
  readonly #report: Report
  readonly #platform: Platform
  readonly #bases: Bases
  readonly #opened: OpenedContext[] = []
  readonly #remotes: Remotes
  #solve: Solve | undefined

  constructor(deps: BuildDeps, request: BuildRequest, stop: AbortController) {
    this.#deps = deps
    this.#request = request
    this.#signal = stop.signal
    this.#remotes = new Remotes(deps.kept)
    this.#report = new Report(request.progress, () => deps.clock.now())
    this.#bases = new Bases(deps.images, request, this.#report, this.#signal)
    this.#platform = request.platform === undefined ? hostPlatform() : parsePlatform(request.platform)
  }

  async close(): Promise<void> {
    await this.#solve?.settle()
    await this.#bases.close()
    this.#report.cancel()
    for (const context of this.#opened) context.close()
    this.#remotes.close()
  }

  async run(): Promise<BuildResult> {
    const { stage, solve } = await this.#prepare()
    return await this.#export(stage, await solve.result(stage.rootfs), solve)
  }

  async files(receive: Receive): Promise<void> {
    const { stage, solve } = await this.#prepare()
    const result = await solve.result(stage.rootfs)
    const { sys, workDir, snapshots, clock } = this.#deps
    const { config } = imageConfig(stage, result, this.#request.labels, this.#epoch())
    const space = new Workspace(workDir, sys.mounts, snapshots)
    try {
      const root = await space.readable(result.snapshots.at(-1))
      const created = config.created ?? new Date(clock.now()).toISOString()
      const rootfs = { type: 'layers' as const, diff_ids: [] }
      await receive({ root, config: { ...config, created, rootfs } }, this.#signal)
    } finally {
      await space.close()
    }
  }

  async describe(what: Parameters<Builder['describe']>[1]): Promise<Description> {
    const { found, local } = await this.#read()
    const { file, text } = found
    const warnings: Description['warnings'] = []
    const empty = { file, text, targets: [], args: [], secrets: [], ssh: [], caches: [], warnings, error: undefined }
    try {
      const dockerfile = parseDockerfile(file, text)
      const known = { ...empty, targets: targetsOf(dockerfile) }
      if (what === 'targets') return known
      const stage = await this.#plan(dockerfile, local, (warning) => warnings.push(warning))
      return { ...known, ...parametersOf(dockerfile, stage.rootfs, this.#request) }
    } catch (error) {
      if (what !== 'check' || !isError(error) || error.at === undefined) throw error
      return { ...empty, error }
    }
  }

  /** The Dockerfile and the build context, of which nothing may be there yet. */
  async #read(): Promise<{ found: FoundDockerfile; local: LocalNode; remote: boolean }> {
    const { context: given } = this.#request
    const context =
      'remote' in given ? undefined : await this.#open('git' in given ? await this.#clone(given.git) : given)
    const found = await this.#internal(`load build definition from ${nameOf(this.#request)}`, async (vertex) => {
      const remote = await findRemoteDockerfile(this.#request, this.#signal)
      const file = remote ?? (await findDockerfile(this.#request, context!, this.#deps.sys))
      const size = Buffer.byteLength(file.text)
      if (remote)
        this.#report.emit({
          ...{ type: 'status', id: vertex.id, name: 'transferring dockerfile', current: size },
        })
      return file
    })
    this.#request.onDockerfile?.(found.file, found.text)
    const ignoring = found.ignore ? found.ignore.file : '.dockerignore'
    await this.#internal(`load ${ignoring}`, async () => {})
    const patterns = found.ignore?.patterns
    const tree = context
      ? treeOf(context, patterns)
      : this.#remotes.tree((given as { remote: RemoteDirectory }).remote, patterns ?? [])
    return { found, local: { kind: 'local', name: 'context', tree }, remote: !context }
  }

  /** Everything up to the first step. */
  async #prepare(): Promise<{ stage: StageResult; solve: Solve }> {
    const { found, local, remote } = await this.#read()
    const dockerfile = parseDockerfile(found.file, found.text)
    const solve = new Solve(this.#deps, { source: dockerfile.source, signal: this.#signal, report: this.#report })
    this.#solve = solve
    const stage = await this.#plan(dockerfile, local)
    this.#report.emit({ type: 'outline', steps: outlineOf(dockerfile, stage.rootfs) })
    const wanted = this.#remotes.wanted(stage.rootfs)
    await Promise.all(wanted.filter(([each]) => each !== local).map((each) => this.#fetchNamed(...each)))
    await this.#internal('load build context', async (vertex) => {
      const emit = (current: number): void =>
        this.#report.emit({ type: 'status', id: vertex.id, name: 'transferring context', current, total: undefined })
      const own = wanted.find(([each]) => each === local)
      const fetched =
        own && (await this.#remotes.fetch(local, own[1], this.#signal, atIntervals(this.#deps.clock, emit)))
      const bytes = await solve.loadContext(stage.rootfs)
      emit(fetched ?? (remote ? 0 : bytes))
    })
    return { stage, solve }
  }

  async #fetchNamed(local: LocalNode, follow: readonly string[] | undefined): Promise<void> {
    const vertex = { id: randomUUID(), name: `[context ${local.name}] load from client` }
    await this.#report.during(vertex, async () => {
      const emit = (current: number): void =>
        this.#report.emit({
          type: 'status',
          id: vertex.id,
          name: `transferring ${local.name}:`,
          current,
          total: undefined,
        })
      emit(await this.#remotes.fetch(local, follow, this.#signal, atIntervals(this.#deps.clock, emit)))
    })
  }

  async #clone(text: string): Promise<{ tar: Readable }> {
    const address = parseGitAddress(text)
    if (!address) throw new SlipwayError('bad-request', `${text} is not the address of a git repository`)
    return await this.#internal(`load git source ${text}`, async () => {
      const agent = needsAgent(address) ? await this.#ssh('default') : undefined
      const { path } = await this.#deps.git.get(address, { signal: this.#signal, agent })
      return { tar: createReadStream(path) }
    })
  }

  async #open(context: OpenableContext): Promise<OpenedContext> {
    const opened = await openContext(context, this.#deps.sys, this.#deps.contextDir, this.#signal)
    this.#opened.push(opened)
    return opened
  }

  async #internal<T>(name: string, task: (vertex: Vertex) => Promise<T>): Promise<T> {
    const vertex = { id: randomUUID(), name: `[internal] ${name}` }
    return await this.#report.during(vertex, () => task(vertex))
  }

  async #plan(
    dockerfile: Dockerfile,
    context: LocalNode,
    warn: (warning: Warning) => void = this.#request.progress,
  ): Promise<StageResult> {
    const { args, target, noCache, noCacheFilter = [] } = this.#request
    const check = args.BUILDKIT_DOCKERFILE_CHECK
    const lint = createLint(
      dockerfile.source,
      check === undefined ? dockerfile.directives.check : parseCheck(check),
      warn,
    )
    checkStructure(dockerfile, lint)
    const stage = await planBuild({
      dockerfile,
      lint,
      context,
      target,
      scope: globalScope(dockerfile, platformArgs(hostPlatform(), this.#platform, target), args),
      platform: this.#platform,
      platformGiven: this.#request.platform !== undefined,
      buildArgs: args,
      noCache: (name) => noCache === true || (name !== undefined && noCacheFilter.includes(name)),
      environment: this.#environment(),
      namedContext: (name) => this.#namedContext(name),
      image: (reference, platform) => this.#bases.get(reference, platform),
      locate: (error, range) => locate(dockerfile.source, range, '', error),
    } satisfies PlanInput)
    lint.failIfAsked()
    this.#reportUnused(dockerfile, args)
    return stage
  }

  #reportUnused(dockerfile: Dockerfile, args: Readonly<Record<string, string>>): void {
    const declared = new Set([
      ...platformArgs(hostPlatform(), this.#platform, undefined).map(([key]) => key),
      ...proxyArgs,
      'SOURCE_DATE_EPOCH',
      ...dockerfile.lines.statements.flatMap(({ name, text }) =>
        name === 'ARG' || name === 'ONBUILD' ? (text.match(/[A-Za-z_]\w*/g) ?? []) : [],
      ),
    ])
    const unused = Object.keys(args).filter((key) => !declared.has(key) && !key.startsWith('BUILDKIT_'))
    if (unused.length > 0)
      this.#request.progress({
        type: 'notice',
        message: `[Warning] One or more build-args [${unused.join(' ')}] were not consumed`,
      })
  }

  #environment(): StepEnvironment {
    const { args, network = 'default', extraHosts = [], shmSize, ulimits = [], privileged = false } = this.#request
    // Tools read either spelling, so both are set from whichever was given.
    const proxies = new Map<string, string>()
    for (const [key, value] of Object.entries(args)) {
      if (!proxyArgs.includes(key)) continue
      proxies.set(key.toUpperCase(), value)
      proxies.set(key.toLowerCase(), value)
    }
    return {
      network,
      hosts: extraHosts,
      proxies: [...proxies].map(([key, value]) => `${key}=${value}`),
      shmSize,
      ulimits,
      privileged,
      hostNetwork: this.#request.hostNetwork ?? false,
      secret: (id) => this.#secret(id),
      ssh: (id) => this.#ssh(id),
    }
  }

  /** 'default' is the agent of this process; 'id=path' names a socket. */
  async #ssh(id: string): Promise<string | undefined> {
    const entry = this.#request.ssh?.find((each) => each.split('=', 1)[0] === id)
    if (entry === undefined) return await this.#request.findAgent?.(id)
    const path = entry.includes('=') ? entry.slice(entry.indexOf('=') + 1) : process.env.SSH_AUTH_SOCK
    const stat = path === undefined || path === '' ? undefined : statSync(path, { throwIfNoEntry: false })
    if (stat?.isSocket()) return path
    throw new SlipwayError('unsupported', `invalid ssh agent ${entry}: not a socket`, {
      hint: 'Give the path of a running agent: --ssh default=$SSH_AUTH_SOCK.',
    })
  }

  async #secret(id: string): Promise<Uint8Array | undefined> {
    const secret = this.#request.secrets?.[id]
    if (!secret) return await this.#request.findSecret?.(id)
    if ('value' in secret) return secret.value
    if ('file' in secret) {
      try {
        return await readFile(secret.file)
      } catch (error) {
        throw new SlipwayError('not-found', `failed to read secret ${id}: ${(error as Error).message}`, {
          cause: error,
        })
      }
    }
    const value = process.env[secret.env]
    return value === undefined ? undefined : Buffer.from(value)
  }

  async #namedContext(name: string): Promise<Awaited<ReturnType<PlanInput['namedContext']>>> {
    const { contexts = {} } = this.#request
    const value = contexts[name] ?? contexts[familiar(name)]
    if (value === undefined) return undefined
    if (typeof value !== 'string') {
      const exclude = await remoteIgnore(value.remote, this.#signal)
      return { local: { kind: 'local', name, tree: this.#remotes.tree(value.remote, exclude ?? []) } }
    }
    const scheme = /^([a-z][a-z0-9-]*):(?:\/\/)?(.*)$/.exec(value)
    if (scheme?.[1] === 'docker-image') return { image: scheme[2]! }
    if (scheme?.[1] === 'target' || scheme?.[1] === 'stage') return { stage: scheme[2]! }
    if (scheme) {
      throw new SlipwayError('unsupported', `context ${name}: ${value} is not supported`, {
        hint: 'A named context is a directory, docker-image://NAME or target:STAGE.',
      })
    }
    const opened = await this.#open({ directory: value })
    const found = await findDockerfile({ dockerfile: { inline: '' } }, opened, this.#deps.sys)
    return { local: { kind: 'local', name, tree: treeOf(opened, found.ignore?.patterns) } }
  }

  async #export(stage: StageResult, result: StepResult, solve: Solve): Promise<BuildResult> {
    const vertex = { id: randomUUID(), name: 'exporting to image' }
    return await this.#report.during(vertex, async () => {
      const { records, images, clock } = this.#deps
      const { labels, tags } = this.#request
      const { config, dated } = imageConfig(stage, result, labels, this.#epoch())
      const key = hashOf(config, result.snapshots)
      const before = records.image(key)
      // An image without a single layer has no time to take: the first one made from it decides.
      const created = config.created ?? before?.created ?? new Date(clock.now()).toISOString()
      const history = dated
        ? config.history
        : config.history?.map((entry) => ({ ...entry, created: entry.created ?? created }))
      const [name] = tags
      const known = before !== undefined && (await images.get(before.image)) !== undefined
      this.#say(vertex, 'exporting layers')
      const image = await images.create({
        config: { ...config, created, ...(history ? { history } : {}) },
        snapshots: result.snapshots,
        ...(name === undefined ? {} : { name }),
      })
      this.#say(vertex, `writing image ${image.id}`)
      for (const tag of tags.slice(1)) await images.tag(image.id, tag)
      for (const tag of tags) this.#say(vertex, `naming to ${fullName(tag)}`)
      records.setImage(key, created, image.id)
      return { image: (await images.get(image.id)) ?? image, changed: !(known && solve.cached) }
    })
  }

  #say(vertex: Vertex, name: string): void {
    this.#report.emit({ type: 'status', id: vertex.id, name, current: 0 })
  }

  #epoch(): number | undefined {
    const text = this.#request.args.SOURCE_DATE_EPOCH
    if (text === undefined || text === '') return undefined
    if (!/^\d+$/.test(text)) throw new SlipwayError('invalid', `invalid SOURCE_DATE_EPOCH: ${text}`)
    return Number(text) * 1000
  }
}

/** Progress of a transfer is worth showing ten times a second. */
const atIntervals = (clock: Clock, emit: (current: number) => void): ((current: number) => void) => {
  let last = 0
  return (current) => {
    if (clock.now() - last < 100) return
    last = clock.now()
    emit(current)
  }
}

/** A program or the file system may fail in ways nobody foresaw. */
const asSlipwayError = (error: unknown): SlipwayError =>
  error instanceof SlipwayError ? error : new SlipwayError(codeOf(error), messageOf(error), { cause: error })

const nameOf = ({ dockerfile }: BuildRequest): string =>
  dockerfile === undefined || 'inline' in dockerfile
    ? 'Dockerfile'
    : (dockerfile.path.split('/').at(-1) ?? 'Dockerfile')
