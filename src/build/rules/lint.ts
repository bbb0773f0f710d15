import { SlipwayError } from '../../errors.ts'
import type { CheckConfig } from '../dockerfile/directives.ts'
import type { Range, Source } from '../dockerfile/source.ts'
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

/** Reports each finding once; the `# check=` directive of the file (or BUILDKIT_DOCKERFILE_CHECK) decides what counts. */
export const createLint = (source: Source, config: CheckConfig, report: (warning: Warning) => void): Lint => {
  const seen = new Set<string>()
  const rules = new Set<string>()
  return {
    warn(name, range, values, near) {
      const { description, experimental, message: format } = ruleOf(name)
      if (config.skipAll || config.skip.has(name)) return
      if (experimental && !config.experimentalAll && !config.experimental.has(name)) return
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
        at: { file: source.file, line: 1 },
      })
    },
  }
}
