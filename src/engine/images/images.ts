import { messageOf, SlipwayError } from '../../errors.ts'
import { cancellable } from '../../lib/cancel.ts'
import {
  type Digest,
  familiarName,
  formatReference,
  parseReference,
  type Reference,
  wholeName,
  withTag,
} from '../../spec/oci/index.ts'
import { createContent } from '../content/index.ts'
import type { EngineDeps } from '../deps.ts'
import { createDistribution } from '../distribution/index.ts'
import type { SnapshotStore } from '../snapshots/index.ts'
import type { Image, Images, PullOptions } from '../types.ts'
import { Bootstrapper, isUnreachable } from './bootstrap.ts'
import { importImage } from './import.ts'
import { indexes } from './indexes.ts'
import { LayerBlobs } from './layer-blobs.ts'
import { loadImages } from './load.ts'
import { parcels } from './parcels.ts'
import { pruneImages } from './prune.ts'
import { Puller, pullReference } from './pull.ts'
import { Pusher } from './push.ts'
import { describeRemote } from './remote.ts'
import { type ImageUse, removeImage } from './remove.ts'
import { removePlatform } from './remove-platform.ts'
import { saveImages } from './save.ts'
import type { ImageSettings } from './settings.ts'
import { ImageStore } from './store.ts'
import { imageUsage } from './usage.ts'

/** Images, with what the daemon calls at its start. */
type ImageRoom = Images & {
  /** Drops what a killed daemon left unfinished. After snapshots.recover(). */
  recover(): Promise<void>
  /** What a reference means now. */
  idOf(reference: string): Digest | undefined
}

const createImage = (store: ImageStore, { config, snapshots, name }: Parameters<Images['create']>[0]): Promise<Image> =>
  store.lease(async (lease) => {
    lease.hold(...snapshots)
    const names = name === undefined ? [] : [withTag(tagOf(name))]
    const image = await store.register({ config, snapshots, names: names.map(formatReference) })
    for (const each of names) store.emit('tag', image, familiarName(each))
    return image
  })

/** What may be a name of an image that is here. */
const tagOf = (wanted: string): Reference => {
  const reference = parseReference(wanted)
  if (reference.digest !== undefined)
    throw new SlipwayError('invalid', 'refusing to create a tag with a digest reference')
  if (familiarName({ ...reference, tag: undefined }) === 'sha256')
    throw new SlipwayError('invalid', 'refusing to create an ambiguous tag using digest algorithm as name')
  return reference
}

/** A name that stands for several images gives all of them to the new one. */
const tagImage = (store: ImageStore, source: string, wanted: string): void => {
  const image = store.must(source)
  const reference = tagOf(wanted)
  const target = formatReference(withTag(reference))
  const named = store.resolveName(source) === image.id ? wholeName(source) : undefined
  if (named !== target)
    store.records.transaction(() => {
      store.records.setName(target, image.id, store.deps.clock.now())
      if (named !== undefined) store.records.indexes.copy(named, target)
    })
  store.emit('tag', image, familiarName(withTag(reference)))
}

export const createImages = (
  deps: EngineDeps,
  snapshots: SnapshotStore,
  use: ImageUse,
  settings: ImageSettings | (() => ImageSettings) = {},
): ImageRoom => {
  const content = createContent(deps.instance.stateDir, () => deps.clock.now())
  const store = new ImageStore(deps, content, snapshots)
  // Asked anew for every operation: a changed setting counts without a restart.
  const current = typeof settings === 'function' ? settings : () => settings
  const distribution = createDistribution(deps.clock, () => current().registries ?? {})
  const puller = new Puller(store, distribution)
  const layerBlobs = new LayerBlobs(store)
  const pusher = new Pusher(store, distribution, layerBlobs)
  const sending = parcels(store, distribution, layerBlobs)
  const whole = indexes(store, sending)
  const bootstrapper = new Bootstrapper(store, () => current().bootstrap ?? {})

  return {
    get: async (reference) => store.get(reference),
    must: async (reference) => store.must(reference),
    list: async () => store.list(),
    tag: async (source, target) => tagImage(store, source, target),
    ...sending,
    keepIndex: whole.keepIndex,
    forPlatform: whole.forPlatform,
    manifests: whole.manifests,
    login: (registry, auth, signal) => cancellable(signal, () => distribution.login(registry, auth, signal)),
    remote: (reference, options = {}) =>
      cancellable(options.signal, () => describeRemote(distribution, pullReference(reference), options)),
    remoteTags: (repository, options = {}) =>
      cancellable(options.signal, () => distribution.read(parseReference(repository), options).tags()),
    registries: () => {
      const { mirrors = {}, insecure = [] } = current().registries ?? {}
      return { mirrors, insecure }
    },
    usage: () => imageUsage(store),
    async hold(reference) {
      const { snapshots: keys } = store.must(reference)
      const { lease, end } = store.openLease()
      for (const key of keys) lease.hold(key)
      return end
    },
    async remove(reference, { platform, ...options } = {}) {
      const one = platform && (await removePlatform(store, use, reference, platform, options.force ?? false))
      return (one ?? (await removeImage(store, use, reference, options))).removals
    },
    prune: (options) => pruneImages(store, use, options),
    import: (rootfs, options) => importImage(store, rootfs, options),
    create: (parts) => createImage(store, parts),
    pull: (reference, options = {}) =>
      cancellable(options.signal, () =>
        pullOrBuild(puller, bootstrapper, current().bootstrap?.enabled ?? true, pullReference(reference), options),
      ),
    push: (reference, options = {}) =>
      cancellable(
        options.signal,
        async () => whole.pushIndex(pullReference(reference), options) ?? pusher.push(reference, options),
      ),
    load: (archive, options = {}) => cancellable(options.signal, () => loadImages(store, archive, options)),
    save: (references, options = {}) => saveImages(store, sending.packing, references, options),
    bootstrap: (reference, options = {}) =>
      cancellable(options.signal, async () => bootstrapper.build(pullReference(reference), options)),
    idOf: (reference) => store.resolve(reference),
    async recover() {
      await store.recover()
      await bootstrapper.recover()
    },
  }
}

/** A registry nobody can reach must not stop a build that Debian's own archive can serve. */
const pullOrBuild = async (
  puller: Puller,
  bootstrapper: Bootstrapper,
  allowed: boolean,
  reference: Reference,
  options: PullOptions,
): Promise<Image> => {
  try {
    return await puller.pull(reference, options)
  } catch (error) {
    const may = (options.bootstrap ?? true) && allowed
    if (!may || !isUnreachable(error) || !bootstrapper.offers(reference, options.platform)) throw error
    const name = familiarName(reference)
    const recent = bootstrapper.recent(reference)
    if (recent) {
      options.progress?.({ status: `Status: Image is up to date for ${name} (no registry could be reached)` })
      return recent
    }
    const image = await bootstrapper.build(reference, options).catch((cause: unknown) => {
      if (!isUnreachable(cause)) throw cause
      const hint = `Building it from Debian's package archive failed too: ${messageOf(cause)}`
      throw new SlipwayError('unavailable', messageOf(error), { cause, hint })
    })
    options.progress?.({
      status: `no registry could be reached; built ${name} from Debian's package archive`,
      notice: true,
    })
    return image
  }
}
