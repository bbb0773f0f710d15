import { messageOf } from '../../../errors.ts'
import { formatBytes } from '../../../lib/quantity.ts'
import type {
  PersistentVolumeClaim as ClaimObject,
  ObjectReference,
  StorageClass as StorageClassObject,
  PersistentVolume as VolumeObject,
} from '../../../spec/kube/generated/types.ts'
import { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../../spec/kube/kinds.ts'
import { equal } from '../objects/meta.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import {
  bindCompleted,
  boundByController,
  type ClaimStep,
  capacityOf,
  planClaim,
  provisioner,
  requested,
  volumeName,
} from './claim-plan.ts'

const provisionedBy = 'pv.kubernetes.io/provisioned-by'
/** Keeps a volume that is deleted until its directory is gone. */
export const directoryFinalizer = 'external-provisioner.volume.kubernetes.io/finalizer'

const isUnbound = (claim: ClaimObject): boolean => claim.metadata.annotations?.[bindCompleted] === undefined

/** Binds claims to volumes, makes volumes for those that need one, and lets bound ones grow. */
export const claims = controller({
  name: 'persistent-volume-binder',
  for: PersistentVolumeClaim,
  watches: [
    watch(PersistentVolume, (volume, { informers }) => {
      const reference = volume.spec?.claimRef
      if (reference) return [{ namespace: reference.namespace, name: reference.name! }]
      return informers.of(PersistentVolumeClaim).list().filter(isUnbound).map(keyFor)
    }),
    watch(StorageClass, (_, { informers }) => informers.of(PersistentVolumeClaim).list().filter(isUnbound).map(keyFor)),
  ],
  async reconcile(key, context) {
    const { informers } = context
    const claim = informers.of(PersistentVolumeClaim).get(key.namespace, key.name)
    if (!claim) return
    const step = planClaim(claim, {
      volumes: informers.of(PersistentVolume).list(),
      classes: informers.of(StorageClass).list(),
      node: (name) => informers.of(Node).get(undefined, name),
    })
    // A claim that is going takes nothing new.
    if (claim.metadata.deletionTimestamp && step.to !== 'lost') return
    await perform(step, claim, context)
  },
})

const perform = async (step: ClaimStep, claim: ClaimObject, context: Context): Promise<void> => {
  const { objects, recorder } = context
  switch (step.to) {
    case 'class': {
      const body = { spec: { storageClassName: step.name } }
      await objects.patch(PersistentVolumeClaim, keyFor(claim), { type: 'merge', body })
      return
    }
    case 'wait':
      recorder.event(PersistentVolumeClaim, claim, step.type, step.reason, step.message)
      return setStatus(claim, { ...claim.status, phase: 'Pending' }, context)
    case 'provision':
      return provision(claim, context)
    case 'bind':
      return bind(claim, step.volume, context)
    case 'lost':
      if (claim.status?.phase !== 'Lost')
        recorder.event(PersistentVolumeClaim, claim, 'Warning', step.reason, step.message)
      return setStatus(claim, { phase: 'Lost' }, context)
    case 'bound':
      return keepBound(claim, step.volume, context)
  }
}

const setStatus = async (claim: ClaimObject, status: ClaimObject['status'], { objects }: Context): Promise<void> => {
  if (!equal(status, claim.status)) await objects.updateStatus(PersistentVolumeClaim, { ...claim, status })
}

const classOf = (claim: ClaimObject, { informers }: Context): StorageClassObject | undefined =>
  informers.of(StorageClass).get(undefined, claim.spec?.storageClassName ?? '')

const referenceTo = ({ metadata: { namespace, name, uid, resourceVersion } }: ClaimObject): ObjectReference => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  namespace,
  name,
  uid,
  resourceVersion,
})

/**
 * First the object, then the directory: a volume object without a directory is finished on the next turn, a directory that
 * nobody knows would stay for ever.
 */
const provision = async (claim: ClaimObject, context: Context): Promise<void> => {
  const { objects, recorder, options } = context
  const name = volumeName(claim)
  const path = `${options.volumeRoot}/${name}`
  const storage = classOf(claim, context)
  const from = `External provisioner is provisioning volume for claim "${claim.metadata.namespace}/${claim.metadata.name}"`
  recorder.event(PersistentVolumeClaim, claim, 'Normal', 'Provisioning', from)
  const volume = await objects.create(PersistentVolume, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name,
      annotations: { [provisionedBy]: provisioner },
      finalizers: ['kubernetes.io/pv-protection', directoryFinalizer],
    },
    spec: {
      accessModes: claim.spec?.accessModes,
      capacity: { storage: claim.spec?.resources?.requests?.storage ?? '0' },
      claimRef: referenceTo(claim),
      persistentVolumeReclaimPolicy: storage?.reclaimPolicy ?? 'Delete',
      storageClassName: claim.spec?.storageClassName,
      volumeMode: claim.spec?.volumeMode ?? 'Filesystem',
      // Every node of this cluster is on this machine, so the volume goes with its pod.
      hostPath: { path, type: 'DirectoryOrCreate' },
    },
  })
  await bind(claim, volume, context)
  const note = 'a directory on this machine: the size asked for is recorded, not enforced'
  recorder.event(
    PersistentVolumeClaim,
    claim,
    'Normal',
    'ProvisioningSucceeded',
    `Successfully provisioned volume ${name} (${note})`,
  )
}

export const isOurs = (volume: VolumeObject): boolean => volume.metadata.annotations?.[provisionedBy] === provisioner

const bind = async (claim: ClaimObject, volume: VolumeObject, context: Context): Promise<void> => {
  const { objects } = context
  if (isOurs(volume)) await makeDirectory(claim, volume, context)
  if (volume.spec?.claimRef?.uid !== claim.metadata.uid) {
    const { resourceVersion } = volume.metadata
    const body = {
      metadata: { resourceVersion, annotations: { [boundByController]: 'yes' } },
      spec: { claimRef: referenceTo(claim) },
    }
    await objects.patch(PersistentVolume, keyFor(volume), { type: 'merge', body })
  }
  const annotations = { [bindCompleted]: 'yes', ...(claim.spec?.volumeName ? {} : { [boundByController]: 'yes' }) }
  const { uid } = claim.metadata
  const body = { metadata: { uid, annotations }, spec: { volumeName: volume.metadata.name } }
  const bound = await objects.patch(PersistentVolumeClaim, keyFor(claim), { type: 'merge', body })
  await keepBound(bound, volume, context)
}

const makeDirectory = async (claim: ClaimObject, volume: VolumeObject, context: Context): Promise<void> => {
  const path = `${context.options.volumeRoot}/${volume.metadata.name}`
  try {
    await context.options.directories.create(path)
  } catch (error) {
    const message = `failed to provision volume ${volume.metadata.name}: cannot make ${path}: ${messageOf(error)}`
    context.recorder.event(PersistentVolumeClaim, claim, 'Warning', 'ProvisioningFailed', message)
    throw error
  }
}

/** Status of a bound claim; a volume of ours grows with the claim. */
const keepBound = async (claim: ClaimObject, volume: VolumeObject, context: Context): Promise<void> => {
  const { objects, recorder } = context
  const wants = requested(claim)
  const before = claim.status?.capacity?.storage
  let storage = volume.spec?.capacity?.storage ?? '0'
  const grows = wants > capacityOf(volume) && isOurs(volume) && classOf(claim, context)?.allowVolumeExpansion === true
  if (grows) {
    storage = claim.spec?.resources?.requests?.storage ?? formatBytes(wants)
    const body = { spec: { capacity: { ...volume.spec?.capacity, storage } } }
    await objects.patch(PersistentVolume, keyFor(volume), { type: 'merge', body })
  }
  if (!volume.spec?.claimRef)
    await objects.patch(PersistentVolume, keyFor(volume), {
      type: 'merge',
      body: { spec: { claimRef: referenceTo(claim) } },
    })
  const capacity = { ...volume.spec?.capacity, storage }
  await setStatus(claim, { phase: 'Bound', accessModes: volume.spec?.accessModes, capacity }, context)
  if (grows && before !== undefined) {
    const message = `Volume grew from ${before} to ${storage} (a directory on this machine: the size is recorded, not enforced)`
    recorder.event(PersistentVolumeClaim, claim, 'Normal', 'FileSystemResizeSuccessful', message)
  }
}
