/** A create request as a network of the engine: pure. */
import type { NetworkSpec } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { defined } from './container-fields.ts'

interface IpamConfig {
  Subnet?: string
  IPRange?: string
  Gateway?: string
  AuxiliaryAddresses?: Record<string, string>
}
export interface CreateNetwork {
  Name?: string
  CheckDuplicate?: boolean
  Driver?: string
  Internal?: boolean
  Attachable?: boolean
  Ingress?: boolean
  EnableIPv6?: boolean | null
  EnableIPv4?: boolean | null
  Scope?: string
  ConfigOnly?: boolean
  ConfigFrom?: { Network?: string } | null
  IPAM?: { Driver?: string; Options?: Record<string, string> | null; Config?: IpamConfig[] | null } | null
  Options?: Record<string, string> | null
  Labels?: Record<string, string> | null
}

const forbidden = (message: string): SlipwayError => new SlipwayError('forbidden', message)
const notFound = (plugin: string): SlipwayError =>
  new SlipwayError('not-found', `could not find plugin ${plugin} in v1 plugin registry: plugin not found`)

/** Switches of a family may come as a field or as an option. */
const family = (
  field: boolean | null | undefined,
  options: Record<string, string>,
  label: string,
): boolean | undefined => {
  if (field != null) return field
  const value = options[label]
  if (value === undefined) return undefined
  if (!/^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(value))
    throw new SlipwayError('bad-request', `driver-opt "${label}" is not a valid bool`)
  return /^(1|t)/i.test(value)
}

const checkDriver = (driver: string, { Scope, Ingress, IPAM }: CreateNetwork): void => {
  if (driver === 'overlay')
    throw forbidden(
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    )
  if (driver === 'host' || driver === 'null') throw forbidden(`only one instance of "${driver}" network is allowed`)
  if (!['bridge', 'macvlan', 'ipvlan'].includes(driver)) throw notFound(driver)
  if (Ingress) throw forbidden('Ingress network can only be global scope network')
  if (Scope === 'swarm') throw forbidden('cannot create a swarm scoped network when swarm is not active')
  const ipam = IPAM?.Driver || 'default'
  if (ipam === 'null') throw new SlipwayError('bad-request', 'ipv4 pool is empty')
  if (ipam !== 'default') throw notFound(ipam)
}

/** Whether it has IPv4 is asked since 1.48. */
export const createAsOf = ([, minor]: readonly [number, number], body: CreateNetwork): CreateNetwork =>
  minor < 48 ? { ...body, EnableIPv4: null } : body

export const networkSpecOf = (body: CreateNetwork): NetworkSpec => {
  const driver = body.Driver || 'bridge'
  if (['bridge', 'host', 'none', 'default'].includes(body.Name ?? ''))
    throw forbidden(`operation is not permitted on predefined ${body.Name} network `)
  if (!body.ConfigOnly) checkDriver(driver, body)
  else if (body.Scope || body.Ingress)
    throw forbidden(
      'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.',
    )
  const options = { ...body.Options }
  const ipv4 = family(body.EnableIPv4, options, 'com.docker.network.enable_ipv4')
  const ipv6 = family(body.EnableIPv6, options, 'com.docker.network.enable_ipv6') ?? false
  return {
    name: body.Name ?? '',
    driver: driver as NetworkSpec['driver'],
    internal: body.Internal ?? false,
    attachable: body.Attachable ?? false,
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ipv6,
    ipam: (body.IPAM?.Config ?? []).map((config) =>
      defined({
        subnet: config.Subnet || '',
        gateway: config.Gateway || undefined,
        ipRange: config.IPRange || undefined,
        auxAddresses: config.AuxiliaryAddresses,
      }),
    ),
    ...defined({
      ipamOptions: body.IPAM?.Options ?? undefined,
      configOnly: body.ConfigOnly || undefined,
      configFrom: body.ConfigFrom?.Network || undefined,
    }),
    options,
    labels: body.Labels ?? {},
    dns: true,
  }
}
