/** What the options of a network's driver mean: pure. Names, values and refusals are those of docker's drivers. */
import { goBool, notBool } from '../../lib/go-bool.ts'
import { SlipwayError } from '../../errors.ts'
import { parseAddress } from '../../lib/ip.ts'
import type { Network, NetworkSpec } from '../types.ts'

const bridgeLabel = 'com.docker.network.bridge'
/** Ours: published ports pass the host's input rules, at the price of the client's address. */
const throughInputLabel = 'dev.slipway.network.publish'

/**
 * nat: containers leave by the host's address, and only published ports are reached from outside. nat-unprotected: every port
 * is reached by whoever has a route. routed: no translation, published ports are open at the container's own address.
 * isolated: the host has no address on the bridge.
 */
type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated'

interface BridgeOptions {
  name?: string | undefined
  icc: boolean
  masquerade: boolean
  mode4: GatewayMode
  mode6: GatewayMode
  /** Where ports are published that do not say; '' is everywhere. */
  hostBinding: string
  /** The host gets no IPv4 address on the bridge. */
  inhibitIpv4: boolean
  /** Instead of masquerading. */
  source4?: string | undefined
  source6?: string | undefined
  /** Links whose packets may reach containers without a published port. */
  trusted: string[]
  /** Published ports are answered by a socket on the host: 'input' is the one other value. */
  throughInput: boolean
}

const unparsed = (label: string, value: string, why: string): SlipwayError =>
  new SlipwayError('invalid', `failed to parse ${label} value: ${value} (${why})`)

/** By label: throws 'invalid' in docker's words for what cannot be read. */
const reader = (options: Readonly<Record<string, string>>) => ({
  flag(label: string, otherwise: boolean): boolean {
    const value = options[label]
    if (value === undefined) return otherwise
    const known = goBool(value)
    if (known === undefined) throw unparsed(label, value, notBool(value))
    return known
  },
  address(label: string): string | undefined {
    const value = options[label]
    if (value !== undefined && !parseAddress(value)) throw unparsed(label, value, 'nil ip')
    return value
  },
  mode(label: string): GatewayMode {
    const value = options[label] ?? 'nat'
    if (value !== 'nat' && value !== 'nat-unprotected' && value !== 'routed' && value !== 'isolated')
      throw unparsed(label, value, `unknown gateway mode ${value}`)
    return value
  },
})

export const bridgeOptions = (options: Readonly<Record<string, string>>): BridgeOptions => {
  const { flag, address, mode } = reader(options)
  const publish = options[throughInputLabel]
  if (publish !== undefined && publish !== 'forward' && publish !== 'input')
    throw unparsed(throughInputLabel, publish, 'forward or input')
  return {
    name: options[`${bridgeLabel}.name`],
    icc: flag(`${bridgeLabel}.enable_icc`, true),
    masquerade: flag(`${bridgeLabel}.enable_ip_masquerade`, true),
    mode4: mode(`${bridgeLabel}.gateway_mode_ipv4`),
    mode6: mode(`${bridgeLabel}.gateway_mode_ipv6`),
    hostBinding: address(`${bridgeLabel}.host_binding_ipv4`) ?? '',
    inhibitIpv4: flag(`${bridgeLabel}.inhibit_ipv4`, false),
    source4: address('com.docker.network.host_ipv4'),
    source6: address('com.docker.network.host_ipv6'),
    trusted: (options[`${bridgeLabel}.trusted_host_interfaces`] ?? '').split(':').filter((link) => link !== ''),
    throughInput: publish === 'input',
  }
}

export const gatewayMode = ({ spec }: Pick<Network, 'spec'>, family: 4 | 6): GatewayMode => {
  if (spec.driver !== 'bridge') return 'nat'
  const { mode4, mode6 } = bridgeOptions(spec.options)
  return family === 4 ? mode4 : mode6
}

/** Bytes; undefined where it is not said. */
export const mtuOption = (options: Readonly<Record<string, string>>): number | undefined => {
  const label = 'com.docker.network.driver.mtu'
  const value = options[label]
  if (value === undefined) return undefined
  if (!/^[+-]?\d+$/.test(value)) throw unparsed(label, value, `strconv.Atoi: parsing "${value}": invalid syntax`)
  const mtu = Number(value)
  if (mtu < 0 || mtu > 65535) throw new SlipwayError('invalid', `invalid MTU number: ${mtu}`)
  return mtu === 0 ? undefined : mtu
}

/** What names of interfaces in containers begin with. */
export const interfacePrefix = ({ spec }: Pick<Network, 'spec'>): string =>
  spec.options['com.docker.network.container_iface_prefix'] || 'eth'

export const macvlanMode = (options: Readonly<Record<string, string>>): string => {
  const mode = options.macvlan_mode || 'bridge'
  if (!['bridge', 'private', 'vepa', 'passthru'].includes(mode))
    throw new SlipwayError(
      'invalid',
      `requested macvlan mode '${mode}' is not valid, 'bridge' mode is the macvlan driver default`,
    )
  return mode
}

export const ipvlanMode = (options: Readonly<Record<string, string>>): { mode: string; flag: string } => {
  const mode = options.ipvlan_mode || 'l2'
  const flag = options.ipvlan_flag || 'bridge'
  if (!['l2', 'l3', 'l3s'].includes(mode))
    throw new SlipwayError(
      'invalid',
      `requested ipvlan mode '${mode}' is not valid, 'l2' mode is the ipvlan driver default`,
    )
  if (!['bridge', 'private', 'vepa'].includes(flag))
    throw new SlipwayError(
      'invalid',
      `requested ipvlan flag '${flag}' is not valid, 'bridge' is the ipvlan driver default`,
    )
  return { mode, flag }
}

/** Sits on a link of the host instead of having one. */
export const isOnParent = ({ driver }: Pick<NetworkSpec, 'driver'>): boolean =>
  driver === 'macvlan' || driver === 'ipvlan'

/** Has it no way out at all? */
export const isClosed = ({ spec }: Pick<Network, 'spec'>): boolean =>
  spec.internal || (isOnParent(spec) && !spec.options.parent)

/** Is an address kept for a gateway? Not where nothing could answer at it. */
export const hasGateway = (spec: NetworkSpec, family: 4 | 6): boolean => {
  if (spec.driver === 'bridge') return gatewayMode({ spec }, family) !== 'isolated'
  if (spec.driver === 'ipvlan' && ipvlanMode(spec.options).mode !== 'l2') return false
  return !isOnParent(spec) || !isClosed({ spec })
}

/** Throws 'invalid' in docker's words. */
export const checkOptions = (spec: NetworkSpec): void => {
  const { options, driver, internal } = spec
  mtuOption(options)
  if (driver === 'macvlan') macvlanMode(options)
  if (driver === 'ipvlan') ipvlanMode(options)
  if (isOnParent(spec) && options.parent === 'lo')
    throw new SlipwayError('invalid', `loopback interface is not a valid ${driver} parent link`)
  if (driver !== 'bridge') return
  const { name, mode4, mode6 } = bridgeOptions(options)
  for (const mode of [mode4, mode6])
    if (mode === 'isolated' && !internal)
      throw new SlipwayError('invalid', `gateway mode 'isolated' can only be used for an internal network`)
  if (name !== undefined && !/^[^\s/:"]{1,15}$/.test(name))
    throw new SlipwayError('invalid', `invalid bridge name "${name}"`)
}
