import { existsSync, readdirSync } from 'node:fs'
import { cpus, hostname } from 'node:os'
import { pipeline } from 'node:stream/promises'
import { changedConfig } from '../../build/index.ts'
import type { Engine, Image, MountSpec } from '../../engine/types.ts'
import { isError, SlipwayError } from '../../errors.ts'
import { parsePlatform } from '../../spec/oci/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { archiveRoutes } from './container-archive.ts'
import { attach, attachWebSocket } from './container-attach.ts'
import { planCreate } from './container-create.ts'
import { checkResources, type Parts } from './container-limits.ts'
import { byLink, splitLink, withoutLink } from './container-links.ts'
import { listContainers } from './container-list.ts'
import { logDetails } from './container-log.ts'
import { freeName } from './container-name.ts'
import { updateOf } from './container-update.ts'
import { inspectView, originOf } from './container-views.ts'
import { Filters, instant, isTrue } from './filters.ts'
import { sendLogs, streamType, terminalSize } from './io.ts'
import { type Exchange, type Route, route } from './server.ts'
import { configShape, createShape, updateShape } from './shapes.ts'
import type { CreateBody, HostConfig } from './wire.ts'

export type ContainerBackend = Pick<
  Engine,
  'containers' | 'images' | 'sandboxes' | 'networks' | 'volumes' | 'snapshots' | 'events'
>

const bad = (message: string): SlipwayError => new SlipwayError('bad-request', message)
const seconds = (value: string | null): number | undefined =>
  value === null || value === '' ? undefined : Number(value) < 0 ? 1e9 : Number(value) * 1000

const lifecycleRoutes = (engine: ContainerBackend): Route[] => {
  const { containers } = engine
  return [
    route('POST', '/containers/:id/start', (x) => start(engine, x)),
    route('POST', '/containers/:id/stop', async (x) => {
      const { changed } = await containers.stop(x.params.id!, {
        timeoutMs: seconds(x.query.get('t')),
        signal: (x.version[1] >= 42 && x.query.get('signal')) || undefined,
      })
      x.send(changed ? 204 : 304)
    }),
    route('POST', '/containers/:id/restart', async (x) => {
      await containers.restart(x.params.id!, {
        timeoutMs: seconds(x.query.get('t')),
        signal: (x.version[1] >= 42 && x.query.get('signal')) || undefined,
      })
      x.send(204)
    }),
    route('POST', '/containers/:id/kill', async (x) => {
      if (!containers.get(x.params.id!))
        throw new SlipwayError('not-found', `cannot kill container: ${x.params.id}: No such container: ${x.params.id}`)
      await containers.kill(x.params.id!, x.query.get('signal') || 'SIGKILL')
      x.send(204)
    }),
    route('POST', '/containers/:id/pause', async (x) => {
      await containers.pause(x.params.id!)
      x.send(204)
    }),
    route('POST', '/containers/:id/unpause', async (x) => {
      await containers.unpause(x.params.id!)
      x.send(204)
    }),
    route('POST', '/containers/:id/rename', async (x) => {
      const name = x.query.get('name') ?? ''
      if (name === '') throw bad('Neither old nor new names may be empty')
      await containers.rename(x.params.id!, name.replace(/^\//, ''))
      x.send(204)
    }),
    route('POST', '/containers/:id/resize', async (x) => {
      await containers.resize(x.params.id!, terminalSize(x))
      x.send(200)
    }),
    route('POST', '/containers/:id/update', async (x) => {
      const body = await x.json<HostConfig>(updateShape)
      checkResources(body, machineParts(), true)
      const change = x.version[1] < 40 ? { ...body, PidsLimit: null } : body
      await containers.update(x.params.id!, updateOf(change, containers.must(x.params.id!)))
      x.send(200, { Warnings: [] })
    }),
  ]
}

/** `root`: the daemon's data, as /info tells it. */
export const containerRoutes = (engine: ContainerBackend, clock: Clock, root: string): Route[] => {
  const { containers } = engine
  return [
    route('GET', '/containers/json', (x) => listContainers(engine, clock, x)),
    route('POST', '/containers/create', (x) => create(engine, root, x)),
    route('POST', '/containers/prune', (x) => prune(engine, clock, x)),
    route('GET', '/containers/:id*/json', async (x) =>
      x.send(
        200,
        await inspectView(byLink(containers, x.params.id!), engine, {
          size: isTrue(x.query.get('size')),
          version: x.version,
        }),
      ),
    ),
    ...lifecycleRoutes(engine),
    route('POST', '/containers/:id/wait', (x) => wait(engine, x)),
    route('POST', '/containers/:id/attach', (x) => attach(engine, x)),
    route('GET', '/containers/:id/attach/ws', (x) => attachWebSocket(engine, x)),
    route('GET', '/containers/:id/logs', (x) => logs(engine, clock, x)),
    route('GET', '/containers/:id/top', async (x) => {
      const { titles, processes } = await containers.top(
        x.params.id!,
        (x.query.get('ps_args') ?? '-ef').split(/\s+/).filter(Boolean),
      )
      x.send(200, { Titles: titles, Processes: processes })
    }),
    route('GET', '/containers/:id/changes', async (x) => {
      const kinds = { modified: 0, added: 1, deleted: 2 } as const
      const changes = await containers.changes(x.params.id!)
      x.send(200, changes.length > 0 ? changes.map((c) => ({ Path: c.path, Kind: kinds[c.kind] })) : null)
    }),
    route('GET', '/containers/:id/export', async (x) => {
      const tar = await containers.exportRootfs(x.params.id!)
      await pipeline(tar, x.stream(200, 'application/x-tar'))
    }),
    route('DELETE', '/containers/:id', async (x) => {
      if (isTrue(x.query.get('link'))) {
        containers.must(x.params.id!)
        throw new SlipwayError('internal', 'Conflict, cannot remove the default link name of the container')
      }
      await remove(engine, x, x.params.id!)
    }),
    route('DELETE', '/containers/:id/:alias', async (x) => {
      const { id: parent, alias } = x.params
      const { id } = byLink(containers, `${parent}/${alias}`)
      if (isTrue(x.query.get('link'))) {
        await containers.unlink(parent!, alias!, withoutLink(containers.must(parent!), alias!))
        x.send(204)
      } else await remove(engine, x, id)
    }),
    ...archiveRoutes(engine),
    route('POST', '/commit', (x) => commit(engine, x)),
  ]
}

const remove = async ({ containers }: ContainerBackend, x: Exchange, reference: string): Promise<void> => {
  await containers.remove(reference, { force: isTrue(x.query.get('force')), volumes: isTrue(x.query.get('v')) })
  x.send(204)
}

const start = async (engine: ContainerBackend, x: Exchange): Promise<void> => {
  const length = x.headers['transfer-encoding'] ? -1 : Number(x.headers['content-length'] ?? 0)
  if (length > 7 || length === -1)
    throw bad('starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24')
  if (x.query.get('checkpoint')) throw bad('checkpoint is only supported in experimental mode')
  const { changed } = await engine.containers.start(x.params.id!)
  x.send(changed ? 204 : 304)
}

const create = async (engine: ContainerBackend, root: string, x: Exchange): Promise<void> => {
  const body = await x.json<CreateBody>(createShape)
  const name = (x.query.get('name') ?? '').replace(/^\//, '') || freeName(engine.containers)
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw bad(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
  const wanted = (x.version[1] < 41 ? undefined : x.query.get('platform')) || undefined
  const platform = wanted === undefined ? undefined : parsePlatform(wanted)
  const here = body.Image ? await engine.images.get(body.Image) : undefined
  const image = here && platform ? await engine.images.forPlatform(body.Image!, platform) : here
  checkPlatform(wanted, body.Image ?? '', image)
  const imagePorts = Object.keys(image?.config.config?.ExposedPorts ?? {})
  const imagePortsOf = await portsOfLinked(engine, body.HostConfig?.Links ?? [])
  // An image that is missing is said before anything is made.
  if (body.Image && !image) await engine.images.must(body.Image)
  const { spec, volumes, warnings } = planCreate(name, body, {
    container: (r) => {
      const other = engine.containers.get(r)
      if (!other) throw bad(`No such container: ${r}`)
      return other
    },
    networkName: (r) => engine.networks.get(r)?.spec.name ?? r,
    exposedBy: (other) => [
      ...new Set([
        ...Object.keys(originOf(other)?.Config.ExposedPorts ?? {}),
        ...(imagePortsOf.get(other.imageId) ?? []),
      ]),
    ],
    imagePorts,
    parts: machineParts(),
    hostname: hostname(),
    version: x.version,
    root,
  })
  checkSources(spec.mounts)
  for (const volume of volumes) await engine.volumes.create(volume)
  // Only where another image is meant: a name may stand for several.
  const chosen = platform && image !== undefined && image.id !== here?.id ? { platform } : {}
  const created = await engine.containers.create({ ...spec, ...chosen }).catch((error: unknown) => {
    throw notTheImage(error)
  })
  x.send(201, { Id: created.id, Warnings: warnings })
}

/** Of `--mount`; `-v` makes what is missing when the container starts. */
const checkSources = (mounts: readonly MountSpec[]): void => {
  for (const mount of mounts)
    if (mount.type === 'bind' && !mount.createSource && !existsSync(mount.source))
      throw bad(`invalid mount config for type "bind": bind source path does not exist: ${mount.source}`)
}

/** By image: what the images of linked containers expose. */
const portsOfLinked = async (engine: ContainerBackend, links: readonly string[]): Promise<Map<string, string[]>> => {
  const ports = new Map<string, string[]>()
  for (const link of links) {
    const imageId = engine.containers.get(splitLink(link).reference)?.imageId
    const image = imageId === undefined ? undefined : await engine.images.get(imageId)
    if (image) ports.set(imageId!, Object.keys(image.config.config?.ExposedPorts ?? {}))
  }
  return ports
}

const nodesDir = '/sys/devices/system/node'
const machineParts = (): Parts => ({
  cpus: cpus().length,
  // A kernel without NUMA has no such directory.
  nodes: existsSync(nodesDir) ? readdirSync(nodesDir).filter((name) => /^node\d+$/.test(name)).length : 1,
})

/** To the docker client, 'not found' means that the image has to be pulled. */
const notTheImage = (error: unknown): unknown =>
  isError(error, 'not-found')
    ? new SlipwayError('bad-request', error.message, { hint: error.hint, cause: error })
    : error

const checkPlatform = (wanted: string | undefined, name: string, image: Image | undefined): void => {
  if (!wanted || !image) return
  const [os, architecture, variant] = wanted.split('/')
  const { platform } = image
  if (os === platform.os && (!architecture || architecture === platform.architecture)) {
    if (!variant || !platform.variant || variant === platform.variant) return
  }
  throw new SlipwayError(
    'not-found',
    `image with reference ${name} was found but does not provide the specified platform (${wanted})`,
  )
}

/** Called before start: the headers must be out at once, or client and server wait for each other. */
const wait = async (engine: ContainerBackend, x: Exchange): Promise<void> => {
  // Before 1.30 there was only one.
  const condition = (x.version[1] >= 30 && x.query.get('condition')) || 'not-running'
  if (condition !== 'not-running' && condition !== 'next-exit' && condition !== 'removed')
    throw bad(`invalid condition: "${condition}"`)
  const { id } = engine.containers.must(x.params.id!)
  const result = engine.containers.wait(id, condition, x.signal)
  const out = x.stream(200, 'application/json')
  try {
    const { exitCode, error } = await result
    out.end(`${JSON.stringify({ StatusCode: exitCode, ...(error ? { Error: { Message: error } } : {}) })}\n`)
  } catch (error) {
    if (!x.signal.aborted)
      out.end(
        `${JSON.stringify({ StatusCode: -1, Error: { Message: isError(error) ? error.message : String(error) } })}\n`,
      )
  }
}

const logs = async (engine: ContainerBackend, clock: Clock, x: Exchange): Promise<void> => {
  const container = engine.containers.must(x.params.id!)
  const stdout = isTrue(x.query.get('stdout'))
  const stderr = isTrue(x.query.get('stderr'))
  if (!stdout && !stderr) throw bad('Bad parameters: you must choose at least one stream')
  if (container.spec.log.driver === 'none')
    throw new SlipwayError('unsupported', 'configured logging driver does not support reading')
  const tail = x.query.get('tail')
  const lines = engine.containers.logs(container.id, {
    stdout,
    stderr,
    follow: isTrue(x.query.get('follow')),
    tail: tail === null || tail === '' || tail === 'all' || Number(tail) < 0 ? undefined : Number(tail),
    since: instant(x.query.get('since') ?? '', clock.now()),
    until: instant(x.query.get('until') ?? '', clock.now()),
    signal: x.signal,
  })
  const out = x.stream(200, streamType(container.spec.tty, x.version))
  await sendLogs(out, lines, {
    tty: container.spec.tty,
    timestamps: isTrue(x.query.get('timestamps')),
    details: isTrue(x.query.get('details')) ? logDetails(container) : undefined,
  })
}

const prune = async (engine: ContainerBackend, clock: Clock, x: Exchange): Promise<void> => {
  const filters = Filters.parse(x.query.get('filters'), ['label', 'label!', 'until'])
  const until = filters.time('until', clock.now())
  const removed: string[] = []
  let space = 0
  for (const c of engine.containers.list()) {
    if (!['created', 'exited', 'dead'].includes(c.status) || !filters.labels(c.spec.labels)) continue
    if ('shared' in c.spec.sandbox) continue // a pod's: its node cleans up
    if (filters.has('label!') && filters.labels(c.spec.labels, 'label!')) continue
    if (until !== undefined && c.createdAt > until) continue
    space += await engine.containers.diskUsage(c.id)
    await engine.containers.remove(c.id, { volumes: false })
    removed.push(c.id)
  }
  x.send(200, { ContainersDeleted: removed.length > 0 ? removed : null, SpaceReclaimed: space })
}

const commit = async (engine: ContainerBackend, x: Exchange): Promise<void> => {
  const config = await x.json<Record<string, unknown>>(configShape)
  const repo = x.query.get('repo')
  const tag = x.query.get('tag')
  const changes = x.query
    .getAll('changes')
    .flatMap((c) => c.split('\n'))
    .filter((c) => c.trim() !== '')
  const image = await engine.containers.commit(x.query.get('container') ?? '', {
    ...(repo ? { name: tag ? `${repo}:${tag}` : repo } : {}),
    ...(Object.keys(config).length > 0 ? { config: config as never } : {}),
    ...(changes.length > 0 ? { change: (base) => changedConfig(base, changes) } : {}),
    message: x.query.get('comment') ?? '',
    author: x.query.get('author') ?? '',
    pause: x.query.get('pause') === null || isTrue(x.query.get('pause')),
  })
  x.send(201, { Id: image.id })
}
