/** What a network or an endpoint is asked for, checked: pure. The words are docker's. */
import { SlipwayError } from '../../errors.ts'
import { contains, formatBlock, overlaps, parseAddress, parseBlock } from '../../lib/ip.ts'
import type { NetworkSpec } from '../types.ts'
import { checkOptions, isOnParent, macvlanMode } from './options.ts'
import type { StoredNetwork } from './records.ts'
import { isIn } from './subnets.ts'

const invalid = (message: string, hint?: string): SlipwayError => new SlipwayError('invalid', message, { hint })
type Pool = NetworkSpec['ipam'][number]

/** Several are listed, one stands for itself. */
const joined = (errors: readonly string[]): string =>
  errors.length === 1 ? errors[0]! : errors.map((each) => `* ${each}`).join('\n')

const isBlock = (text: string): boolean => text.includes('/') && parseBlock(text) !== undefined

const rangeErrors = (text: string | undefined, subnet: string): string[] => {
  if (text === undefined) return []
  if (!isBlock(text)) return [`invalid ip-range ${text}: invalid CIDR block notation`]
  const [outer, range] = [parseBlock(subnet)!, parseBlock(text)!]
  if (outer.family !== range.family) return [`invalid ip-range ${text}: parent subnet is an IPv${outer.family} block`]
  return [
    range.prefix < outer.prefix && `CIDR block is bigger than its parent subnet ${subnet}`,
    formatBlock(range) !== text &&
      parseAddress(text.split('/')[0]!)!.value !== range.base &&
      `it should be ${formatBlock(range)}`,
    !overlaps(outer, range) && `parent subnet ${subnet} doesn't contain ip-range`,
  ].flatMap((why) => (why === false ? [] : [`invalid ip-range ${text}: ${why}`]))
}

const addressError = (text: string | undefined, subnet: string): string | undefined => {
  if (text === undefined) return undefined
  const address = parseAddress(text)
  const outer = parseBlock(subnet)!
  if (!address) return 'invalid address'
  if (address.family !== outer.family) return `parent subnet is an IPv${outer.family} block`
  return contains(outer, address) ? undefined : `parent subnet ${subnet} doesn't contain this address`
}

const poolErrors = ({ subnet = '', gateway, ipRange, auxAddresses }: Pool, ipv6: boolean): string[] => {
  if (!isBlock(subnet)) return [`invalid subnet ${subnet}: invalid CIDR block notation`]
  const block = parseBlock(subnet)!
  if (block.family === 6 && !ipv6) return []
  const errors: string[] = []
  if (parseAddress(subnet.split('/')[0]!)!.value !== block.base)
    errors.push(`invalid subnet ${subnet}: it should be ${formatBlock(block)}`)
  errors.push(...rangeErrors(ipRange, subnet))
  const wrong = addressError(gateway, subnet)
  if (wrong !== undefined) errors.push(`invalid gateway ${gateway}: ${wrong}`)
  for (const [name, address] of Object.entries(auxAddresses ?? {})) {
    const why = addressError(address, subnet)
    if (why !== undefined) errors.push(`invalid auxiliary address ${name}: ${why}`)
  }
  return errors
}

const checkPools = (spec: NetworkSpec): void => {
  const errors = spec.ipam.flatMap((pool) => poolErrors(pool, spec.ipv6))
  if (errors.length > 0) throw invalid(`invalid network config:\n${joined(errors)}`)
}

const forbidden = (message: string): SlipwayError => new SlipwayError('forbidden', message)

/** A network that holds or takes a configuration says nothing else. */
const checkConfiguration = (spec: NetworkSpec): void => {
  if (spec.configOnly && (spec.internal || spec.attachable))
    throw forbidden(
      'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.',
    )
  if (spec.configFrom === undefined) return
  if (spec.configOnly) throw forbidden('a configuration network cannot depend on another configuration network')
  if (spec.ipv6 || Object.keys(spec.labels).length > 0 || spec.ipam.length > 0)
    throw forbidden('user specified configurations are not supported if the network depends on a configuration network')
  if (Object.keys(spec.options).length > 0)
    throw forbidden('network driver options are not supported if the network depends on a configuration network')
}

const checkFamilies = (spec: NetworkSpec): void => {
  if (spec.configOnly) return
  if (spec.ipv4 === false && !spec.ipv6) throw invalid('IPv4 or IPv6 must be enabled')
  if (isOnParent(spec)) return
  for (const family of [4, 6] as const)
    if (spec.ipam.filter(({ subnet }) => parseBlock(subnet!)!.family === family).length > 1)
      throw forbidden(`${spec.driver} driver doesn't support multiple subnets`)
}

const parentClash = (spec: NetworkSpec, other: StoredNetwork): void => {
  if (spec.driver !== 'macvlan' || other.spec.driver !== 'macvlan') return
  const { parent } = spec.options
  if (!parent || other.spec.options.parent !== parent) return
  if (macvlanMode(spec.options) === 'passthru')
    throw invalid(`cannot use mode passthru, macvlan network ${other.id} is already using parent interface ${parent}`)
  if (macvlanMode(other.spec.options) === 'passthru')
    throw invalid(`macvlan network ${other.id} is already using parent interface ${parent} in mode passthru`)
}

const checkAgainst = (spec: NetworkSpec, other: StoredNetwork): void => {
  if (other.spec.configOnly) return
  parentClash(spec, other)
  const bridge = spec.driver === 'bridge' ? spec.options['com.docker.network.bridge.name'] : undefined
  if (bridge !== undefined && other.bridge === bridge)
    throw forbidden(
      `cannot create network: conflicts with network ${other.id} (${other.spec.name}): networks have same bridge name`,
    )
  for (const { subnet } of spec.ipam)
    for (const theirs of other.subnets)
      if (overlaps(parseBlock(subnet!)!, parseBlock(theirs.subnet)!))
        throw new SlipwayError(
          'forbidden',
          'invalid pool request: Pool overlaps with other one on this address space',
          {
            hint: `Network ${other.spec.name} has ${theirs.subnet}. Choose another subnet, or leave it out and a free one is picked.`,
          },
        )
}

/** Throws 'invalid', 'forbidden' or 'already-exists'. */
export const validateSpec = (spec: NetworkSpec, others: Iterable<StoredNetwork>): void => {
  checkPools(spec)
  if (spec.name.trim() === '') throw invalid('invalid name: name is empty')
  const networks = [...others]
  if (networks.some((network) => network.spec.name === spec.name))
    throw new SlipwayError('already-exists', `network with name ${spec.name} already exists`)
  checkConfiguration(spec)
  checkFamilies(spec)
  if (spec.configOnly) return
  checkOptions(spec)
  for (const network of networks) checkAgainst(spec, network)
}

/** The address asked for, checked to be in one of the subnets the network was given. */
export const checkWanted = (text: string, family: 4 | 6, network: StoredNetwork): void => {
  const settings = (why: string): SlipwayError => invalid(`invalid endpoint settings:\n${why}`)
  if (parseAddress(text)?.family !== family) throw settings(`invalid IPv${family} address: ${text}`)
  const given = network.spec.ipam.filter(
    ({ subnet }) => subnet !== undefined && subnet.includes(':') === (family === 6),
  )
  if (given.length === 0)
    throw settings(
      'user specified IP address is supported only when connecting to networks with user configured subnets',
    )
  if (!given.some(({ subnet }) => isIn(parseBlock(subnet!)!, text)))
    throw settings(`no configured subnet or ip-range contain the IP address ${text}`)
}
