import type { DeviceWish } from './devices.ts'
import type { ImageProcessConfig } from '../../spec/oci/index.ts'
import type { Op } from '../ops.ts'
import type { RuleName } from '../rules/ruleset.ts'
import type { Statement } from './lines.ts'

/** A stage while its instructions are lowered one after the other. */
export interface StageState {
  /** The image's configuration so far. */
  readonly config: Readonly<ImageProcessConfig>
  /** What the stage is for: 'linux', 'windows' … */
  readonly os: string
  /** Variables that RUN sees and that words are expanded with: ENV and ARG, the later one wins. */
  readonly env: ReadonlyMap<string, string>
  /** ARGs declared so far. */
  readonly args: ReadonlyMap<string, string | undefined>
  /** Expands a word with `env`, and `over` before it; reports names that are not set. */
  expand(word: string, options?: { skipQuotes?: boolean; over?: ReadonlyMap<string, string> }): string
  /** Like expand, split into words at unquoted blanks. */
  expandWords(text: string): string[]
  /** --build-arg NAME */
  buildArg(name: string): string | undefined
  /** An ARG from above the first FROM, or a platform argument. */
  globalArg(name: string): string | undefined
  /** Instructions of this stage, by name, that came before this one. */
  readonly seen: { has(name: string): boolean }
  /** What every RUN mounts, as after --mount=. */
  readonly automounts: readonly string[]
  /** Names of what RUN --device asks for, where the build may have it. */
  devices(wishes: readonly DeviceWish[]): string[]
  /** A WORKDIR was written above, in this stage or in one it is built on. */
  readonly workdirSet: boolean
  /** The instruction's name as it is written. */
  readonly word: string
  warn(rule: RuleName, ...values: string[]): void
  /** Reports the one before of the same name in the stage: it is of no use. */
  onlyOnce(): void
}

/** What one instruction does. Absent parts change nothing. */
export interface Lowered {
  config?: Partial<ImageProcessConfig>
  author?: string
  /** Set for what follows (RUN and expansion); not part of the image unless config.Env says so too. */
  env?: [string, string][]
  /** Declared ARGs; undefined: without a value. */
  args?: [string, string | undefined][]
  op?: Op
  /** Text of the history entry, without ' # buildkit'. */
  history?: string
}

/** A parsed instruction. */
export interface Command {
  name: string
  statement: Statement
  /** Names of stages, images or contexts it reads from. */
  uses: string[]
  /** Counted in `[stage 2/5]`. */
  step: boolean
  onBuild: boolean
  lower(stage: StageState): Lowered
}

export interface Instruction<N = unknown> {
  name: string
  /** Throws a SyntaxFault. */
  parse(statement: Statement): N
  command(statement: Statement): Command
}

/** Defines an instruction: `parse` reads its words, `lower` says what it does to a stage. Both throw SyntaxFaults. */
export const instruction = <N>(
  name: string,
  definition: {
    parse(statement: Statement): N
    lower(node: N, stage: StageState): Lowered
    uses?(node: N): string[]
    step?: boolean
  },
): Instruction<N> => ({
  name,
  parse: definition.parse,
  command(statement) {
    const node = definition.parse(statement)
    return {
      name,
      statement,
      uses: definition.uses?.(node) ?? [],
      step: definition.step ?? false,
      onBuild: false,
      lower: (stage) => definition.lower(node, stage),
    }
  },
})
