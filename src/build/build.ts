/** One build from request to image. */
import type { NamedDevice } from '../engine/types.ts'
import { randomUUID } from 'node:crypto'
import type { Images } from '../engine/types.ts'
import { isError, messageOf, SlipwayError } from '../errors.ts'
import { formatPlatform, hostPlatform, type Platform, parsePlatform } from '../spec/oci/index.ts'
import { type AttestParts, attesting, recordedProvenance } from './attest/attest.ts'
import { attestationsOf, withInline } from './attest/options.ts'
import { Bases, fullName } from './bases.ts'
import { checkCaches } from './cache/remote/entries.ts'
import { ImportedCaches } from './cache/remote/import.ts'
import type { WriteOut } from './cache/write-out.ts'
import { parseGitAddress } from './context/git.ts'
import { parametersOf, targetsOf } from './describe.ts'
import { foreignFrontend, syntaxOf } from './dockerfile/frontend.ts'
import { proxyArgs } from './dockerfile/instructions/arg.ts'
import { type Dockerfile, parseDockerfile } from './dockerfile/parser.ts'
import { stepEnvironment } from './environment.ts'
import { argsWithEpoch, epochName, fileTime, resolveEpoch, scopeWithoutEpoch } from './epoch.ts'
import { Inputs, type InputsDeps, type Read } from './inputs.ts'
import { checkOutputs, type ExportContext, exportAll, exportCaches, noLists, withInlineCache } from './output/export.ts'
import { isMultiPlatform, isOn, platformWarnings } from './output/options.ts'
import { epochOf, finishConfig, type Product } from './output/product.ts'
import { createLint, type Lint, type Warning } from './rules/lint.ts'
import { checkStatements, checkStructure } from './rules/structure.ts'
import { cancelled } from './solver/flights.ts'
import type { LocalNode, StepEnvironment, Vertex } from './solver/graph.ts'
import { codeOf, locate } from './solver/locate.ts'
import { outlineOf } from './solver/outline.ts'
import { type PlanInput, planBuild, type Target } from './solver/plan.ts'
import { Report } from './solver/report.ts'
import { type GlobalScope, globalScope, platformArgs, targetStage } from './solver/scope.ts'
import { Solve } from './solver/solve.ts'
import type { Builder, BuildOutput, BuildRequest, BuildResult, Description, ExportResponse } from './types.ts'

export interface BuildDeps extends InputsDeps {
  images: Images
  writeOut: WriteOut
}

export const runBuild = (deps: BuildDeps, request: BuildRequest): Promise<BuildResult> =>
  during(deps, request, (build) => build.run())
export const runExport = (
  deps: BuildDeps,
  request: BuildRequest,
  outputs: readonly BuildOutput[],
): Promise<ExportResponse> => {
  const inline = outputs.some(({ attrs }) => isOn(attrs['attestation-inline']))
  const whole = inline ? { ...request, attest: withInline(request.attest ?? {}) } : request
  return during(deps, whole, (build) => build.export(outputs))
}

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
  readonly #platforms: readonly Platform[]
  readonly #isMultiPlatform: boolean
  readonly #bases: Bases
  readonly #inputs: Inputs
  readonly #environment: StepEnvironment
  #devices: readonly NamedDevice[] | undefined
  readonly #imported: ImportedCaches
  readonly #startedAt: number
  /** With SOURCE_DATE_EPOCH as a number, once that is known. */
  #args: Readonly<Record<string, string>>
  #withoutEpoch = false
  #solve: Solve | undefined

  constructor(deps: BuildDeps, request: BuildRequest, stop: AbortController) {
    this.#deps = deps
    this.#request = request
    this.#signal = stop.signal
    this.#report = new Report(request.progress, () => deps.clock.now())
    this.#bases = new Bases(deps.images, request, this.#report, this.#signal)
    this.#environment = stepEnvironment(request, () => this.#devices)
    this.#inputs = new Inputs(deps, request, this.#report, this.#environment, this.#signal)
    this.#imported = new ImportedCaches(deps, this.#report, this.#signal)
    this.#platforms = platformsOf(request)
    this.#isMultiPlatform = isMultiPlatform(request.args, this.#platforms.length)
    this.#startedAt = deps.clock.now()
    this.#args = request.args
  }

  async close(): Promise<void> {
    await this.#solve?.settle()
    this.#deps.writeOut.begin()
    await this.#imported.close()
    await this.#bases.close()
    this.#report.cancel()
    await this.#inputs.close()
  }

  async run(): Promise<BuildResult> {
    if (this.#platforms.length > 1) throw noLists()
    const { products, solve, read } = await this.#products()
    const result = await this.#image(products[0]!, solve, this.#request.tags)
    await exportCaches(this.#exporting(solve), products, {})
    await this.#tellProvenance(this.#attesting(solve, read), products)
    return result
  }

  async export(outputs: readonly BuildOutput[]): Promise<ExportResponse> {
    const { attest = {}, args } = this.#request
    const isAttested = Object.keys(attestationsOf(attest, args)).length > 0
    checkOutputs(outputs, this.#platforms.length, isAttested)
    const { products, solve, read } = await this.#products()
    const parts = this.#attesting(solve, read)
    const { platforms = [] } = this.#request
    for (const message of platformWarnings(
      platforms,
      products.map(({ stage }) => stage.platform),
    ))
      this.#request.progress({ type: 'notice', message })
    const response = await exportAll({ ...this.#exporting(solve), attest: attesting(parts) }, products, outputs)
    await this.#tellProvenance(parts, products)
    return response
  }

  async #tellProvenance(parts: AttestParts, products: readonly Product[]): Promise<void> {
    const { record } = this.#request
    if (typeof record !== 'object' || !record.onAttestation) return
    const several = this.#platforms.length > 1
    for (const product of products)
      record.onAttestation(
        await recordedProvenance(parts, product),
        several ? formatPlatform(product.platform) : undefined,
      )
  }

  #attesting(solve: Solve, { found }: Read): AttestParts {
    return {
      ...{ deps: this.#deps, request: this.#request, id: randomUUID().replaceAll('-', '') },
      ...{ startedAt: this.#startedAt, dockerfile: found, bases: this.#bases, solve, environment: this.#environment },
      layouts: this.#inputs.layouts,
      materials: () => [...this.#inputs.materials, ...[...solve.materials].map(([url, digest]) => ({ url, digest }))],
    }
  }

  #exporting(solve: Solve): ExportContext {
    return {
      deps: this.#deps,
      report: this.#report,
      request: this.#request,
      signal: this.#signal,
      solve,
      image: (product, tags) => this.#image(product, solve, tags),
    }
  }

  async describe(what: Parameters<Builder['describe']>[1]): Promise<Description> {
    const { found, local } = await this.#inputs.read()
    const { file, text } = found
    const warnings: Description['warnings'] = []
    const empty = { file, text, targets: [], args: [], secrets: [], ssh: [], caches: [], warnings, error: undefined }
    const warn = (warning: Warning): void => void warnings.push(warning)
    try {
      this.#reportFrontend(found)
      const dockerfile = what === 'targets' ? parseDockerfile(file, text) : this.#parse(found, warn)
      const known = { ...empty, targets: targetsOf(dockerfile) }
      if (what === 'targets') return known
      const [stage] = await this.#plan(dockerfile, local, warn, what === 'check' && !this.#request.target)
      const scope = this.#scope(dockerfile, this.#platforms[0]!, this.#request.target)
      return { ...known, ...parametersOf(dockerfile, stage!, scope) }
    } catch (error) {
      if (what !== 'check' || !isError(error) || error.code === 'cancelled') throw error
      return { ...empty, error }
    }
  }

  /** What is built, for each platform. */
  async #products(): Promise<{ products: Product[]; solve: Solve; read: Read }> {
    checkCaches(this.#request)
    const read = await this.#inputs.read()
    this.#reportFrontend(read.found)
    const dockerfile = this.#parse(read.found, this.#request.progress)
    const imported = this.#imported
    const { source } = dockerfile
    const solve = new Solve(this.#deps, { source, signal: this.#signal, report: this.#report, imported })
    this.#solve = solve
    await this.#settleEpoch(dockerfile, read, solve)
    this.#devices = (await this.#deps.devices.list()).devices
    const stages = await this.#plan(dockerfile, read.local)
    const epoch = epochOf(this.#epochOf(dockerfile))
    const roots = stages.map(({ rootfs }) => rootfs)
    this.#report.emit({ type: 'outline', steps: outlineOf(dockerfile, roots) })
    const { attest = {}, args } = this.#request
    const extras = attestationsOf(attest, args).sbom ? stages.flatMap((stage) => stage.extras) : []
    const all = [...roots, ...extras.map(({ root }) => root)]
    await Promise.all([this.#inputs.fetch(read, all, solve), imported.open(this.#request)])
    const products = await Promise.all(
      stages.map(async (stage, i): Promise<Product> => {
        const result = await solve.result(stage.rootfs)
        return { platform: this.#platforms[i]!, stage, result, epoch }
      }),
    )
    return { products, solve, read }
  }

  /** What stands for the epoch, in the request or in the file. */
  #epochOf(dockerfile: Dockerfile): string | undefined {
    const scope = this.#scope(dockerfile, hostPlatform(), undefined)
    return scope.values.get(epochName) ?? this.#args[epochName]
  }

  /** From here on it is a number, or there is none. */
  async #settleEpoch(dockerfile: Dockerfile, { local }: Read, solve: Solve): Promise<void> {
    const given = this.#epochOf(dockerfile)
    const inputs = this.#inputs
    const { args, contexts = {} } = this.#request
    const lint = this.#lint(dockerfile, () => {})
    const resolved = await resolveEpoch(given, dockerfile, {
      context: () => inputs.time(),
      isNamed: (name) => contexts[name] !== undefined,
      async named(name) {
        await inputs.namedContext(name, hostPlatform())
        return await inputs.time(name)
      },
      stage: async (name) => {
        this.#setEpoch(undefined)
        return (await this.#planFor(hostPlatform(), dockerfile, local, lint, name)).rootfs
      },
      fetched: async (node, source) => {
        const found = await solve.fetched(node, source)
        const address = source.git ? parseGitAddress(source.url, { anyHttp: true }) : undefined
        if (address) return await this.#deps.git.time(address, found.digest, this.#signal)
        return await fileTime(this.#deps.sys.processes, found)
      },
    })
    if (resolved === given) this.#args = args
    else this.#setEpoch(resolved)
  }

  #setEpoch(epoch: string | undefined): void {
    this.#args = argsWithEpoch(this.#request.args, epoch)
    this.#withoutEpoch = epoch === undefined
  }

  #scope(dockerfile: Dockerfile, platform: Platform, target: string | undefined): GlobalScope {
    const scope = globalScope(
      dockerfile,
      platformArgs(hostPlatform(), platform, targetStage(dockerfile, target)),
      this.#args,
    )
    return this.#withoutEpoch ? scopeWithoutEpoch(scope) : scope
  }

  #lint(dockerfile: Dockerfile, warn: (warning: Warning) => void): Lint {
    return createLint(dockerfile, this.#request.args.BUILDKIT_DOCKERFILE_CHECK, warn)
  }

  /** Warns of what stands above an instruction that cannot be read. */
  #parse({ file, text }: Read['found'], warn: (warning: Warning) => void): Dockerfile {
    return parseDockerfile(file, text, (above) => checkStatements(above, this.#lint(above, warn)))
  }

  /** A stage for each platform. `whole`: what the target does not need is looked at, too. */
  async #plan(
    dockerfile: Dockerfile,
    context: LocalNode,
    warn: (warning: Warning) => void = this.#request.progress,
    whole = false,
  ): Promise<Target[]> {
    const lint = this.#lint(dockerfile, warn)
    checkStructure(dockerfile, lint)
    const stages = await Promise.all(
      this.#platforms.map((platform) =>
        this.#planFor(platform, dockerfile, context, lint, this.#request.target, whole),
      ),
    )
    lint.failIfAsked()
    this.#reportUnused(dockerfile)
    return stages
  }

  #planFor(
    platform: Platform,
    dockerfile: Dockerfile,
    context: LocalNode,
    lint: Lint,
    target: string | undefined,
    whole = false,
  ): Promise<Target> {
    const { noCache, noCacheFilter = [], platforms = [] } = this.#request
    const args = this.#args
    return planBuild({
      dockerfile,
      lint,
      context,
      ...{ target, whole },
      scope: this.#scope(dockerfile, platform, target),
      platform,
      platformGiven: this.#request.platform !== undefined || platforms.length > 0,
      platformShown: this.#isMultiPlatform,
      buildArgs: args,
      noCache: (name) =>
        noCache === true || noCacheFilter.some((each) => name !== undefined && each.toLowerCase() === name),
      environment: this.#environment,
      namedContext: (name) => this.#inputs.namedContext(name, platform),
      // What came in as a context is not named by anything that a policy knows.
      image: (reference, wanted) =>
        this.#bases.get(reference, wanted, this.#inputs.isLoaded(reference) ? [] : undefined),
      locate: (error, range) => locate(dockerfile.source, range, '', error),
    } satisfies PlanInput)
  }

  #reportFrontend({ text }: Read['found']): void {
    const frontend = foreignFrontend(this.#args.BUILDKIT_SYNTAX ?? syntaxOf(text))
    if (frontend === undefined) return
    const message = `[Warning] syntax=${frontend}: other frontends are not run here, the file is read as a Dockerfile`
    this.#request.progress({ type: 'notice', message })
  }

  #reportUnused(dockerfile: Dockerfile): void {
    const { args } = this.#request
    const declared = new Set([
      ...platformArgs(hostPlatform(), hostPlatform(), undefined).map(([key]) => key),
      ...proxyArgs,
      epochName,
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

  /** The product as an image of this machine, under these names. */
  async #image(made: Product, solve: Solve, tags: string[]): Promise<BuildResult> {
    const vertex = { id: randomUUID(), name: 'exporting to image' }
    return await this.#report.during(vertex, async () => {
      const { records, images } = this.#deps
      const product = await withInlineCache({ deps: this.#deps, solve }, this.#request, made)
      const { config, key, created } = finishConfig(this.#deps, this.#request, product)
      const before = records.image(key)
      const [name] = tags
      const known = before !== undefined && (await images.get(before.image)) !== undefined
      this.#say(vertex, 'exporting layers')
      const image = await images.create({
        config,
        snapshots: product.result.snapshots,
        ...(name === undefined ? {} : { name }),
      })
      this.#inputs.keep(image.id)
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
}

const platformsOf = ({ platform, platforms = [] }: BuildRequest): Platform[] => {
  const texts = platforms.length > 0 ? platforms : platform === undefined ? [] : [platform]
  const found = new Map(texts.map((text) => [formatPlatform(parsePlatform(text)), parsePlatform(text)]))
  return found.size === 0 ? [hostPlatform()] : [...found.values()]
}

/** A program or the file system may fail in ways nobody foresaw. */
const asSlipwayError = (error: unknown): SlipwayError =>
  error instanceof SlipwayError ? error : new SlipwayError(codeOf(error), messageOf(error), { cause: error })
