/** `--link other:alias`. */
import type { Container, ContainerLink, Containers } from '../../engine/types.ts'
import { isError, SlipwayError } from '../../errors.ts'
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

const linkTarget = (reference: string, find: Lookups): Container => {
  try {
    return find.container(reference)
  } catch (cause) {
    if (!isError(cause)) throw cause
    throw new SlipwayError(cause.code, `could not get container for ${reference}: ${cause.message}`, { cause })
  }
}

export const findLinked = (link: string, find: Lookups): Linked => {
  const { reference, alias } = splitLink(link)
  const container = linkTarget(reference, find)
  if ((container.spec.origin as Origin | undefined)?.HostConfig.NetworkMode === 'host')
    throw new SlipwayError(
      'bad-request',
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    )
  return { alias, container, ports: find.exposedBy(container) }
}

/** "app/db" is what `app` calls db by a link. */
export const byLink = (all: Pick<Containers, 'must' | 'list'>, reference: string): Container => {
  const path = reference.replace(/^\//, '')
  const at = path.indexOf('/')
  if (at < 0) return all.must(reference)
  const link = all.must(path.slice(0, at)).spec.links?.find(({ alias }) => alias === path.slice(at + 1))
  return all.list().find(({ sandboxId }) => sandboxId === link?.sandboxId) ?? all.must(reference)
}

/** What a container was asked for with, but for one link. */
export const withoutLink = ({ spec }: Container, alias: string): Origin | undefined => {
  const origin = spec.origin as Origin | undefined
  if (!origin) return undefined
  const Links = origin.HostConfig.Links?.filter((link) => splitLink(link).alias !== alias)
  return { ...origin, HostConfig: { ...origin.HostConfig, ...(Links ? { Links } : {}) } }
}

/** The sandbox whose network a container is on: another's, where it has joined that. */
export const networkOwner = ({ spec, sandboxId }: Container): string => {
  const network = 'own' in spec.sandbox ? spec.sandbox.own.network : undefined
  return network?.mode === 'sandbox' ? network.id : sandboxId
}

export const linkOf = ({ alias, container, ports }: Linked): ContainerLink => ({
  sandboxId: networkOwner(container),
  alias,
  name: container.spec.name,
  ports,
  env: container.process.env,
})

/** A line of /etc/hosts with all its names, as docker writes it. */
export const linkHost = ({ alias, container }: Linked): { name: string; address: string } => {
  const own = 'own' in container.spec.sandbox ? container.spec.sandbox.own : undefined
  const names = [alias, own?.hostname || container.id.slice(0, 12), container.spec.name]
  return { name: [...new Set(names)].join(' '), address: `sandbox:${networkOwner(container)}` }
}
