/** --network: a name, or name=…,alias=…,ip=…; and the endpoints that all of them together make. */
import type { Flags } from '../framework/flags.ts'
import { csv } from '../../../lib/csv.ts'
import { int, pair, pairsOf } from './value.ts'

export interface Attachment {
  target: string
  aliases: string[]
  links: string[]
  driverOpts: string[]
  ip: string
  ip6: string
  linkLocal: string[]
  mac: string
  priority: number
}

const empty = (target: string): Attachment => ({
  target,
  aliases: [],
  links: [],
  driverOpts: [],
  ip: '',
  ip6: '',
  linkLocal: [],
  mac: '',
  priority: 0,
})

export const networkAttachment = (text: string): Attachment => {
  if (!/\w+=\w+/.test(text)) return empty(text)
  const made = empty('')
  for (const field of csv(text)) {
    const [key, value] = pair(field)
    if (!field.includes('=')) throw new Error(`invalid field ${field}`)
    switch (key.toLowerCase().trim()) {
      case 'name':
        made.target = value
        break
      case 'alias':
        made.aliases.push(value)
        break
      case 'driver-opt': {
        if (!value.includes('=')) throw new Error('invalid key value pair format in driver options')
        made.driverOpts.push(value.toLowerCase())
        break
      }
      case 'ip':
        made.ip = value
        break
      case 'ip6':
        made.ip6 = value
        break
      case 'mac-address':
        made.mac = value
        break
      case 'link-local-ip':
        made.linkLocal.push(value)
        break
      case 'gw-priority':
        made.priority = priority(value)
        break
      default:
        throw new Error(`invalid field key ${key}`)
    }
  }
  if (made.target === '') throw new Error('network name/id is not specified')
  return made
}

const priority = (text: string): number => {
  try {
    return int(text)
  } catch {
    throw new Error(`invalid gw-priority (${text}): invalid syntax`)
  }
}

export const isMac = (text: string): boolean => /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i.test(text)
const userDefined = (target: string): boolean =>
  !['', 'default', 'bridge', 'host', 'none'].includes(target) && !target.startsWith('container:')

/** NetworkMode and EndpointsConfig. Throws what is contradictory. */
export const networking = (flags: Flags): { mode: string; endpoints: Record<string, object> } => {
  const given = (flags.network as Attachment[] | undefined) ?? [empty('default')]
  const endpoints: Record<string, object> = {}
  given.forEach((each, i) => {
    const attachment = i === 0 ? withOwnFlags(each, flags) : each
    const settings = endpoint(attachment)
    if (Object.hasOwn(endpoints, each.target))
      throw new Error(`network ${JSON.stringify(each.target)} is specified multiple times`)
    // One network alone, as it is, is the mode's.
    if (given.length > 1 || Object.keys(settings).length > 0) endpoints[each.target] = settings
  })
  if (given.some((n) => userDefined(n.target)) && given.some((n) => !userDefined(n.target)))
    throw new Error('conflicting options: cannot attach both user-defined and non-user-defined network-modes')
  return { mode: given[0]!.target, endpoints }
}

const conflict = (flag: string, what: string): Error =>
  new Error(`conflicting options: cannot specify both --${flag} and per-network ${what}`)

/** --network-alias, --link, --ip … are about the first network. */
const withOwnFlags = (given: Attachment, flags: Flags): Attachment => {
  const own = (name: string): string[] => (flags[name] as string[] | undefined) ?? []
  const ip = (flags.ip as string | undefined) ?? ''
  const ip6 = (flags.ip6 as string | undefined) ?? ''
  const mac = (flags['mac-address'] as string | undefined) ?? ''
  if (given.aliases.length > 0 && own('network-alias').length > 0) throw conflict('network-alias', 'alias')
  if (given.links.length > 0 && own('link').length > 0) throw conflict('link', 'links')
  if (given.ip !== '' && ip !== '') throw conflict('ip', 'IPv4 address')
  if (given.ip6 !== '' && ip6 !== '') throw conflict('ip6', 'IPv6 address')
  if (given.mac !== '' && mac !== '') throw conflict('mac-address', 'MAC address')
  return {
    ...given,
    aliases: given.aliases.length > 0 ? given.aliases : own('network-alias'),
    links: given.links.length > 0 ? given.links : own('link'),
    ip: ip || given.ip,
    ip6: ip6 || given.ip6,
    mac: mac || given.mac,
    linkLocal: own('link-local-ip').length > 0 ? own('link-local-ip') : given.linkLocal,
  }
}

const endpoint = (n: Attachment): object => {
  if (n.target.trim() === '') throw new Error('no name set for network')
  if (n.mac !== '' && !isMac(n.mac)) throw new Error(`${n.mac} is not a valid mac address`)
  if (!userDefined(n.target)) {
    if (n.aliases.length > 0) throw new Error('network-scoped aliases are only supported for user-defined networks')
    if (n.links.length > 0 && n.target !== 'default' && n.target !== 'bridge')
      throw new Error('links are only supported for user-defined networks')
  }
  const addressed = n.ip !== '' || n.ip6 !== '' || n.linkLocal.length > 0
  return {
    ...(n.aliases.length > 0 && { Aliases: n.aliases }),
    ...(n.driverOpts.length > 0 && { DriverOpts: pairsOf(n.driverOpts) }),
    ...(n.links.length > 0 && userDefined(n.target) && { Links: n.links }),
    ...(addressed && { IPAMConfig: { IPv4Address: n.ip, IPv6Address: n.ip6, LinkLocalIPs: n.linkLocal } }),
    ...(n.mac !== '' && { MacAddress: n.mac }),
    ...(n.priority !== 0 && { GwPriority: n.priority }),
  }
}
