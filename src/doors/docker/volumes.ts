import type { Engine, Volume } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { iso } from './container-views.ts'
import { Filters, isTrue } from './filters.ts'
import { type Route, route } from './server.ts'
import { volumeShape } from './shapes.ts'

type Backend = Pick<Engine, 'volumes' | 'containers'>

const view = (v: Volume) => ({
  CreatedAt: iso(v.createdAt).replace(/\.\d+Z/, 'Z'),
  Driver: v.spec.driver,
  Labels: v.anonymous
    ? { 'com.docker.volume.anonymous': '', ...v.spec.labels }
    : Object.keys(v.spec.labels).length > 0
      ? v.spec.labels
      : null,
  Mountpoint: v.mountpoint,
  Name: v.spec.name,
  Options: Object.keys(v.spec.options).length > 0 ? v.spec.options : null,
  Scope: 'local',
})

export const volumeRoutes = (engine: Backend): Route[] => {
  const { volumes } = engine
  const used = (name: string): boolean =>
    engine.containers.list().some((c) => c.mounts.some((m) => m.type === 'volume' && (m.name ?? m.volume) === name))
  return [
    route('GET', '/volumes', (x) => {
      const filters = Filters.parse(x.query.get('filters'), ['dangling', 'driver', 'label', 'name'])
      const dangling = filters.flag('dangling')
      const found = volumes
        .list()
        .filter((v) => filters.labels(v.spec.labels))
        .filter((v) => filters.any('name', (n) => v.spec.name.includes(n)))
        .filter((v) => filters.any('driver', (d) => v.spec.driver === d))
        .filter((v) => dangling === undefined || !used(v.spec.name) === dangling)
      x.send(200, { Volumes: found.map(view), Warnings: null })
    }),
    route('POST', '/volumes/create', async (x) => {
      const body = await x.json<{
        Name?: string
        Driver?: string
        DriverOpts?: Record<string, string> | null
        Labels?: Record<string, string> | null
      }>(volumeShape)
      const driver = body.Driver || 'local'
      if (driver !== 'local')
        throw new SlipwayError(
          'not-found',
          `create ${body.Name ?? ''}: error looking up volume plugin ${driver}: plugin "${driver}" not found`,
        )
      const volume = await volumes.create({
        name: body.Name ?? '',
        driver,
        options: body.DriverOpts ?? {},
        labels: body.Labels ?? {},
      })
      x.send(201, view(volume))
    }),
    route('POST', '/volumes/prune', async (x) => {
      const filters = Filters.parse(x.query.get('filters'), ['all', 'label', 'label!'])
      // Since 1.42 only anonymous ones go unless asked.
      const all = filters.flag('all') ?? x.version[1] < 42
      const removed: string[] = []
      let space = 0
      for (const v of volumes.list()) {
        if ((!all && !v.anonymous) || used(v.spec.name) || !filters.labels(v.spec.labels)) continue
        if (filters.has('label!') && filters.labels(v.spec.labels, 'label!')) continue
        space += await volumes.size(v.spec.name)
        await volumes.remove(v.spec.name)
        removed.push(v.spec.name)
      }
      x.send(200, { VolumesDeleted: removed.length > 0 ? removed : null, SpaceReclaimed: space })
    }),
    route('GET', '/volumes/:name', (x) => {
      const volume = volumes.get(x.params.name!)
      if (!volume) throw new SlipwayError('not-found', `get ${x.params.name}: no such volume`)
      x.send(200, view(volume))
    }),
    route('DELETE', '/volumes/:name', async (x) => {
      const name = x.params.name!
      const force = isTrue(x.query.get('force'))
      if (!volumes.get(name)) {
        if (force) return x.send(204)
        throw new SlipwayError('not-found', `get ${name}: no such volume`)
      }
      await volumes.remove(name, { force })
      x.send(204)
    }),
  ]
}
