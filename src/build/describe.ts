/** What a Dockerfile says of itself: its targets, and what a build of one of them takes. */
import { proxyArgs, readArgs } from './dockerfile/instructions/arg.ts'
import type { Statement } from './dockerfile/lines.ts'
import type { Dockerfile } from './dockerfile/parser.ts'
import { below, isRun, type Rootfs } from './solver/graph.ts'
import type { Target } from './solver/plan.ts'
import type { GlobalScope } from './solver/scope.ts'
import type { Description } from './types.ts'

/** `# NAME text` above describes NAME. */
const descriptionOf = (name: string, { comments }: Statement): string =>
  comments.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? ''

/** Stages without a name are targets, too: by their number. */
export const targetsOf = ({ stages }: Dockerfile): Description['targets'] =>
  stages.map(({ from, statement, index }) => ({
    name: from.name ?? '',
    default: index === stages.length - 1,
    description: from.name === undefined ? '' : descriptionOf(from.name, statement),
    base: from.base,
    platform: from.platform,
    line: statement.range.start,
  }))

export const parametersOf = (
  dockerfile: Dockerfile,
  target: Target,
  scope: GlobalScope,
): Pick<Description, 'args' | 'secrets' | 'ssh' | 'caches'> => ({
  args: argsOf(dockerfile, target.stages, scope),
  ...mountsOf(target.rootfs),
})

/** Those that the stages declare, and of the ones above the first FROM those that matter to them. */
const argsOf = ({ globals }: Dockerfile, stages: Target['stages'], { values }: GlobalScope): Description['args'] => {
  const found = new Map<string, Description['args'][number]>()
  const add = (key: string, value: string | undefined, statement: Statement): void => {
    const description = descriptionOf(key, statement) || found.get(key)?.description || ''
    found.set(key, { name: key, description, value, line: statement.range.start })
  }
  const used = usedGlobals(globals, stages)
  for (const { declarations, statement } of globals)
    for (const { key } of declarations) if (used.has(key)) add(key, values.get(key), statement)
  for (const { stage, result } of stages)
    for (const { statement, name } of stage.commands)
      if (name === 'ARG' && result.args.size > 0)
        for (const { key } of readArgs(statement)) add(key, result.args.get(key), statement)
  return [...found.values()].filter(({ name }) => !proxyArgs.includes(name)).sort((a, b) => a.line - b.line)
}

/** Names that the stages' FROMs and ARGs take from above the first FROM, and what those are made of. */
const usedGlobals = (globals: Dockerfile['globals'], stages: Target['stages']): Set<string> => {
  const used = new Set<string>()
  const namesIn = (text: string): void => {
    for (const [, name] of text.matchAll(/\$\{?([A-Za-z_]\w*)/g)) used.add(name!)
  }
  for (const { stage } of stages) {
    namesIn(stage.from.base)
    namesIn(stage.from.platform ?? '')
    for (const command of stage.commands)
      if (command.name === 'ARG')
        for (const { key, value } of readArgs(command.statement)) if (value === undefined) used.add(key)
  }
  for (const { declarations } of globals.toReversed())
    for (const { key, value } of declarations.toReversed()) if (used.has(key) && value !== undefined) namesIn(value)
  return used
}

const mountsOf = (result: Rootfs): Pick<Description, 'secrets' | 'ssh' | 'caches'> => {
  const secrets = new Map<string, Description['secrets'][number]>()
  const ssh = new Map<string, Description['ssh'][number]>()
  const caches = new Map<string, Description['caches'][number]>()
  for (const node of below(result)) {
    if (node.kind !== 'op') continue
    const line = node.range.start
    for (const mount of isRun(node) ? node.op.mounts : []) {
      if (mount.type === 'cache') caches.set(mount.id, { id: mount.id, line })
      if (mount.type !== 'secret' && mount.type !== 'ssh') continue
      const list = mount.type === 'secret' ? secrets : ssh
      const required = mount.required || list.get(mount.id)?.required === true
      list.set(mount.id, { name: mount.id, required, line: list.get(mount.id)?.line ?? line })
    }
  }
  const inOrder = <T extends { line: number }>(list: Map<string, T>): T[] =>
    [...list.values()].sort((a, b) => a.line - b.line)
  return { secrets: inOrder(secrets), ssh: inOrder(ssh), caches: inOrder(caches) }
}
