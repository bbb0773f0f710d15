/** What one build reads: its Dockerfile, its context and the named ones; the same for all platforms. */
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Images } from '../engine/types.ts'
import { SlipwayError } from '../errors.ts'
import { redacted } from '../lib/redacted.ts'
import type { Clock } from '../lib/clock.ts'
import { decodeName } from '../lib/tar/index.ts'
import { formatPlatform, type Platform } from '../spec/oci/index.ts'
import type { Material } from './attest/provenance.ts'
import { familiar } from './bases.ts'
import { gitAuthorization, httpAuthorization } from './context/authorization.ts'
import { needsAgent, parseGitAddress } from './context/git.ts'
import type { KeptContexts } from './context/kept.ts'
import { loadLayout } from './context/layout.ts'
import {
  type FoundDockerfile,
  findDockerfile,
  type OpenableContext,
  type OpenedContext,
  openContext,
  treeOf,
} from './context/open.ts'
import type { ReceivedContexts } from './context/received-contexts.ts'
import { findRemoteDockerfile, Remotes, remoteIgnore } from './context/remotes.ts'
import { isArchive } from './context/unpack.ts'
import { fileTime } from './epoch.ts'
import { isOn } from './output/options.ts'
import { policed, policedGit, policedUrl } from './policed.ts'
import type { SolverDeps } from './solver/deps.ts'
import { type LocalNode, localReads, type Rootfs, type StepEnvironment, type Vertex } from './solver/graph.ts'
import type { PlanInput } from './solver/plan.ts'
import type { Report } from './solver/report.ts'
import type { Solve } from './solver/solve.ts'
import type { BuildRequest, GitContext, RemoteDirectory, SourceRule } from './types.ts'

export interface InputsDeps extends SolverDeps {
  images: Pick<Images, 'load' | 'get' | 'remove'>
  received: ReceivedContexts
  kept: KeptContexts
}
type NamedContext = Awaited<ReturnType<PlanInput['namedContext']>>

export interface Read {
  found: FoundDockerfile
  local: LocalNode
  /** On the client's machine, still to be fetched. */
  remote: boolean
}

export class Inputs {
  readonly #deps: InputsDeps
  readonly #request: BuildRequest
  readonly #report: Report
  readonly #signal: AbortSignal
  readonly #environment: StepEnvironment
  readonly #opened: OpenedContext[] = []
  readonly #rules: readonly SourceRule[]
  readonly #remotes: Remotes
  /** Named contexts, by contextName(). */
  readonly #contexts: NonNullable<BuildRequest['contexts']>
  /** Images that are here for this build only, by id. */
  readonly #loaded = new Map<string, () => Promise<void>>()
  /** Images that came in as contexts: what they are called there, by id. */
  readonly layouts = new Map<string, string>()
  readonly #named = new Map<string, Promise<NamedContext>>()
  /** Contexts that were fetched from elsewhere. */
  readonly materials: Material[] = []
  readonly #times = new Map<string, () => Promise<number | undefined>>()

  constructor(
    deps: InputsDeps,
    request: BuildRequest,
    report: Report,
    environment: StepEnvironment,
    signal: AbortSignal,
  ) {
    this.#deps = deps
    this.#request = request
    this.#contexts = Object.fromEntries(
      Object.entries(request.contexts ?? {}).map(([name, value]) => [contextName(name), value]),
    )
    this.#report = report
    this.#signal = signal
    this.#environment = environment
    this.#rules = request.sourceRules ?? []
    this.#remotes = new Remotes(deps.kept)
  }

  async close(): Promise<void> {
    for (const drop of this.#loaded.values()) await drop()
    this.#loaded.clear()
    for (const context of this.#opened) context.close()
    this.#remotes.close()
  }

  /** An image that came in as a context is the result, too: it stays. */
  keep(image: string): void {
    this.#loaded.delete(image)
  }

  /** Is it the image of a context that is a layout? */
  isLoaded(image: string): boolean {
    return this.#loaded.has(image)
  }

  /** The Dockerfile and the build context, of which nothing may be there yet. */
  async read(): Promise<Read> {
    for (const local of localNames(this.#request)) policed(this.#rules, `local://${local}`)
    const { request, context } = await this.#fetched()
    const found = await this.#internal(`load build definition from ${nameOf(request)}`, async (vertex) => {
      const remote = await findRemoteDockerfile(request, this.#signal)
      const file = remote ?? (await findDockerfile(request, context!, this.#deps.sys))
      const size = Buffer.byteLength(file.text)
      if (remote)
        this.#report.emit({ ...{ type: 'status', id: vertex.id, name: 'transferring dockerfile', current: size } })
      return file
    })
    request.onDockerfile?.(found.file, found.text)
    const ignoring = found.ignore ? found.ignore.file : '.dockerignore'
    await this.#internal(`load ${ignoring}`, async () => {})
    const patterns = found.ignore?.patterns
    const tree = context
      ? treeOf(context, patterns)
      : this.#remotes.tree((request.context as { remote: RemoteDirectory }).remote, patterns ?? [])
    return { found, local: { kind: 'local', name: 'context', tree }, remote: !context }
  }

  /** Brings here what the steps below `roots` read, and looks at it. */
  async fetch({ local, remote }: Read, roots: readonly Rootfs[], solve: Solve): Promise<void> {
    const wanted = this.#remotes.wanted(roots)
    await Promise.all(wanted.filter(([each]) => each !== local).map((each) => this.#fetchNamed(...each)))
    if (localReads(roots).length === 0) return
    await this.#internal('load build context', async (vertex) => {
      const emit = (current: number): void =>
        this.#report.emit({ type: 'status', id: vertex.id, name: 'transferring context', current, total: undefined })
      const own = wanted.find(([each]) => each === local)
      const fetched =
        own && (await this.#remotes.fetch(local, own[1], this.#signal, atIntervals(this.#deps.clock, emit)))
      const bytes = await solve.loadContext(roots)
      emit(fetched ?? (remote ? 0 : bytes))
    })
  }

  namedContext(name: string, platform: Platform): Promise<NamedContext> {
    const contexts = this.#contexts
    const own = formatPlatform(platform)
    const called = contextName(name)
    const value = contexts[`${called}::${own}`] ?? contexts[called]
    // An image is another one for each platform.
    const key =
      contexts[`${called}::${own}`] || (typeof value === 'object' && 'store' in value) ? `${name} ${own}` : name
    let found = this.#named.get(key)
    if (!found) {
      found = this.#openNamed(name, value, platform)
      found.catch(() => {})
      this.#named.set(key, found)
    }
    return found
  }

  /** The time (s) of the build context, or of a named one that was opened; what is a directory has none. */
  async time(name?: string): Promise<number | undefined> {
    const { context, contexts = {} } = this.#request
    const own = 'git' in context ? context.git : 'url' in context ? context.url : undefined
    const named = name === undefined ? own : contexts[name]
    const address = typeof named === 'object' && 'git' in named ? named.git : named
    return typeof address === 'string' ? await this.#times.get(address)?.() : undefined
  }

  /** The request with contexts that are elsewhere brought here; `context` is undefined where it is on the client's machine. */
  async #fetched(): Promise<{ request: BuildRequest; context: OpenedContext | undefined }> {
    const request = this.#request
    const { context } = request
    if ('remote' in context) return { request, context: undefined }
    if ('git' in context) return { request, context: await this.#open(await this.#clone(context)) }
    if (!('url' in context)) return { request, context: await this.#open(context) }
    const { path } = await this.#download(context.url)
    if (await isArchive(this.#deps.sys.processes, path))
      return { request, context: await this.#open({ tar: createReadStream(path) }) }
    // Not an archive: then it is the Dockerfile itself.
    const text = decodeName(await readFile(path))
    return { request: { ...request, dockerfile: { inline: text } }, context: await this.#open({ none: true }) }
  }

  async #download(given: string): Promise<{ path: string }> {
    return await this.#internal(`load remote build context ${redacted(given)}`, async (vertex) => {
      const { url, checksum } = policedUrl(this.#rules, { url: given })
      const found = await this.#deps.downloads.get(url, {
        signal: this.#signal,
        authorization: await httpAuthorization(url, this.#environment.secret),
        progress: (current, total) =>
          this.#report.emit({ type: 'status', id: vertex.id, name: redacted(url), current, total }),
      })
      if (checksum !== undefined && found.digest !== checksum)
        throw new SlipwayError('invalid', `digest mismatch ${found.digest}: ${checksum}`)
      this.materials.push({ url, digest: found.digest })
      this.#times.set(given, () => fileTime(this.#deps.sys.processes, found))
      return found
    })
  }

  async #clone({ git: text, address: given = parseGitAddress(text) }: GitContext): Promise<{ tar: Readable }> {
    if (!given) throw new SlipwayError('bad-request', `${text} is not the address of a git repository`)
    return await this.#internal(`load git source ${redacted(text)}`, async () => {
      const keepGitDir = given.keepGitDir ?? isOn(this.#request.args.BUILDKIT_CONTEXT_KEEP_GIT_DIR, false)
      const address = policedGit(this.#rules, { ...given, keepGitDir })
      const agent = needsAgent(address) ? await this.#environment.ssh(address.agent ?? 'default') : undefined
      const authorization = await gitAuthorization(address, this.#environment.secret)
      const options = { signal: this.#signal, agent, authorization }
      const { path, digest } = await this.#deps.git.get(address, options)
      this.materials.push({ url: text, digest })
      this.#times.set(text, () => this.#deps.git.time(address, digest, this.#signal))
      return { tar: createReadStream(path) }
    })
  }

  /** `name`: of one that is not the build context itself. */
  async #open(context: OpenableContext, name = nameOfContext(this.#request)): Promise<OpenedContext> {
    const opened = await openContext(context, this.#deps.sys, this.#deps.received, name, this.#signal)
    this.#opened.push(opened)
    return opened
  }

  async #internal<T>(name: string, task: (vertex: Vertex) => Promise<T>): Promise<T> {
    const vertex = { id: randomUUID(), name: `[internal] ${name}` }
    return await this.#report.during(vertex, () => task(vertex))
  }

  async #fetchNamed(local: LocalNode, follow: readonly string[] | undefined): Promise<void> {
    const vertex = { id: randomUUID(), name: `[context ${local.name}] load from client` }
    await this.#report.during(vertex, async () => {
      const name = `transferring ${local.name}:`
      const emit = (current: number): void =>
        this.#report.emit({ type: 'status', id: vertex.id, name, current, total: undefined })
      emit(await this.#remotes.fetch(local, follow, this.#signal, atIntervals(this.#deps.clock, emit)))
    })
  }

  async #openNamed(
    name: string,
    value: NonNullable<BuildRequest['contexts']>[string] | undefined,
    platform: Platform,
  ): Promise<NamedContext> {
    if (value === undefined) return undefined
    if (typeof value !== 'string' && 'store' in value) {
      policed(this.#rules, `oci-layout://${name}@${value.digest}`)
      const vertex = { id: randomUUID(), name: `[context ${name}] OCI load from client` }
      const { image, drop } = await this.#report.during(vertex, () =>
        loadLayout(this.#deps.images, value.store, value.digest, platform, this.#signal),
      )
      this.#loaded.set(image, drop)
      this.layouts.set(image, `${name}@${value.digest}`)
      return { image }
    }
    if (typeof value !== 'string' && 'git' in value)
      return await this.#tree(name, await this.#open(await this.#clone(value), value.git))
    if (typeof value !== 'string') {
      policed(this.#rules, `local://${name}`)
      const exclude = await remoteIgnore(value.remote, this.#signal)
      return { local: { kind: 'local', name, tree: this.#remotes.tree(value.remote, exclude ?? []) } }
    }
    if (parseGitAddress(value))
      return await this.#tree(name, await this.#open(await this.#clone({ git: value }), value))
    if (/^https?:\/\//.test(value)) {
      const { path } = await this.#download(value)
      if (!(await isArchive(this.#deps.sys.processes, path)))
        throw new SlipwayError('invalid', `context ${name}: ${value} is not an archive`)
      return await this.#tree(name, await this.#open({ tar: createReadStream(path) }, value))
    }
    const scheme = /^([a-z][a-z0-9-]*):(?:\/\/)?(.*)$/.exec(value)
    if (scheme?.[1] === 'docker-image') return { image: scheme[2]! }
    if (scheme?.[1] === 'target' || scheme?.[1] === 'stage') return { stage: scheme[2]! }
    if (scheme) {
      throw new SlipwayError('unsupported', `context ${name}: ${value} is not supported`, {
        hint: 'A named context is a directory, a git repository, an archive at an http(s) address, docker-image://NAME or target:STAGE.',
      })
    }
    policed(this.#rules, `local://${name}`)
    return await this.#tree(name, await this.#open({ directory: value }, value))
  }

  async #tree(name: string, opened: OpenedContext): Promise<NamedContext> {
    const found = await findDockerfile({ dockerfile: { inline: '' } }, opened, this.#deps.sys)
    return { local: { kind: 'local', name, tree: treeOf(opened, found.ignore?.patterns) } }
  }
}

/** What of a build lies on its client's machine, as its policy calls it. */
const localNames = ({ context, dockerfile = { path: '' } }: BuildRequest): string[] => {
  const isLocal = 'remote' in context || 'directory' in context
  const isFileLocal = 'remote' in dockerfile || (isLocal && 'path' in dockerfile)
  return [...(isLocal ? ['context'] : []), ...(isFileLocal ? ['dockerfile'] : [])]
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

/** A stream has no name: what is made of it has. */
const nameOfContext = ({ context, dockerfile, tags, target }: BuildRequest): string => {
  if ('git' in context) return context.git
  return 'url' in context ? context.url : JSON.stringify([dockerfile, target, tags])
}

/** One for all spellings of an image's name; a platform may follow it: 'docker.io/library/a:latest::linux/amd64' is 'a::linux/amd64'. */
const contextName = (name: string): string => {
  const [image = '', ...platform] = name.split('::')
  return [familiar(image).replace(/:latest$/, ''), ...platform].join('::')
}

const nameOf = ({ dockerfile }: BuildRequest): string =>
  dockerfile === undefined || 'inline' in dockerfile
    ? 'Dockerfile'
    : (dockerfile.path.split('/').at(-1) ?? 'Dockerfile')
