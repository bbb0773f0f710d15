/** `--link other:alias`. */
import type { Container, ContainerLink } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Origin } from './wire.ts'

export interface Linked {
  alias: string
  container: Container
  /** "80/tcp", of its image too. */
  ports: string[]
}
interface Lookups {
  container(reference: string): Container
  exposedBy(container: Container): string[]
}

/** "other" and "other:alias"; docker writes the second as "/other:/own/alias" once it knows both. */
export const splitLink = (link: string): { reference: string; alias: string } => {
  const [reference = '', alias = reference] = link.split(':')
  return { reference: reference.replace(/^\//, ''), alias: alias.slice(alias.lastIndexOf('/') + 1) }
}

export const findLinked = (link: string, find: Lookups): Linked => {
  const { reference, alias } = splitLink(link)
  const container = find.container(reference)
  if ((container.spec.origin as Origin | undefined)?.HostConfig.NetworkMode === 'host')
    throw new SlipwayError(
      'bad-request',
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    )
  return { alias, container, ports: find.exposedBy(container) }
}

export const linkOf = ({ alias, container, ports }: Linked): ContainerLink => ({
  sandboxId: container.sandboxId,
  alias,
  name: container.spec.name,
  ports,
  env: container.process.env,
})

/** A line of /etc/hosts with all its names, as docker writes it. */
export const linkHost = ({ alias, container }: Linked): { name: string; address: string } => {
  const own = 'own' in container.spec.sandbox ? container.spec.sandbox.own : undefined
  const names = [alias, own?.hostname || container.id.slice(0, 12), container.spec.name]
  return { name: [...new Set(names)].join(' '), address: `sandbox:${container.sandboxId}` }
}
