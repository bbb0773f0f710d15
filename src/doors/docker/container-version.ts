/** A create request as the version of the API it came by means it (moby api/server/router/container). */
import { posix } from 'node:path'
import { bad } from './container-fields.ts'
import type { CreateBody } from './wire.ts'

/** What came with a later version is not heard, and what was another default then is stated. */
export const asOf = ([, minor]: readonly [number, number], body: CreateBody): CreateBody => {
  const { HostConfig: host = {}, Healthcheck: health, WorkingDir: dir, ...rest } = body
  const networks = Object.keys(body.NetworkingConfig?.EndpointsConfig ?? {})
  if (minor < 44 && networks.length > 1)
    throw bad(`Container cannot be created with multiple network endpoints: ${networks.join(', ')}`)
  return {
    ...rest,
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
