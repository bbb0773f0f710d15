import { messageOf, SlipwayError } from '../../errors.ts'
import { type CheckConfig, localCheck, parseCheck } from '../dockerfile/directives.ts'
import type { Dockerfile } from '../dockerfile/parser.ts'
import type { Range } from '../dockerfile/source.ts'
import { columnOf, excerpt, positionOf } from '../dockerfile/source.ts'
import type { BuildProgress } from '../types.ts'
import type { RuleName } from './ruleset.ts'
import { ruleOf, urlOf } from './ruleset.ts'

export type Warning = Extract<BuildProgress, { type: 'warning' }>

export interface Lint {
  /** `near`: the piece of the line the caret goes under; default: what is quoted in the message's values. */
  warn(rule: RuleName, range: Range, values: string[], near?: string): void
  /** Throws where the check directive says error=true and anything was reported. */
  failIfAsked(): void
}

/**
 * Reports each finding once. The file's `# check=` directive, or `override` (BUILDKIT_DOCKERFILE_CHECK), decides what counts, and
 * so does a comment of this form above an instruction, for that one. Errors: 'invalid'.
 */
export const createLint = (
  { source, directives, lines }: Pick<Dockerfile, 'source' | 'directives' | 'lines'>,
  override: string | undefined,
  report: (warning: Warning) => void,
): Lint => {
  const config = readCheck(directives.check, override)
  const locals = new Map(lines.statements.map(({ range, comments }) => [range.start, localCheck(comments)]))
  const seen = new Set<string>()
  const rules = new Set<string>()
  return {
    warn(name, range, values, near) {
      const { description, experimental, message: format } = ruleOf(name)
      const applying = [config, locals.get(range.start)].filter((each) => each !== undefined)
      // What has to be asked for is not skipped along with the others.
      if (experimental && !applying.some((each) => each.experimentalAll || each.experimental.has(name))) return
      if (!experimental && applying.some((each) => each.skipAll || each.skip.has(name))) return
      const message = format(...values)
      const key = `${range.start} ${name} ${message}`
      if (seen.has(key)) return
      seen.add(key)
      rules.add(name)
      const line = source.lines[range.start - 1] ?? ''
      const column = columnOf(source, range, near ?? values.find((value) => value !== '' && line.includes(value)))
      report({
        type: 'warning',
        rule: name,
        description,
        message,
        url: urlOf(name),
        at: positionOf(source, range, column),
        endLine: range.end,
        source: excerpt(source, range, column),
      })
    },
    failIfAsked() {
      if (!config.error || rules.size === 0) return
      throw new SlipwayError('invalid', `lint violation found for rules: ${[...rules].sort().join(', ')}`, {
        hint: 'The file says # check=error=true: fix the warnings above or skip the rules.',
      })
    },
  }
}

const readCheck = (directive: string, override: string | undefined): CheckConfig => {
  try {
    return parseCheck(override ?? directive)
  } catch (error) {
    const what = override === undefined ? 'check options' : 'build-arg:BUILDKIT_DOCKERFILE_CHECK'
    throw new SlipwayError('invalid', `failed to parse ${what}: ${messageOf(error)}`, { cause: error })
  }
}
