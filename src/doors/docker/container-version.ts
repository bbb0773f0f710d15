/** A create request as the version of the API it came by means it (moby api/server/router/container). */
import { posix } from 'node:path'
import { bad } from './container-fields.ts'
import type { CreateBody } from './wire.ts'

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
export const asOf = ([, minor]: readonly [number, number], body: CreateBody): CreateBody => {
  const { HostConfig: host = {}, Healthcheck: health, WorkingDir: dir, ...rest } = body
  const networks = Object.keys(body.NetworkingConfig?.EndpointsConfig ?? {})
  if (minor < 44 && networks.length > 1)
    throw bad(`Container cannot be created with multiple network endpoints: ${networks.join(', ')}`)
  return {
    ...rest,
    ...(minor < 44 ? withContainerMac(body) : {}),
    ...(health ? { Healthcheck: minor < 44 ? { ...health, StartInterval: 0 } : health } : {}),
    ...(dir ? { WorkingDir: posix.normalize(dir).replace(/(.)\/$/, '$1') } : {}),
    HostConfig: {
      ...host,
      ...(minor < 25 ? { AutoRemove: false } : {}),
      ...(minor < 40 && !host.IpcMode ? { IpcMode: 'shareable' } : {}),
      ...(minor < 42 ? { ConsoleSize: [0, 0] } : {}),
      ...(minor < 43 ? { Annotations: {} } : {}),
      ...(host.PidsLimit && host.PidsLimit < 0 ? { PidsLimit: null } : {}),
    },
  }
}
