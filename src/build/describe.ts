/** What a Dockerfile says of itself: its targets, and what a build of one of them takes. */
import { proxyArgs, readArgs } from './dockerfile/instructions/arg.ts'
import type { Statement } from './dockerfile/lines.ts'
import type { Dockerfile, Stage } from './dockerfile/parser.ts'
import { below, isRun, type Rootfs } from './solver/graph.ts'
import type { BuildRequest, Description } from './types.ts'

/** `# NAME text` directly above describes NAME. */
const descriptionOf = (name: string, { comments }: Statement): string =>
  comments.find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()} `))?.slice(name.length + 1) ?? ''

export const targetsOf = ({ stages }: Dockerfile): Description['targets'] =>
  stages
    .map(({ from, statement, index }) => ({
      name: from.name ?? '',
      default: index === stages.length - 1,
      description: from.name === undefined ? '' : descriptionOf(from.name, statement),
      base: from.base,
      platform: from.platform,
      line: statement.range.start,
    }))
    .filter((target) => target.name !== '' || target.default)

export const parametersOf = (
  dockerfile: Dockerfile,
  result: Rootfs,
  request: Pick<BuildRequest, 'args' | 'target'>,
): Pick<Description, 'args' | 'secrets' | 'ssh' | 'caches'> => ({
  args: argsOf(dockerfile, request),
  ...mountsOf(result),
})

const argsOf = (
  dockerfile: Dockerfile,
  { args, target }: Pick<BuildRequest, 'args' | 'target'>,
): Description['args'] => {
  const found = new Map<string, Description['args'][number]>()
  const add = (statement: Statement): void => {
    for (const { key, value } of readArgs(statement)) {
      const before = found.get(key)
      const description = descriptionOf(key, statement) || before?.description || ''
      found.set(key, {
        name: key,
        description,
        value: args[key] ?? (value === undefined ? before?.value : value.replace(/^(["'])(.*)\1$/, '$2')),
        line: statement.range.start,
      })
    }
  }
  for (const { statement } of dockerfile.globals) add(statement)
  for (const stage of stagesOf(dockerfile, target))
    for (const { statement, name } of stage.commands) if (name === 'ARG') add(statement)
  return [...found.values()].filter(({ name }) => !proxyArgs.includes(name)).sort((a, b) => a.line - b.line)
}

/** The target and all stages it is made from. */
const stagesOf = ({ stages }: Dockerfile, target: string | undefined): Stage[] => {
  const find = (name: string): Stage | undefined =>
    stages.findLast(({ from }) => from.name === name.toLowerCase()) ?? stages[/^\d+$/.test(name) ? Number(name) : -1]
  const needed = new Set<Stage>()
  const visit = (stage: Stage | undefined): void => {
    if (!stage || needed.has(stage)) return
    needed.add(stage)
    visit(find(stage.from.base))
    for (const { uses } of stage.commands) for (const name of uses) visit(find(name))
  }
  visit(target === undefined || target === '' ? stages.at(-1) : find(target))
  return [...needed]
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
  return { secrets: [...secrets.values()], ssh: [...ssh.values()], caches: [...caches.values()] }
}
