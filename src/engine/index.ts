import { ContainerRecords, createContainers } from './containers/index.ts'
import { tellDamaged } from '../lib/database.ts'
import type { EngineDeps } from './deps.ts'
import { createDevices } from './devices/index.ts'
import { createEvents } from './events/index.ts'
import { createImages, imageSettings } from './images/index.ts'
import { createNetworks } from './networks/index.ts'
import { createSandboxes } from './sandboxes/index.ts'
import { createSnapshots } from './snapshots/index.ts'
import type { Engine } from './types.ts'
import { createVolumes } from './volumes/index.ts'

export { removeHostRules } from './networks/index.ts'
export type * from './types.ts'

/** Wires the rooms of the engine. Nothing is touched on the machine before `recover`. */
export const createEngine = (given: Omit<EngineDeps, 'events'>): Engine => {
  const deps: EngineDeps = { ...given, log: given.log.room('engine'), events: createEvents(given.clock) }
  const records = new ContainerRecords(deps.db)
  const snapshots = createSnapshots(deps)
  const use = {
    imageInUse: (id: string) =>
      records.list().flatMap(({ id: container, imageId, mounts }) => {
        const mounted = mounts.some((mount) => mount.type === 'image' && images.idOf(mount.image) === id)
        return imageId === id || mounted ? [container] : []
      }),
    isRunning: (id: string) => ['running', 'paused', 'restarting'].includes(records.byId(id)?.status ?? ''),
  }
  const images = createImages(deps, snapshots, use, imageSettings(deps.instance.stateDir))
  const networks = createNetworks(deps)
  const sandboxes = createSandboxes(deps, networks)
  const volumes = createVolumes(deps, (name) =>
    records.list().flatMap((record) => (record.mounts.some((mount) => mount.name === name) ? [record.id] : [])),
  )
  const devices = createDevices(deps.instance.stateDir)
  const containers = createContainers(deps, { images, snapshots, sandboxes, volumes, devices }, records)
  return {
    images,
    snapshots,
    containers,
    sandboxes,
    networks,
    volumes,
    devices,
    events: deps.events,
    async recover() {
      for (const { source, row, error } of tellDamaged(deps.db))
        deps.log.error('a damaged record was put aside', { source, row: row.slice(0, 200), error })
      await snapshots.recover()
      await images.recover()
      await networks.recover()
      await sandboxes.recover()
      // Volumes after the containers: those that run hold theirs.
      await containers.recover()
      await volumes.recover()
    },
    async close() {
      await containers.close()
      await sandboxes.close()
      await snapshots.close()
    },
  }
}
