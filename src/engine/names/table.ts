import { addressOfReverseName, formatAddress } from '../../lib/ip.ts'

/** One sandbox on one network. */
interface Member {
  networkId: string
  networkName: string
  sandboxId: string
  /** Lower case; the first one is what its address resolves back to. */
  names: string[]
  /** Names of its own for others' names, whoever has them when it asks. */
  links?: { alias: string; name: string }[] | undefined
  ipv4?: string | undefined
  ipv6?: string | undefined
}
type Found = { kind: 'addresses'; addresses: string[] } | { kind: 'name'; name: string }

/** Names of sandboxes, seen from one of them: a name counts on the networks both are on. Pure memory, rebuilt at a start. */
export const createNameTable = () => {
  /** By sandbox, then network. */
  const members = new Map<string, Map<string, Member>>()
  /** By network, then name. */
  const names = new Map<string, Map<string, Set<Member>>>()
  /** By network, then address. */
  const addresses = new Map<string, Map<string, Member>>()
  let turn = 0

  const leave = (networkId: string, sandboxId: string): void => {
    const member = members.get(sandboxId)?.get(networkId)
    if (!member) return
    members.get(sandboxId)!.delete(networkId)
    if (members.get(sandboxId)!.size === 0) members.delete(sandboxId)
    const byName = names.get(networkId)!
    for (const name of member.names) {
      byName.get(name)?.delete(member)
      if (byName.get(name)?.size === 0) byName.delete(name)
    }
    for (const address of [member.ipv4, member.ipv6])
      if (address !== undefined && addresses.get(networkId)!.get(address) === member)
        addresses.get(networkId)!.delete(address)
  }

  return {
    join(member: Member): void {
      leave(member.networkId, member.sandboxId)
      const { networkId, sandboxId } = member
      members.set(sandboxId, (members.get(sandboxId) ?? new Map()).set(networkId, member))
      if (!names.has(networkId)) names.set(networkId, new Map())
      if (!addresses.has(networkId)) addresses.set(networkId, new Map())
      for (const name of member.names) {
        const byName = names.get(networkId)!
        byName.set(name, (byName.get(name) ?? new Set()).add(member))
      }
      for (const address of [member.ipv4, member.ipv6])
        if (address !== undefined) addresses.get(networkId)!.set(address, member)
    },
    leave,
    /** undefined: the name is nobody's on the asker's networks. "web" and "web.NETWORK" both work. */
    find(asker: string, name: string, family: 4 | 6): Found | undefined {
      for (const [networkId, { networkName, links }] of members.get(asker) ?? []) {
        const byName = names.get(networkId)!
        const suffix = `.${networkName.toLowerCase()}`
        const linked = links?.find(({ alias }) => alias.toLowerCase() === name)
        const found =
          (linked && byName.get(linked.name.toLowerCase())) ??
          byName.get(name) ??
          (name.endsWith(suffix) ? byName.get(name.slice(0, -suffix.length)) : undefined)
        if (!found) continue
        const all = [...found]
          .map((member) => (family === 4 ? member.ipv4 : member.ipv6))
          .filter((a) => a !== undefined)
        const shift = all.length > 1 ? turn++ % all.length : 0
        return { kind: 'addresses', addresses: [...all.slice(shift), ...all.slice(0, shift)] }
      }
      return undefined
    },
    reverse(asker: string, name: string): Found | undefined {
      const address = addressOfReverseName(name)
      if (!address) return undefined
      for (const [networkId, { networkName }] of members.get(asker) ?? []) {
        const member = addresses.get(networkId)!.get(formatAddress(address))
        if (member?.names[0] !== undefined) return { kind: 'name', name: `${member.names[0]}.${networkName}` }
      }
      return undefined
    },
  }
}
export type NameTable = ReturnType<typeof createNameTable>
