import { messageOf } from '../../../errors.ts'
import type { PersistentVolume as VolumeObject } from '../../../spec/kube/generated/types.ts'
import { PersistentVolume, PersistentVolumeClaim } from '../../../spec/kube/kinds.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { directoryFinalizer, isOurs } from './claims.ts'

const protection = 'kubernetes.io/pv-protection'

/** The phase of volumes, and what becomes of them when their claim is gone. */
export const volumes = controller({
  name: 'persistent-volume-controller',
  for: PersistentVolume,
  watches: [watch(PersistentVolumeClaim, (claim) => (claim.spec?.volumeName ? [{ name: claim.spec.volumeName }] : []))],
  async reconcile(key, context) {
    const volume = context.informers.of(PersistentVolume).get(undefined, key.name)
    if (!volume) return
    const phase = await phaseOf(volume, context)
    if (volume.metadata.deletionTimestamp) {
      if (phase !== 'Bound') await release(volume, context)
    } else if (phase === 'Released' && reclaim(volume) === 'Delete' && isOurs(volume)) {
      await setPhase(volume, phase, context)
      // With its finalizers on, it stays until its directory is gone.
      const { uid } = volume.metadata
      await context.objects.delete(PersistentVolume, keyFor(volume), { preconditions: { uid: uid! } })
      return
    } else if (!volume.metadata.finalizers?.includes(protection)) {
      const body = { metadata: { finalizers: [...(volume.metadata.finalizers ?? []), protection] } }
      await context.objects.patch(PersistentVolume, keyFor(volume), { type: 'merge', body })
      return
    }
    await setPhase(volume, phase, context)
  },
})

const reclaim = (volume: VolumeObject): string => volume.spec?.persistentVolumeReclaimPolicy ?? 'Retain'

const phaseOf = async (volume: VolumeObject, { informers, objects }: Context): Promise<string> => {
  const reference = volume.spec?.claimRef
  if (!reference?.uid) return 'Available'
  const key = { namespace: reference.namespace, name: reference.name! }
  const known = informers.of(PersistentVolumeClaim).get(key.namespace, key.name)
  if (known?.metadata.uid === reference.uid)
    return known?.spec?.volumeName === volume.metadata.name ? 'Bound' : (volume.status?.phase ?? 'Available')
  // Data is about to be removed: the server's word counts, not the informer's.
  const claim = await objects.get(PersistentVolumeClaim, key)
  return claim?.metadata.uid === reference.uid ? (volume.status?.phase ?? 'Available') : 'Released'
}

const setPhase = async (volume: VolumeObject, phase: string, { objects, informers }: Context): Promise<void> => {
  if (volume.status?.phase === phase || !informers.of(PersistentVolume).get(undefined, volume.metadata.name!)) return
  const body = { status: { ...volume.status, phase } }
  await objects.patch(PersistentVolume, keyFor(volume), { type: 'merge', body }, { subresource: 'status' })
}

/** A volume on its way out that nobody uses: removes what it holds (unless it is to be retained), then lets go of it. */
const release = async (volume: VolumeObject, { objects, options, recorder }: Context): Promise<void> => {
  const held = volume.metadata.finalizers ?? []
  const rest = held.filter((finalizer) => finalizer !== protection && finalizer !== directoryFinalizer)
  if (rest.length === held.length) return
  if (held.includes(directoryFinalizer) && isOurs(volume) && reclaim(volume) === 'Delete') {
    const path = `${options.volumeRoot}/${volume.metadata.name}`
    await options.directories.remove(path).catch((error: unknown) => {
      recorder.event(
        PersistentVolume,
        volume,
        'Warning',
        'VolumeFailedDelete',
        `cannot remove ${path}: ${messageOf(error)}`,
      )
      throw error
    })
  }
  const { uid, resourceVersion } = volume.metadata
  const body = { metadata: { uid, resourceVersion, finalizers: rest } }
  await objects.patch(PersistentVolume, keyFor(volume), { type: 'merge', body })
}
