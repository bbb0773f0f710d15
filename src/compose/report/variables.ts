/** The variables that the files of a project mention: `config --variables`. */

import { discover } from '../load/discover.ts'
import { callersEnvironment, readIfThere } from '../load/environment.ts'
import { variablesIn } from '../load/interpolate.ts'
import { walk } from '../load/node.ts'
import { parseYaml } from '../load/parse.ts'
import { problems, Sources } from '../load/problem.ts'
import type { LoadOptions } from '../types.ts'

interface Variable {
  name: string
  required: boolean
  default: string
  alternate: string
}

/** By name, each once: the mention that says most wins. */
export const listVariables = async (options: LoadOptions): Promise<Variable[]> => {
  const problem = problems(new Sources())
  const found = new Map<string, Variable>()
  for (const file of discover(options, callersEnvironment(options), [])) {
    const text = await readIfThere(file)
    if (text === undefined) continue
    for (const document of await parseYaml(text, file, problem))
      walk(document, '', (_path, node) => {
        if (node.kind !== 'scalar' || typeof node.value !== 'string') return
        for (const { name, required, default: fallback, alternate } of variablesIn(node.value)) {
          const before = found.get(name)
          found.set(name, {
            name,
            required: required || (before?.required ?? false),
            default: fallback ?? before?.default ?? '',
            alternate: alternate ?? before?.alternate ?? '',
          })
        }
      })
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}
