/** The order in which services start. */
import { SlipwayError } from '../../errors.ts'
import { nearest } from '../../lib/nearest.ts'
import type { Project } from '../../spec/compose/project.ts'

/** The named services and all they depend on, in the order of the file. */
export const withDependencies = (names: string[], project: Project): string[] => {
  const wanted = new Set<string>()
  const add = (name: string): void => {
    if (wanted.has(name)) return
    const service = project.services[name]
    if (!service) {
      const near = nearest(name, Object.keys(project.services))
      throw new SlipwayError('not-found', `no such service: ${name}`, near ? { hint: `Did you mean '${near}'?` } : {})
    }
    wanted.add(name)
    for (const target of Object.keys(service.depends_on ?? {})) if (project.services[target]) add(target)
  }
  for (const name of names) add(name)
  return Object.keys(project.services).filter((name) => wanted.has(name))
}

/** Services level by level: each after everything it depends on. Those of one pod start together. */
export const levels = (names: string[], leaders: ReadonlyMap<string, string>, project: Project): string[][] => {
  const level = new Map<string, number>()
  const depth = (name: string): number => {
    const leader = leaders.get(name)!
    const known = level.get(leader)
    if (known !== undefined) return known
    level.set(leader, 0) // the loader has refused cycles; one through a shared pod ends here
    const members = names.filter((other) => leaders.get(other) === leader)
    const targets = members.flatMap((m) => Object.keys(project.services[m]!.depends_on ?? {}))
    const below = targets.filter((t) => leaders.has(t) && leaders.get(t) !== leader).map((t) => depth(t) + 1)
    level.set(leader, Math.max(0, ...below))
    return level.get(leader)!
  }
  const result: string[][] = []
  for (const name of names) (result[depth(name)] ??= []).push(name)
  return result.filter(Boolean)
}
