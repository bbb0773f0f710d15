/** The Docker Engine API on a unix socket: decode, one call of the engine, encode. */
import type { Builder } from '../../build/types.ts'
import type { Engine, Instance } from '../../engine/types.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import { buildRoutes } from './build.ts'
import { buildkit } from './buildkit/index.ts'
import { containerRoutes } from './containers.ts'
import { execRoutes } from './exec.ts'
import { imageRoutes } from './images.ts'
import { networkRoutes } from './networks.ts'
import { checkpointRoutes, pluginRoutes } from './not-offered.ts'
import { RecentPushes } from './recent-pushes.ts'
import { apiVersion, createDockerServer } from './server.ts'
import { statsRoutes } from './stats.ts'
import { swarmRoutes } from './swarm.ts'
import { systemRoutes } from './system.ts'
import { volumeRoutes } from './volumes.ts'

interface DockerDoorDeps {
  engine: Engine
  builder: Omit<Builder, 'recover' | 'close'>
  sys: Pick<Sys, 'cgroups' | 'files' | 'processes'>
  instance: Instance
  version: string
  log: Log
  clock: Clock
}

export const createDockerDoor = (
  deps: DockerDoorDeps,
): { listen(socketPath: string, fd: number): Promise<void>; close(): void } => {
  const { engine, builder, log, clock } = deps
  const pushed = new RecentPushes(clock)
  const bk = buildkit({ ...deps, images: engine.images, networks: engine.networks, devices: engine.devices, pushed })
  const routes = [
    ...systemRoutes(deps),
    ...containerRoutes(engine, clock, deps.instance.stateDir),
    ...statsRoutes(engine, clock),
    ...execRoutes(engine),
    ...imageRoutes(engine, clock, pushed),
    ...networkRoutes(engine, clock),
    ...volumeRoutes(engine),
    ...buildRoutes(builder, bk),
    ...bk.routes,
    ...swarmRoutes,
    ...pluginRoutes,
    ...checkpointRoutes,
  ]
  return createDockerServer(routes, log, {
    'Api-Version': apiVersion,
    'Docker-Experimental': 'false',
    Ostype: 'linux',
    Server: `slipway/${deps.version} (linux)`,
    'Builder-Version': '2',
    Swarm: 'inactive',
  })
}
