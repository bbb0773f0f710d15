/** docker cp: what a path is, and tar streams in and out. */
import { pipeline } from 'node:stream/promises'
import type { Engine } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { iso } from './container-views.ts'
import { isTrue } from './filters.ts'
import { type Exchange, type Route, route } from './server.ts'

const statHeader = (stat: { name: string; size: number; mode: number; mtime: number; linkTarget: string }): string =>
  Buffer.from(
    JSON.stringify({
      name: stat.name,
      size: stat.size,
      mode: goMode(stat.mode),
      mtime: iso(stat.mtime),
      linkTarget: stat.linkTarget,
    }),
  ).toString('base64')

/** st_mode as Go's os.FileMode: type bits from the top, permissions below. */
const goMode = (mode: number): number => {
  const types: Record<number, number> = {
    0o040000: 2 ** 31,
    0o120000: 2 ** 27,
    0o010000: 2 ** 25,
    0o140000: 2 ** 24,
    0o060000: 2 ** 26,
    0o020000: 2 ** 26 + 2 ** 21,
  }
  const special = (mode & 0o4000 ? 2 ** 23 : 0) + (mode & 0o2000 ? 2 ** 22 : 0) + (mode & 0o1000 ? 2 ** 20 : 0)
  return (types[mode & 0o170000] ?? 0) + special + (mode & 0o777)
}

export const archiveRoutes = ({ containers }: Pick<Engine, 'containers'>): Route[] => {
  const pathOf = (x: Exchange): string => {
    const path = x.query.get('path')
    if (!path) throw new SlipwayError('bad-request', "'path' cannot be empty")
    return path
  }
  return [
    route('HEAD', '/containers/:id/archive', async (x) => {
      const stat = await containers.statPath(x.params.id!, pathOf(x))
      x.send(200, undefined, { 'X-Docker-Container-Path-Stat': statHeader(stat) })
    }),
    route('GET', '/containers/:id/archive', async (x) => {
      const { stat, tar } = await containers.readArchive(x.params.id!, pathOf(x))
      await pipeline(tar, x.stream(200, 'application/x-tar', { 'X-Docker-Container-Path-Stat': statHeader(stat) }))
    }),
    route('PUT', '/containers/:id/archive', async (x) => {
      await containers.writeArchive(x.params.id!, pathOf(x), x.upload(), {
        noOverwriteDirNonDir: isTrue(x.query.get('noOverwriteDirNonDir')),
        copyUidGid: isTrue(x.query.get('copyUIDGID')),
      })
      await x.drained()
      x.send(200)
    }),
  ]
}
