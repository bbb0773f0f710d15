import { SlipwayError } from '../../errors.ts'
import { overlaps, parseAddress } from '../../lib/ip.ts'
import type { NetworkSpec } from '../types.ts'
import type { StoredNetwork } from './records.ts'
import { isIn, parseBlock } from './subnets.ts'

const invalid = (message: string, hint?: string): SlipwayError => new SlipwayError('invalid', message, { hint })

/** Throws 'invalid' or 'already-exists' in docker's words. */
export const validateSpec = (spec: NetworkSpec, others: Iterable<StoredNetwork>): void => {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(spec.name))
    throw invalid(`invalid network name "${spec.name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
  const networks = [...others]
  if (networks.some((network) => network.spec.name === spec.name))
    throw new SlipwayError('already-exists', `network with name ${spec.name} already exists`)
  for (const pool of spec.ipam) {
    if (pool.subnet === undefined) {
      if (pool.gateway !== undefined || pool.ipRange !== undefined)
        throw invalid('invalid network config: a gateway or an ip-range needs a subnet')
      continue
    }
    const subnet = parseBlock(pool.subnet)
    if (!subnet || !pool.subnet.includes('/')) throw invalid(`invalid subnet ${pool.subnet}`)
    for (const address of [pool.gateway, ...Object.values(pool.auxAddresses ?? {})])
      if (address !== undefined && !isIn(subnet, address))
        throw invalid(`invalid network config: no matching subnet for gateway ${address}`)
    const range = pool.ipRange === undefined ? undefined : parseBlock(pool.ipRange)
    if (pool.ipRange !== undefined && (!range || !overlaps(subnet, range) || range.prefix < subnet.prefix))
      throw invalid(`invalid network config: no matching subnet for range ${pool.ipRange}`)
    for (const network of networks)
      for (const other of network.subnets)
        if (overlaps(subnet, parseBlock(other.subnet)!))
          throw new SlipwayError(
            'forbidden',
            `invalid pool request: Pool overlaps with other one on this address space (network ${network.spec.name}, ${other.subnet})`,
            { hint: 'Choose another subnet, or leave it out and a free one is picked.' },
          )
  }
  if (spec.driver === 'macvlan' || spec.driver === 'ipvlan') {
    if (spec.options.parent === undefined && !spec.internal)
      throw invalid(`a ${spec.driver} network needs a parent interface`, 'Add the option parent=INTERFACE.')
  }
  const name = spec.options['com.docker.network.bridge.name']
  if (name !== undefined && !/^[^\s/:]{1,15}$/.test(name)) throw invalid(`invalid bridge name "${name}"`)
}

/** The address asked for, checked to be in one of the subnets. */
export const checkWanted = (text: string, network: StoredNetwork): void => {
  const address = parseAddress(text)
  if (!address) throw invalid(`invalid IP address: ${text}`)
  if (!network.subnets.some(({ subnet }) => isIn(parseBlock(subnet)!, text)))
    throw invalid(`invalid endpoint settings: no configured subnet or ip-range contain the IP address ${text}`)
}
