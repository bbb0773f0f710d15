/** A parsed Dockerfile and a request to the graph that has to be solved. Only what the target needs is touched. */
import { randomUUID } from 'node:crypto'
import type { Image } from '../../engine/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import { formatPlatform, isReference, type Platform, parsePlatform } from '../../spec/oci/index.ts'
import { fullName } from '../bases.ts'
import type { Patterns } from '../context/patterns.ts'
import { expand } from '../dockerfile/expand.ts'
import type { Command } from '../dockerfile/instruction.ts'
import { meant, suggest } from '../dockerfile/nearest.ts'
import { type Dockerfile, parseTrigger, type Stage } from '../dockerfile/parser.ts'
import { faultAt, lowering, positionOf, type Range, SyntaxFault } from '../dockerfile/source.ts'
import type { CopyOp, FilesFrom, Op } from '../ops.ts'
import { isOn } from '../output/options.ts'
import type { Lint } from '../rules/lint.ts'
import type { LocalNode, OpNode, Rootfs, Source, StepEnvironment } from './graph.ts'
import { type Extra, isScanned } from './scans.ts'
import type { GlobalScope } from './scope.ts'
import { emptyStage, imageStage, lowerStage, type StageResult } from './stage.ts'
import { Steps } from './steps.ts'

export interface PlanInput {
  dockerfile: Dockerfile
  scope: GlobalScope
  lint: Lint
  platform: Platform
  /** Was the platform asked for, or is it this machine's? */
  platformGiven: boolean
  /** One of several: steps tell whose they are. */
  platformShown?: boolean | undefined
  target: string | undefined
  /** Stages that the target does not need are planned, too. */
  whole?: boolean | undefined
  buildArgs: Readonly<Record<string, string>>
  noCache(stage: string | undefined): boolean
  environment: StepEnvironment
  /** The build context. */
  context: LocalNode
  /** What a named context stands for; undefined: there is none of this name. */
  namedContext(name: string): Promise<{ image: string } | { local: LocalNode } | { stage: string } | undefined>
  /** Gets an image's configuration, pulling it if need be. */
  image(reference: string, platform: Platform): Promise<Image>
  /** Errors of image() get the position of this instruction. */
  locate(error: unknown, range: Range): SlipwayError | unknown
}

export interface Target extends StageResult {
  extras: Extra[]
  /** The stages that were planned, in their order. */
  stages: { stage: Stage; result: StageResult }[]
}

/** Plans the target stage; errors point at the instruction concerned. */
export const planBuild = (input: PlanInput): Promise<Target> => new Planner(input).target()

/** What nearly these names is likely one of them, mistyped. */
const usualImages = ['alpine', 'busybox', 'centos', 'debian', 'fedora', 'golang', 'ubuntu'].flatMap((name) => [
  name,
  `${name}:latest`,
])

interface Base {
  name: string
  platform: Platform
  platformGiven: boolean
}

class Planner {
  #in: PlanInput
  #bases: Base[]
  #results = new Map<number, Promise<StageResult>>()
  #externals = new Map<string, Promise<Source>>()
  /** Is there more than one stage, counting images that COPY reads from? Then steps say which one they are of. */
  #named: boolean

  constructor(input: PlanInput) {
    this.#in = input
    this.#reportDefaults()
    this.#bases = input.dockerfile.stages.map((stage) => this.#base(stage))
    const names = new Set(input.dockerfile.stages.flatMap(({ from, index }) => [from.name, String(index)]))
    const uses = input.dockerfile.stages.flatMap(({ commands }) => commands.flatMap((command) => command.uses))
    this.#named = input.dockerfile.stages.length > 1 || uses.some((name) => !names.has(name.toLowerCase()))
  }

  async target(): Promise<Target> {
    const index = this.#target()
    if (this.#in.whole) for (const stage of this.#in.dockerfile.stages) await this.#stage(stage.index)
    const result = await this.#stage(index)
    const stages = await Promise.all(
      [...this.#results]
        .sort(([a], [b]) => a - b)
        .map(async ([at, planned]) => ({ stage: this.#in.dockerfile.stages[at]!, result: await planned })),
    )
    return { ...result, stages, extras: this.#extras(index, stages) }
  }

  #target(): number {
    const { stages, source } = this.#in.dockerfile
    const wanted = this.#in.target
    if (wanted === undefined || wanted === '') return stages.length - 1
    const index = this.#find(wanted)
    if (index !== undefined) return index
    const names = stages.flatMap(({ from }) => from.name ?? [])
    const fault = new SyntaxFault(suggest(`target stage "${wanted}" could not be found`, wanted, names), {
      hint: names.length > 0 ? `Stages of this file: ${names.join(', ')}.` : undefined,
    })
    throw faultAt(source, stages[0]!.statement.range, { ...fault, message: fault.message, code: 'not-found' })
  }

  /** What scanners are to see, too: of the stages that the target needs. */
  #extras(target: number, stages: Target['stages']): Extra[] {
    const { scope, context } = this.#in
    const found: Extra[] = []
    for (const { stage, result } of stages) {
      const isTarget = stage.index === target
      const name = nameOf(stage)
      if (!isScanned(isTarget ? 'context' : 'stage', name, result, scope.values)) continue
      const root = isTarget ? this.#wholeContext(stage, context, result.platform) : result.rootfs
      found.push({ name: isTarget ? 'context' : name, root })
    }
    return found
  }

  /** The last stage of that name, or the stage of that index. */
  #find(name: string): number | undefined {
    const { stages } = this.#in.dockerfile
    const found = stages.findLast(({ from }) => from.name === name.toLowerCase())
    if (found) return found.index
    return /^\d+$/.test(name) && Number(name) < stages.length ? Number(name) : undefined
  }

  /** Names of bases that are none without --build-arg. */
  #reportDefaults(): void {
    const { dockerfile, scope, lint } = this.#in
    for (const { from, statement } of dockerfile.stages) {
      try {
        const { text } = expand(from.base, scope.allowance.lookup(scope.defaults), { escape: statement.escape })
        if (!isReference(text)) lint.warn('InvalidDefaultArgInFrom', statement.range, [from.base])
      } catch {
        // What is malformed fails the build anyway.
        return
      }
    }
  }

  /** Base name and platform of a stage, expanded. */
  #base(stage: Stage): Base {
    const { dockerfile, scope } = this.#in
    const { from, statement } = stage
    return lowering(dockerfile.source, statement.range, () => {
      const known = { escape: statement.escape }
      const name = expand(from.base, scope.allowance.lookup(scope.values), known)
      this.#reportUndeclared(name.unmatched, statement.range)
      if (name.text === '') throw new SyntaxFault(`base name (${from.base}) should not be blank`, { near: from.base })
      return { name: name.text, ...this.#platform(stage) }
    })
  }

  #platform({ from, statement }: Stage): Pick<Base, 'platform' | 'platformGiven'> {
    const { scope, lint } = this.#in
    if (from.platform === undefined) return { platform: this.#in.platform, platformGiven: this.#in.platformGiven }
    const { text, unmatched, matched } = expand(from.platform, scope.allowance.lookup(scope.values), {
      escape: statement.escape,
    })
    this.#reportUndeclared(unmatched, statement.range)
    const misspelt = [...unmatched][0] ?? ''
    const fault = (message: string): SyntaxFault =>
      new SyntaxFault(misspelt === '' ? message : suggest(message, misspelt, scope.values.keys()), {
        near: from.platform,
      })
    if (/^\$(\{TARGETPLATFORM\}|TARGETPLATFORM)$/.test(from.platform))
      lint.warn('RedundantTargetPlatform', statement.range, [from.platform])
    if (text === '') throw fault(`empty platform value from expression ${from.platform}`)
    try {
      const platform = parsePlatform(text)
      // A name of the stage that tells the platform makes the constant a choice.
      const isNamed = [platform.os, platform.architecture].some((part) => from.name?.includes(part))
      if (matched.size === 0 && unmatched.size === 0 && !isNamed)
        lint.warn('FromPlatformFlagConstDisallowed', statement.range, [text])
      return { platform, platformGiven: true }
    } catch (error) {
      throw fault(`failed to parse platform ${from.platform}: ${messageOf(error)}`)
    }
  }

  #reportUndeclared(names: ReadonlySet<string>, range: Range): void {
    const { scope, lint } = this.#in
    for (const name of names) {
      if (scope.declared.has(name)) continue
      lint.warn('UndefinedArgInFrom', range, [name, meant(name, [...scope.values.keys(), ...scope.declared]) ?? ''])
    }
  }

  #stage(index: number): Promise<StageResult> {
    let result = this.#results.get(index)
    if (!result) {
      result = this.#lower(this.#in.dockerfile.stages[index]!)
      this.#results.set(index, result)
    }
    return result
  }

  async #lower(stage: Stage): Promise<StageResult> {
    const { dockerfile, lint, buildArgs, scope } = this.#in
    const own = stage.from.name === undefined ? undefined : await this.#in.namedContext(stage.from.name)
    if (own) return await this.#contextStage(own, stage)
    const steps = this.#steps(stage)
    const { result: base, counts, triggers } = await this.#baseOf(stage, steps)
    const commands = [...triggers, ...stage.commands]
    steps.total = (counts ? 1 : 0) + commands.filter((command) => command.step).length
    if (counts) steps.first()
    const sources = await this.#sources(stage, commands)
    return lowerStage(base, commands, {
      source: dockerfile.source,
      lint,
      buildArgs,
      globals: scope.values,
      allowance: scope.allowance,
      automounts: this.#in.environment.automounts,
      devices: this.#in.environment.devices,
      node: (command, op, input, shown) => this.#node(stage, steps, sources, command, op, input, shown, base.platform),
    })
  }

  /** BuildKit's way: `linux/amd64->arm64` is built on one for another. */
  #steps(stage: Stage): Steps {
    const { platformShown, platform: target } = this.#in
    const { platform } = this.#bases[stage.index]!
    const other = formatPlatform(platform) === formatPlatform(target) ? '' : `->${targetText(platform, target)}`
    return new Steps(stage, this.#named, platformShown ? formatPlatform(platform) + other : undefined)
  }

  /** What a stage starts from. `counts`: FROM is a step of its own. */
  async #baseOf(stage: Stage, steps: Steps): Promise<{ result: StageResult; counts: boolean; triggers: Command[] }> {
    const { dockerfile } = this.#in
    const { name, platform, platformGiven } = this.#bases[stage.index]!
    const { range } = stage.statement
    const context = await this.#in.namedContext(name)
    const isScratch = context ? 'image' in context && context.image === 'scratch' : name === 'scratch'
    if (isScratch) return { result: emptyStage(platform), counts: false, triggers: [] }
    if (!context) {
      const earlier = dockerfile.stages.findLast(
        ({ from, index }) => index < stage.index && from.name === name.toLowerCase(),
      )
      if (earlier) {
        const result = await this.#stage(earlier.index)
        return { ...this.#triggered(result, range), counts: false }
      }
    }
    if (context && !('image' in context)) {
      const result = await this.#contextStage(context, stage)
      return { ...this.#triggered(result, range), counts: false }
    }
    const reference = context ? context.image : name
    const image = await this.#image(reference, platform, range)
    const found = formatPlatform(image.platform)
    if (platformGiven && found !== formatPlatform(platform) && image.platform.architecture !== platform.architecture)
      this.#in.lint.warn('InvalidBaseImagePlatform', range, [name, found, formatPlatform(platform)], name)
    const vertex = steps.vertex(`FROM ${fullName(reference)}`, dockerfile, range)
    const result = imageStage(image, { kind: 'image', image, vertex })
    return { ...this.#triggered(result, range), counts: true }
  }

  /** ONBUILD triggers of a base run once, right after FROM, unless the build leaves them out, and are gone from what is built on it. */
  #triggered(result: StageResult, range: Range): { result: StageResult; triggers: Command[] } {
    const { OnBuild, ...config } = result.config
    const { BUILDKIT_DISABLE_ONBUILD: off } = this.#in.buildArgs
    if (off && isOn(off)) return { result: { ...result, config }, triggers: [] }
    const triggers = lowering(this.#in.dockerfile.source, range, () =>
      (OnBuild ?? []).map((text) => parseTrigger(text, range)),
    )
    return { result: { ...result, config }, triggers }
  }

  async #image(reference: string, platform: Platform, range: Range): Promise<Image> {
    try {
      return await this.#in.image(reference, platform)
    } catch (error) {
      throw this.#in.locate(this.#suggesting(error, reference), range)
    }
  }

  /** An image that cannot be had may be a stage, or an image that everyone uses, with its name mistyped. */
  #suggesting(error: unknown, reference: string): unknown {
    if (!(error instanceof SlipwayError) || error.code === 'cancelled') return error
    const stages = this.#in.dockerfile.stages.flatMap(({ from }) => from.name ?? [])
    const message = suggest(error.message, reference, [...stages, ...usualImages], true)
    const { code, hint, at, details } = error
    return new SlipwayError(code, message, { hint, at, details, cause: error })
  }

  async #contextStage(
    context: { image: string } | { local: LocalNode } | { stage: string },
    stage: Stage,
  ): Promise<StageResult> {
    const { platform } = this.#bases[stage.index]!
    const { range } = stage.statement
    if ('image' in context) {
      if (context.image === 'scratch') return emptyStage(platform)
      const image = await this.#image(context.image, platform, range)
      const vertex = this.#steps(stage).vertex(`FROM ${fullName(context.image)}`, this.#in.dockerfile, range)
      return imageStage(image, { kind: 'image', image, vertex })
    }
    if ('stage' in context) return await this.#stage(this.#mustFind(context.stage, range))
    const node = this.#wholeContext(stage, context.local, platform)
    const entry = { created_by: `COPY ${context.local.name} / # buildkit`, comment: 'buildkit.dockerfile.v0' }
    return { ...emptyStage(platform), rootfs: node, history: [{ entry, node }] }
  }

  /** A named directory as a root filesystem. */
  #wholeContext(stage: Stage, local: LocalNode, platform: Platform): OpNode {
    const op: CopyOp = {
      kind: 'copy',
      verb: 'COPY',
      from: { kind: 'named', name: local.name },
      sources: [{ kind: 'path', path: '/', unpack: false }],
      dest: '/',
      parents: false,
      exclude: [],
      link: false,
    }
    const { range } = stage.statement
    return {
      kind: 'op',
      op,
      input: { kind: 'scratch' },
      sources: [local],
      vertex: {
        id: randomUUID(),
        name: `[context ${local.name}] load from client`,
        at: positionOf(this.#in.dockerfile.source, range),
      },
      range,
      stage: stage.from.name ?? '',
      platform: formatPlatform(platform),
      noCache: false,
      env: this.#in.environment,
    }
  }

  #mustFind(name: string, range: Range): number {
    const index = this.#find(name)
    if (index !== undefined) return index
    throw faultAt(this.#in.dockerfile.source, range, new SyntaxFault(`stage "${name}" could not be found`))
  }

  /** Everything the instructions of a stage read from, resolved side by side. */
  async #sources(stage: Stage, commands: readonly Command[]): Promise<Map<string, Source>> {
    const found = new Map<string, Source>()
    const names = new Map(commands.flatMap((command) => command.uses.map((name) => [name, command] as const)))
    await Promise.all(
      [...names].map(async ([name, command]) => found.set(name, await this.#source(stage, name, command))),
    )
    return found
  }

  async #source(stage: Stage, name: string, { statement: { range } }: Command): Promise<Source> {
    const { dockerfile } = this.#in
    const context = await this.#in.namedContext(name)
    if (context && 'local' in context) return context.local
    if (context && 'stage' in context) return (await this.#stage(this.#mustFind(context.stage, range))).rootfs
    if (!context) {
      const index = this.#find(name)
      if (index !== undefined && index < stage.index) return (await this.#stage(index)).rootfs
      if (index !== undefined) {
        this.#refuseCircle(range)
        const message = `cannot copy from stage "${name}", it needs to be defined before current stage "${nameOf(stage)}"`
        throw faultAt(dockerfile.source, range, new SyntaxFault(message, { near: name }))
      }
      if (/^\d+$/.test(name))
        throw faultAt(dockerfile.source, range, new SyntaxFault(`invalid stage index ${name}`, { near: name }))
      if (name === 'scratch') return { kind: 'scratch' }
    }
    const reference = context && 'image' in context ? context.image : name
    if (context && reference === 'scratch') return { kind: 'scratch' }
    let source = this.#externals.get(reference)
    if (!source) {
      source = this.#image(reference, this.#in.platform, range).then(
        (image): Rootfs => ({
          kind: 'image',
          image,
          vertex: {
            id: randomUUID(),
            name: `FROM ${fullName(reference)}`,
            at: positionOf(dockerfile.source, range),
          },
        }),
      )
      this.#externals.set(reference, source)
    }
    return await source
  }

  /** A stage that needs itself, through whatever others, is told so. */
  #refuseCircle(range: Range): void {
    const { stages, source } = this.#in.dockerfile
    const needs = (index: number): number[] =>
      [...stages[index]!.commands.flatMap((command) => command.uses), this.#bases[index]!.name].flatMap(
        (name) => this.#find(name) ?? [],
      )
    // Looked at once each: stages can lead to one another on very many ways.
    const harmless = new Set<number>()
    const leadsAround = (index: number, path: readonly number[] = []): boolean => {
      if (harmless.has(index)) return false
      if (path.includes(index) || needs(index).some((next) => leadsAround(next, [...path, index]))) return true
      harmless.add(index)
      return false
    }
    const first = stages.find(({ index }) => leadsAround(index))
    if (first) throw faultAt(source, range, new SyntaxFault(`circular dependency detected on stage: ${nameOf(first)}`))
  }

  #reportIgnored(op: Op, range: Range): void {
    if (op.kind !== 'copy' || op.from.kind !== 'context') return
    const { ignore } = this.#in.context.tree
    const verb = op.verb === 'ADD' ? 'Add' : 'Copy'
    for (const source of op.sources) {
      if (source.kind !== 'path' || !ignore || !isIgnored(ignore, source.path.slice(1))) continue
      this.#in.lint.warn('CopyIgnoredFile', range, [verb, source.path.slice(1) || '.'])
    }
  }

  #node(
    stage: Stage,
    steps: Steps,
    sources: ReadonlyMap<string, Source>,
    command: Command,
    op: Op,
    input: Rootfs,
    shown: string,
    platform: Platform,
  ): Rootfs {
    const from = (where: FilesFrom): Source => (where.kind === 'context' ? this.#in.context : sources.get(where.name)!)
    const { range } = command.statement
    const common = {
      kind: 'op' as const,
      vertex: steps.next(`${command.onBuild ? 'ONBUILD ' : ''}${shown}`, this.#in.dockerfile, range),
      range,
      stage: nameOf(stage),
      platform: formatPlatform(platform),
      noCache: this.#in.noCache(stage.from.name),
      env: this.#in.environment,
    }
    this.#reportIgnored(op, range)
    if (op.kind === 'mkdir') return { ...common, op, input, sources: [] }
    if (op.kind === 'run') {
      const mounts = op.mounts.map((mount) =>
        (mount.type === 'bind' || mount.type === 'cache') && mount.from ? from(mount.from) : undefined,
      )
      return { ...common, op, input, sources: mounts }
    }
    // Names of owners are looked up in the image below, so such a layer depends on it after all.
    const named = op.chown !== undefined && !/^\d+(:\d+)?$/.test(op.chown)
    if (!op.link || named || input.kind === 'scratch') return { ...common, op, input, sources: [from(op.from)] }
    const layer: OpNode<CopyOp> = { ...common, op, input: { kind: 'scratch' }, sources: [from(op.from)] }
    return {
      kind: 'merge',
      input,
      layer,
      vertex: { ...common.vertex, id: randomUUID(), name: common.vertex.name.replace('] ', '] LINK ') },
    }
  }
}

/** Is all that a source (relative to the root, '' is the root) names left out for sure? */
const isIgnored = (ignore: Patterns, path: string): boolean => {
  if (path === '') return ignore.selectsAll
  const wildcard = path.search(/[*?[]/)
  const above = wildcard < 0 ? path : path.slice(0, Math.max(0, path.lastIndexOf('/', wildcard)))
  return ignore.matches(path) && !ignore.mayExceptBelow(above)
}

const nameOf = ({ from, index }: Stage): string => from.name ?? `stage-${index}`

const targetText = (own: Platform, target: Platform): string =>
  own.os === target.os ? formatPlatform(target).slice(target.os.length + 1) : formatPlatform(target)
