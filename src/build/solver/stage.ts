/** The state of a stage while its instructions are lowered, and what is left of it at the end. */
import type { Image } from '../../engine/types.ts'
import type { HistoryEntry, ImageProcessConfig, Platform } from '../../spec/oci/index.ts'
import { type Allowance, expand } from '../dockerfile/expand.ts'
import type { Command, Lowered, StageState } from '../dockerfile/instruction.ts'
import { meant } from '../dockerfile/nearest.ts'
import { lowering, type Range, type Source } from '../dockerfile/source.ts'
import type { Op } from '../ops.ts'
import type { Lint } from '../rules/lint.ts'
import type { OpNode, Rootfs, StepEnvironment } from './graph.ts'

export interface PendingHistory {
  entry: HistoryEntry
  /** The operation whose layer this entry stands for; its time is filled in later. */
  node?: Rootfs | undefined
}

/** A stage that can be built on. */
export interface StageResult {
  rootfs: Rootfs
  config: ImageProcessConfig
  author: string | undefined
  platform: Platform
  history: PendingHistory[]
  env: Map<string, string>
  args: Map<string, string | undefined>
  /** A WORKDIR was written in this file, so relative ones below are no surprise. */
  workdirSet: boolean
}

/** Among more variables than this no guess is made which was meant: each unknown one would be compared with all. */
const mostCompared = 500

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The variables of a configuration; PATH is always there, but not on Windows, which has one of its own. */
const withPath = (
  config: ImageProcessConfig,
  { os }: Platform,
): { config: ImageProcessConfig; env: Map<string, string> } => {
  const list = config.Env ?? []
  const all =
    os === 'windows' || list.some((entry) => entry.startsWith('PATH=')) ? list : [...list, `PATH=${defaultPath}`]
  const env = new Map(all.map((entry) => [entry.split('=', 1)[0]!, entry.slice(entry.indexOf('=') + 1)]))
  return { config: all.length === 0 ? config : { ...config, Env: all }, env }
}

export const emptyStage = (platform: Platform): StageResult => ({
  rootfs: { kind: 'scratch' },
  ...withPath({ WorkingDir: '/' }, platform),
  author: undefined,
  platform,
  history: [],
  args: new Map(),
  workdirSet: false,
})

/** A stage as an image begins it. */
export const imageStage = (image: Image, rootfs: Rootfs): StageResult => ({
  rootfs: image.snapshots.length === 0 ? { kind: 'scratch' } : rootfs,
  ...withPath(image.config.config ?? {}, image.platform),
  author: image.config.author,
  platform: image.platform,
  history: (image.config.history ?? []).map((entry) => ({ entry })),
  args: new Map(),
  workdirSet: false,
})

interface StageScope {
  source: Source
  lint: Lint
  buildArgs: Readonly<Record<string, string>>
  globals: ReadonlyMap<string, string>
  allowance: Allowance
  automounts: readonly string[]
  devices: StepEnvironment['devices']
  /** Turns an operation into a node on `input`. */
  node(command: Command, op: NonNullable<Lowered['op']>, input: Rootfs, shown: string): OpNode | Rootfs
}

/** Lowers `commands` on top of `base`. */
export const lowerStage = (base: StageResult, commands: readonly Command[], scope: StageScope): StageResult => {
  const state = {
    ...base,
    config: { ...base.config },
    history: [...base.history],
    env: new Map(base.env),
    args: new Map(base.args),
  }
  const seen = new Map<string, Range>()
  for (const command of commands) {
    const { statement } = command
    const view = viewOf(state, seen, scope, command)
    const lowered = lowering(scope.source, statement.range, () => command.lower(view))
    apply(state, lowered)
    let node: Rootfs | undefined
    if (lowered.op) {
      node = scope.node(
        command,
        lowered.op,
        state.rootfs,
        shownText(command, scope.allowance.lookup(shownEnv(state.env, lowered.op))),
      )
      state.rootfs = node
    }
    if (lowered.history !== undefined) state.history.push(historyOf(lowered, node))
    seen.set(command.name, statement.range)
  }
  return { ...state, workdirSet: base.workdirSet || seen.has('WORKDIR') }
}

const apply = (state: StageResult, lowered: Lowered): void => {
  if (lowered.config) {
    state.config = { ...state.config, ...lowered.config }
    for (const [key, value] of Object.entries(lowered.config))
      if (value === undefined) delete state.config[key as keyof ImageProcessConfig]
  }
  if (lowered.author !== undefined) state.author = lowered.author
  for (const [key, value] of lowered.args ?? []) state.args.set(key, value)
  for (const [key, value] of lowered.env ?? []) state.env.set(key, value)
}

const historyOf = (lowered: Lowered, node: Rootfs | undefined): PendingHistory => {
  const marked = lowered.op && lowered.op.kind !== 'mkdir' ? `${lowered.history!} # buildkit` : lowered.history!
  return {
    entry: { created_by: marked, comment: 'buildkit.dockerfile.v0', ...(node ? {} : { empty_layer: true }) },
    node,
  }
}

/** What a secret is put into is not told, neither from before. */
const shownEnv = (env: ReadonlyMap<string, string>, op: Op): ReadonlyMap<string, string> => {
  const secret =
    op.kind !== 'run' ? [] : op.mounts.flatMap((mount) => (mount.type === 'secret' ? (mount.env ?? []) : []))
  return secret.length === 0 ? env : new Map([...env, ...secret.map((name): [string, string] => [name, '****'])])
}

/** The instruction as the progress shows it: on one line, the name in upper case, known variables filled in. */
const shownText = (command: Command, lookup: (name: string) => string | undefined): string => {
  const { text, word, heredocs } = command.statement
  const body = text.slice(word.length).replace(/\s+/g, ' ')
  const [first, ...more] = heredocs[0]?.content.trim().split('\n') ?? []
  const summary =
    command.name === 'RUN' && first !== undefined ? ` (${first.trim()}${more.length > 0 ? '...' : ''})` : ''
  try {
    const raw = { rawQuotes: true, rawEscapes: true, skipUnset: true }
    return `${command.name}${expand(body, lookup, raw).text}${summary}`
  } catch {
    // A shell's own syntax need not be ours: then it is shown as written.
    return `${command.name}${body}${summary}`
  }
}

const viewOf = (
  state: StageResult,
  seen: ReadonlyMap<string, Range>,
  scope: StageScope,
  command: Command,
): StageState => {
  const { statement } = command
  const report = (unmatched: ReadonlySet<string>): void => {
    for (const name of unmatched) {
      if (!/^[A-Za-z_]/.test(name)) continue
      // Declared without a value: that is what the user wants.
      if (state.args.has(name)) continue
      const near = state.env.size > mostCompared ? undefined : meant(name, state.env.keys())
      scope.lint.warn('UndefinedVar', statement.range, [name, near ?? ''], `$${name}`)
    }
  }
  const run = (text: string, { skipQuotes = false, over }: Parameters<StageState['expand']>[1] = {}) => {
    const lookup = scope.allowance.lookup(state.env, over)
    // In a here-document the escape character is always a backslash.
    const result = expand(text, lookup, { escape: skipQuotes ? '\\' : statement.escape, skipQuotes })
    report(result.unmatched)
    return result
  }
  return {
    config: state.config,
    os: state.platform.os,
    env: state.env,
    args: state.args,
    automounts: scope.automounts,
    devices: scope.devices,
    word: statement.word,
    workdirSet: state.workdirSet || seen.has('WORKDIR'),
    seen,
    expand: (word, options) => run(word, options).text,
    expandWords: (text) => run(text).words,
    buildArg: (name) => scope.buildArgs[name],
    globalArg: (name) => scope.globals.get(name),
    warn: (rule, ...values) => scope.lint.warn(rule, statement.range, values),
    onlyOnce() {
      const before = seen.get(command.name)
      if (before) scope.lint.warn('MultipleInstructionsDisallowed', before, [statement.word])
    },
  }
}
