/** A create request as the version of the API it came by means it (moby api/server/router/container). */
import { posix } from 'node:path'
import { bad } from './container-fields.ts'
import type { CreateBody, EndpointConfig, MountConfig } from './wire.ts'

/** The one address a container could have goes to its one network; what an endpoint says of it is not heard. */
const withContainerMac = ({ MacAddress: mac, HostConfig: host = {}, NetworkingConfig }: CreateBody): CreateBody => {
  const mode = host.NetworkMode || 'default'
  if (mac && (mode === 'host' || mode === 'none' || mode.startsWith('container:')))
    throw bad('conflicting options: mac-address and the network mode')
  const given = Object.entries(NetworkingConfig?.EndpointsConfig ?? {})
  const endpoints = given.length > 0 ? given : mac ? [[mode, {}] as const] : []
  return {
    NetworkingConfig: {
      EndpointsConfig: Object.fromEntries(endpoints.map(([name, e]) => [name, { ...e, MacAddress: mac || '' }])),
    },
  }
}

/** What came with a later version is not heard, and what was another default then is stated. */
export const asOf = (
  [, minor]: readonly [number, number],
  body: CreateBody,
): { body: CreateBody; warnings: string[] } => {
  const { HostConfig: host = {}, Healthcheck: health, WorkingDir: dir, NetworkingConfig, MacAddress, ...rest } = body
  const networks = Object.keys(NetworkingConfig?.EndpointsConfig ?? {})
  if (minor < 44 && networks.length > 1)
    throw bad(`Container cannot be created with multiple network endpoints: ${networks.join(', ')}`)
  const endpoints = withAddress(minor, body)
  const heard: CreateBody = {
    ...rest,
    ...(minor < 44 ? withContainerMac(body) : {}),
    ...(health ? { Healthcheck: minor < 44 ? { ...health, StartInterval: 0 } : health } : {}),
    ...(dir ? { WorkingDir: posix.normalize(dir).replace(/(.)\/$/, '$1') } : {}),
    ...(endpoints ? { NetworkingConfig: { ...NetworkingConfig, EndpointsConfig: endpoints } } : {}),
    HostConfig: {
      ...host,
      ...(minor < 25 ? { AutoRemove: false } : {}),
      ...(minor < 40 && !host.IpcMode ? { IpcMode: 'shareable' } : {}),
      ...(minor < 42 ? { ConsoleSize: [0, 0] } : {}),
      ...(minor < 43 ? { Annotations: {} } : {}),
      ...(host.PidsLimit && host.PidsLimit < 0 ? { PidsLimit: null } : {}),
      ...(host.Mounts ? { Mounts: host.Mounts.map((mount) => mountAsOf(minor, mount)) } : {}),
    },
  }
  return { body: heard, warnings: minor >= 44 && MacAddress ? [macWarning] : [] }
}

const macWarning =
  'The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.'

/**
 * Since 1.44 each endpoint has its MAC address, and the container's is that of its network mode; before, an endpoint's was not
 * heard.
 */
const withAddress = (
  minor: number,
  { MacAddress, HostConfig, NetworkingConfig }: CreateBody,
): Record<string, EndpointConfig | null> | null | undefined => {
  const named = NetworkingConfig?.EndpointsConfig
  const given =
    named && Object.fromEntries(Object.entries(named).map(([name, e]) => [name === 'default' ? 'bridge' : name, e]))
  const without = (e: EndpointConfig | null): EndpointConfig => {
    const { MacAddress: _, ...others } = e ?? {}
    return others
  }
  const each = (change: (e: EndpointConfig | null) => EndpointConfig) =>
    given && Object.fromEntries(Object.entries(given).map(([name, e]) => [name, change(e)]))
  if (!MacAddress) return minor < 44 ? each(without) : given
  const asked = HostConfig?.NetworkMode
  const mode = !asked || asked === 'default' ? 'bridge' : asked
  const alone = mode === 'host' || mode === 'none' || mode.startsWith('container:')
  if (minor < 44) {
    if (alone) throw bad('conflicting options: mac-address and the network mode')
    return given && Object.keys(given).length > 0 ? each((e) => ({ ...e, MacAddress })) : { [mode]: { MacAddress } }
  }
  if (alone) return given
  if (!given || Object.keys(given).length === 0) return { [mode]: { MacAddress } }
  if (!(mode in given))
    throw bad(
      'if a container-wide MAC address is supplied, HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks',
    )
  const own = given[mode]?.MacAddress
  if (own && own !== MacAddress)
    throw bad(
      'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
    )
  return { ...given, [mode]: { ...given[mode], MacAddress } }
}

const optionsOf = { BindOptions: 'bind', VolumeOptions: 'volume', TmpfsOptions: 'tmpfs' } as const

const mountAsOf = (minor: number, mount: MountConfig): MountConfig => {
  const heard = { ...mount }
  for (const [field, type] of Object.entries(optionsOf) as [keyof typeof optionsOf, string][]) {
    if (!heard[field] || mount.Type === type) continue
    if (minor >= 42) throw bad(`${field} must not be specified on mount type "${mount.Type}"`)
    if (field !== 'BindOptions') delete heard[field]
  }
  if (minor < 44 && mount.BindOptions?.ReadOnlyForceRecursive)
    throw bad('BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer')
  if (minor < 45 && heard.VolumeOptions?.Subpath) throw bad('VolumeOptions.Subpath needs API v1.45 or newer')
  if (minor < 48 && mount.Type === 'image') throw bad('Mount type "Image" needs API v1.48 or newer')
  if (minor < 42 && heard.BindOptions)
    heard.BindOptions = {
      ...heard.BindOptions,
      CreateMountpoint: false,
      ...(minor < 40 ? { NonRecursive: false } : {}),
    }
  return heard
}
