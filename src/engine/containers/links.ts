/** Links: what a container is told in its environment of those it is linked to, under docker's names. */
import { SlipwayError } from '../../errors.ts'
import type { ContainerLink, Containers, Sandbox } from '../types.ts'
import type { Context } from './context.ts'
import type { ContainerRecord } from './records.ts'

const byProtocolAndNumber = (a: string, b: string): number => {
  const rank = (port: string): number => (port.endsWith('/tcp') ? 0 : 1)
  return rank(a) - rank(b) || Number.parseInt(a, 10) - Number.parseInt(b, 10)
}

/** `own` is the container's name. */
const variablesOf = (link: ContainerLink, own: string, address: string): string[] => {
  const prefix = link.alias.toUpperCase().replaceAll('-', '_')
  const ports = link.ports.toSorted(byProtocolAndNumber).map((port) => port.split('/') as [string, string])
  const url = ([number, protocol]: [string, string]): string => `${protocol}://${address}:${number}`
  return [
    ...ports.slice(0, 1).map((port) => `${prefix}_PORT=${url(port)}`),
    ...ports.flatMap((port) => {
      const [number, protocol] = port
      const name = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`
      return [`${name}=${url(port)}`, `${name}_ADDR=${address}`, `${name}_PORT=${number}`, `${name}_PROTO=${protocol}`]
    }),
    `${prefix}_NAME=/${own}/${link.alias}`,
    ...link.env
      .filter((entry) => entry.includes('=') && !/^(HOME|PATH)=/.test(entry))
      .map((entry) => `${prefix}_ENV_${entry}`),
  ]
}

/** Those of links whose other side has an address now. */
export const linkVariables = (
  { links = [], name }: { links?: ContainerLink[] | undefined; name: string },
  sandboxes: { get(id: string): Sandbox | undefined },
): string[] =>
  links.flatMap((link) => {
    const endpoints = sandboxes.get(link.sandboxId)?.endpoints ?? []
    const address = (endpoints.find(({ networkName }) => networkName === 'bridge') ?? endpoints[0])?.ipv4
    return address === undefined ? [] : variablesOf(link, name, address)
  })

export const unlink =
  (ctx: Context): Containers['unlink'] =>
  async (reference, alias, origin) => {
    const { id } = ctx.records.must(reference)
    await ctx.locks.run(id, async () => {
      const { spec, sandboxId } = ctx.records.must(id)
      const link = spec.links?.find((one) => one.alias === alias)
      if (!link) throw new SlipwayError('not-found', `No such container: ${reference}/${alias}`)
      const links = spec.links!.filter((one) => one !== link)
      ctx.records.settle(id, { spec: { ...spec, links, origin } })
      // All names of the other one are in the line; the alias is the first.
      const host = ctx.sandboxes
        .get(sandboxId)
        ?.spec.hosts.find(
          ({ name, address }) => address === `sandbox:${link.sandboxId}` && name.split(' ', 1)[0] === alias,
        )
      if (host) await ctx.sandboxes.removeHost(sandboxId, host)
    })
  }

/** The other side of a link runs, on the default network; else a container is not started. */
export const checkLinks = (ctx: Context, { spec }: ContainerRecord): void => {
  for (const { sandboxId, name, alias } of spec.links ?? []) {
    if (ctx.records.list().find((other) => other.sandboxId === sandboxId)?.status !== 'running')
      throw new SlipwayError('conflict', `Cannot link to a non running container: /${name} AS /${spec.name}/${alias}`)
    if (!ctx.sandboxes.get(sandboxId)?.endpoints.some(({ networkName }) => networkName === 'bridge'))
      throw new SlipwayError('conflict', `Cannot link to /${name}, as it does not belong to the default network`)
  }
}
