/** What goes to a registry or comes from one without being an image of ours: indexes, build caches. */
import { SlipwayError } from '../../errors.ts'
import { cancellable } from '../../lib/cancel.ts'
import { Semaphore } from '../../lib/semaphore.ts'
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  layerCompression,
  type Reference,
  repositoryOf,
} from '../../spec/oci/index.ts'
import type { Distribution } from '../distribution/index.ts'
import type { Images, Packing, Parcel, ParcelPart, PullOptions, RemoteDocument } from '../types.ts'
import type { LayerBlobs } from './layer-blobs.ts'
import { pullReference } from './pull.ts'
import type { ImageStore } from './store.ts'

type Parcels = Pick<Images, 'packing' | 'send' | 'document'>
type SendOptions = NonNullable<Parameters<Images['send']>[2]>
const parallelUploads = 3

const openPacking = (store: ImageStore, blobs: LayerBlobs): Packing => {
  const { lease, end } = store.openLease()
  return {
    async layer(snapshot, form, signal) {
      lease.hold(snapshot)
      const { diffId, digest, size, mediaType, make } = await blobs.in(form, lease, snapshot, signal)
      return { mediaType: ociType(mediaType), digest, size, diffId, make }
    },
    close: end,
  }
}

const ociType = (type: string): string => {
  const compression = layerCompression(type)
  return `application/vnd.oci.image.layer.v1.tar${compression === 'none' ? '' : `+${compression}`}`
}

const isDocument = ({ descriptor: { mediaType } }: ParcelPart): boolean =>
  isIndexType(mediaType) || isManifestType(mediaType)

const sendParcel = async (
  store: ImageStore,
  distribution: Distribution,
  reference: Reference,
  { parts, root }: Parcel,
  options: SendOptions,
): Promise<Descriptor> => {
  const uploads = distribution.write(reference, [], options)
  const slots = new Semaphore(parallelUploads)
  const say = options.progress ?? (() => {})
  const failed = new AbortController()
  const blobs = new Map(parts.filter((part) => !isDocument(part)).map((part) => [part.descriptor.digest, part]))
  const tasks = [...blobs.values()].map((part) =>
    slots.run(async () => {
      failed.signal.throwIfAborted()
      options.signal?.throwIfAborted()
      const { descriptor } = part
      const id = descriptor.digest.slice(7, 19)
      // Nothing is compressed that the registry has.
      if (await uploads.has(descriptor)) {
        say({ id, status: 'Layer already exists' })
        return
      }
      const from = 'make' in part ? { file: await part.make() } : { data: part.data }
      await uploads.put(descriptor, from, [], (current) =>
        say({ id, status: 'Pushing', current, total: descriptor.size }),
      )
      say({ id, status: 'Pushed' })
    }),
  )
  for (const task of tasks) task.catch((error: unknown) => failed.abort(error))
  await Promise.allSettled(tasks)
  await Promise.all(tasks)
  for (const part of parts.filter(isDocument)) {
    if (!('data' in part)) throw new SlipwayError('internal', 'a manifest in a file')
    await uploads.manifest(part.descriptor.digest, part.descriptor.mediaType, part.data)
  }
  const name = options.byDigest || reference.tag === undefined ? root.descriptor.digest : reference.tag
  await uploads.manifest(name, root.descriptor.mediaType, root.data)
  if (options.image !== undefined)
    store.records.setRepoDigest(`${repositoryOf(reference)}@${root.descriptor.digest}`, options.image)
  return root.descriptor
}

const openDocument = async (
  store: ImageStore,
  distribution: Distribution,
  reference: Reference,
  options: Pick<PullOptions, 'auth' | 'signal'>,
): Promise<RemoteDocument> => {
  const repository = distribution.read(reference, options)
  const { mediaType, digest, body } = await repository.manifest(reference.digest ?? reference.tag!)
  const { lease, end } = store.openLease()
  return {
    descriptor: { mediaType, digest, size: body.length },
    body,
    manifest: async (wanted) => (await repository.manifest(wanted)).body,
    small: (descriptor) => repository.smallBlob(descriptor),
    async download(descriptor, progress = () => {}) {
      lease.blob(descriptor.digest)
      if (!store.content.has(descriptor.digest)) {
        // A file of its own: an image that has this layer may be on its way at the same time.
        const staged = await store.content.stage()
        try {
          await repository.download(descriptor, staged.path, (bytes) => {
            options.signal?.throwIfAborted()
            progress(bytes)
          })
          await staged.adopt(descriptor.digest)
        } finally {
          await staged.drop()
        }
      }
      return store.content.path(descriptor.digest)
    },
    close: end,
  }
}

export const parcels = (store: ImageStore, distribution: Distribution, blobs: LayerBlobs): Parcels => ({
  packing: () => openPacking(store, blobs),
  send: (reference, parcel, options = {}) =>
    cancellable(options.signal, () => sendParcel(store, distribution, pullReference(reference), parcel, options)),
  document: (reference, options = {}) =>
    cancellable(options.signal, () => openDocument(store, distribution, pullReference(reference), options)),
})
