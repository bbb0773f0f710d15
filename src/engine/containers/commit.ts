import { closeSync, constants, readdirSync } from 'node:fs'
import { messageOf, SlipwayError } from '../../errors.ts'
import { decodeName, packTar, type TarMember } from '../../lib/tar/index.ts'
import { chainIds, type Digest, type ImageConfig, type ImageProcessConfig } from '../../spec/oci/index.ts'
import type { Containers, Image } from '../types.ts'
import { type Context, emit, isRunning } from './context.ts'
import { snapshotKey } from './create.ts'
import { mergeEnv } from './process.ts'
import { packMembers } from './pack.ts'
import type { ContainerRecord } from './records.ts'
import { isNone } from './process.ts'
import { pause, unpause } from './stop.ts'
import { openView, type View } from './view.ts'

const changes =
  (ctx: Context): Containers['changes'] =>
  async (reference) =>
    ctx.snapshots.changes(snapshotKey(ctx.records.must(reference).id))

const diskUsage =
  (ctx: Context): Containers['diskUsage'] =>
  async (reference) =>
    (await ctx.snapshots.stat(snapshotKey(ctx.records.must(reference).id)))?.size ?? 0

const everything = async function* (ctx: Context, view: View): AsyncGenerator<TarMember> {
  const root = ctx.sys.files.openInRoot(view.root, '/', constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const walk = { files: ctx.sys.files, seen: new Map<string, string>() }
    for (const name of readdirSync(`/proc/self/fd/${root}`, { encoding: 'buffer' }).sort(Buffer.compare)) {
      const decoded = decodeName(name)
      yield* packMembers(walk, root, decoded, decoded)
    }
  } finally {
    closeSync(root)
  }
}

/** docker export: the root file system as the container sees it, without what is mounted into it. */
const exportRootfs =
  (ctx: Context): Containers['exportRootfs'] =>
  async (reference) => {
    const view = await openView(ctx, reference, false)
    const tar = packTar(everything(ctx, view))
    tar.once('close', () => void view.release())
    emit(ctx, ctx.records.must(reference), 'export')
    return tar
  }

/** The configuration of a container, as an image's: what it was given over what its image says. */
const configOf = ({ spec, process, mounts }: ContainerRecord, image: ImageProcessConfig): ImageProcessConfig => {
  const volumes = mounts.flatMap(({ type, target }) => (type === 'volume' ? [[target, {}]] : []))
  const entrypoint = isNone(spec.entrypoint) ? undefined : (spec.entrypoint ?? image.Entrypoint)
  return {
    ...image,
    Env: process.env.filter((entry) => entry.includes('=')),
    User: process.user,
    WorkingDir: process.cwd,
    Entrypoint: entrypoint,
    Cmd: spec.cmd?.length ? spec.cmd : spec.entrypoint?.length ? undefined : image.Cmd,
    Labels: { ...image.Labels, ...spec.labels },
    ...(volumes.length > 0 ? { Volumes: { ...image.Volumes, ...Object.fromEntries(volumes) } } : {}),
    ...(spec.stopSignal === undefined ? {} : { StopSignal: spec.stopSignal }),
    ...(spec.healthcheck === undefined ? {} : { Healthcheck: spec.healthcheck }),
  }
}

/** What is given wins, as far as it says something; variables, labels, ports and volumes are added. */
const merged = (own: ImageProcessConfig, given: ImageProcessConfig): ImageProcessConfig => {
  const said = Object.fromEntries(
    Object.entries(given).filter(([, v]) => v && (typeof v !== 'object' || Object.keys(v as object).length > 0)),
  ) as ImageProcessConfig
  const { Entrypoint, Cmd } = said
  return {
    ...own,
    ...said,
    // A command is for the entry point it was given with.
    ...(Entrypoint && !Cmd ? { Cmd: undefined } : {}),
    Env: mergeEnv(own.Env ?? [], given.Env ?? []),
    Labels: { ...own.Labels, ...given.Labels },
    ...(own.ExposedPorts || given.ExposedPorts ? { ExposedPorts: { ...own.ExposedPorts, ...given.ExposedPorts } } : {}),
    ...(own.Volumes || given.Volumes ? { Volumes: { ...own.Volumes, ...given.Volumes } } : {}),
  }
}

/** What the container has written as a layer of its own; undefined: nothing. */
const layerOf = async ({ snapshots }: Context, { id }: ContainerRecord, base: Image): Promise<string | undefined> => {
  const key = snapshotKey(id)
  if ((await snapshots.changes(key)).length === 0) return undefined
  // The same changes are made to very different images: only with what is below they are the same layer.
  const name = (diffId: Digest): string => chainIds([...base.config.rootfs.diff_ids, diffId]).at(-1)!
  const unpacked = await snapshots.unpack(name, base.snapshots.at(-1), { stream: await snapshots.diff(key) })
  if (!unpacked) throw new SlipwayError('internal', 'the layer of the container was not made')
  return unpacked.name
}

const makeImage = async (
  ctx: Context,
  record: ContainerRecord,
  options: Parameters<Containers['commit']>[1],
): Promise<Image> => {
  const base = await ctx.images.must(record.imageId)
  const layer = await layerOf(ctx, record, base)
  const created = new Date(ctx.clock.now()).toISOString()
  const { rootfs: _, ...rest } = base.config
  const own = configOf(record, base.config.config ?? {})
  const config: Omit<ImageConfig, 'rootfs'> = {
    ...rest,
    created,
    author: options.author ?? '',
    parent: base.id,
    container: record.id,
    container_config: { ...own, Image: record.spec.image },
    config: (options.change ?? ((same) => same))(merged(own, options.config ?? {})),
    history: [
      ...(base.config.history ?? []),
      {
        ...{ created, created_by: record.process.args.join(' '), author: options.author, comment: options.message },
        ...(layer === undefined && { empty_layer: true }),
      },
    ],
  }
  const named = options.name === undefined ? {} : { name: options.name }
  return ctx.images.create({
    config,
    snapshots: [...base.snapshots, ...(layer === undefined ? [] : [layer])],
    ...named,
  })
}

/** docker commit. A running container is frozen meanwhile, unless the caller does not want it. */
const commit =
  (ctx: Context): Containers['commit'] =>
  async (reference, options) => {
    const record = ctx.records.must(reference)
    const freeze = options.pause !== false && isRunning(record) && record.status !== 'paused'
    if (freeze)
      await pause(ctx, record.id, { briefly: true }).catch((error: unknown) =>
        // It ends by itself just now: nothing writes any more.
        ctx.log.debug('committed without a pause', { id: record.id, error: messageOf(error) }),
      )
    try {
      const image = await makeImage(ctx, record, options)
      emit(ctx, record, 'commit', { comment: options.message ?? '', imageID: image.id, imageRef: options.name ?? '' })
      return image
    } finally {
      if (freeze && ctx.records.byId(record.id)?.status === 'paused')
        await unpause(ctx, record.id).catch((error: unknown) =>
          ctx.log.warn('not unpaused after a commit', { id: record.id, error: messageOf(error) }),
        )
    }
  }

/** What is asked of the layer a container writes to. */
export const layers = (ctx: Context): Pick<Containers, 'changes' | 'diskUsage' | 'exportRootfs' | 'commit'> => ({
  changes: changes(ctx),
  diskUsage: diskUsage(ctx),
  exportRootfs: exportRootfs(ctx),
  commit: commit(ctx),
})
