/** Which volume a claim gets. Source: pkg/controller/volume/persistentvolume (pv_controller.go, index.go). */
import { quantityValue } from '../../../lib/quantity.ts'
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '../../../spec/kube/generated/types.ts'
import { matchesSelector } from '../../../spec/kube/label-selector.ts'
import { matchesNodeSelector } from '../../../spec/kube/node-affinity.ts'

export const provisioner = 'slipway.dev/local'
export const bindCompleted = 'pv.kubernetes.io/bind-completed'
export const boundByController = 'pv.kubernetes.io/bound-by-controller'
export const selectedNode = 'volume.kubernetes.io/selected-node'
export const defaultClassKey = 'storageclass.kubernetes.io/is-default-class'

export type ClaimStep =
  | { to: 'bind'; volume: PersistentVolume }
  | { to: 'provision' }
  | { to: 'class'; name: string }
  | { to: 'wait'; type: 'Normal' | 'Warning'; reason: string; message: string }
  /** Bound, and its volume is as it should be. */
  | { to: 'bound'; volume: PersistentVolume }
  | { to: 'lost'; reason: string; message: string }

interface ClaimWorld {
  volumes: readonly PersistentVolume[]
  classes: readonly StorageClass[]
  node(name: string): Node | undefined
}

export const requested = (claim: PersistentVolumeClaim): number =>
  quantityValue(claim.spec?.resources?.requests?.storage)
export const capacityOf = (volume: PersistentVolume): number => quantityValue(volume.spec?.capacity?.storage)
export const volumeName = (claim: PersistentVolumeClaim): string => `pvc-${claim.metadata.uid}`

/** The volume is promised to this very claim, or to its name by somebody who did not know its uid yet. */
const isPromised = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean => {
  const reference = volume.spec?.claimRef
  return (
    reference?.name === claim.metadata.name &&
    reference?.namespace === claim.metadata.namespace &&
    (reference?.uid === undefined || reference.uid === '' || reference.uid === claim.metadata.uid)
  )
}

const fits = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean =>
  (volume.spec?.volumeMode ?? 'Filesystem') === (claim.spec?.volumeMode ?? 'Filesystem') &&
  capacityOf(volume) >= requested(claim) &&
  (claim.spec?.accessModes ?? []).every((mode) => volume.spec?.accessModes?.includes(mode))

/** A promised volume; else the smallest free one that does. */
const findVolume = (claim: PersistentVolumeClaim, { volumes, node }: ClaimWorld): PersistentVolume | undefined => {
  const promised = volumes.find((volume) => isPromised(volume, claim) && fits(volume, claim))
  if (promised) return promised
  const place = node(claim.metadata.annotations?.[selectedNode] ?? '')
  const selector = claim.spec?.selector
  return volumes
    .filter(
      (volume) =>
        !volume.spec?.claimRef &&
        !volume.metadata.deletionTimestamp &&
        (volume.spec?.storageClassName ?? '') === (claim.spec?.storageClassName ?? '') &&
        fits(volume, claim) &&
        (!selector || matchesSelector(selector, volume.metadata.labels)) &&
        (!place || matchesNodeSelector(volume.spec?.nodeAffinity?.required, place)),
    )
    .sort((a, b) => capacityOf(a) - capacityOf(b) || (a.metadata.name! < b.metadata.name! ? -1 : 1))[0]
}

/** The newest of the classes marked as default. */
export const defaultClass = (classes: readonly StorageClass[]): StorageClass | undefined =>
  classes
    .filter(({ metadata }) => metadata.annotations?.[defaultClassKey] === 'true')
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))[0]

const wait = (type: 'Normal' | 'Warning', reason: string, message: string): ClaimStep => ({
  to: 'wait',
  type,
  reason,
  message,
})

export const planClaim = (claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep => {
  const { volumes, classes } = world
  const named = claim.spec?.volumeName
  const volume = named ? volumes.find(({ metadata }) => metadata.name === named) : undefined
  if (claim.metadata.annotations?.[bindCompleted] !== undefined) {
    if (!volume)
      return {
        to: 'lost',
        reason: 'ClaimLost',
        message: 'Bound claim has lost its PersistentVolume. Data on the volume is lost!',
      }
    if (isPromised(volume, claim) || !volume.spec?.claimRef) return { to: 'bound', volume }
    return {
      to: 'lost',
      reason: 'ClaimMisbound',
      message: 'Two claims are bound to the same volume, this one is bound incorrectly',
    }
  }
  if (named) {
    if (!volume) return wait('Warning', 'FailedBinding', `volume "${named}" not found`)
    if (isPromised(volume, claim)) return { to: 'bind', volume }
    if (volume.spec?.claimRef)
      return wait('Warning', 'FailedBinding', `volume "${named}" already bound to a different claim.`)
    if (fits(volume, claim)) return { to: 'bind', volume }
    return wait(
      'Warning',
      'VolumeMismatch',
      `Cannot bind to requested volume "${named}": requested PV is too small or its modes differ`,
    )
  }
  if (claim.spec?.storageClassName === undefined) {
    const chosen = defaultClass(classes)
    if (chosen) return { to: 'class', name: chosen.metadata.name! }
  }
  return findOrMake(claim, world)
}

/** For a claim that names no volume: a promised one, a free one, a new one. */
const findOrMake = (claim: PersistentVolumeClaim, world: ClaimWorld): ClaimStep => {
  const { volumes, classes } = world
  const storage = classes.find(({ metadata }) => metadata.name === claim.spec?.storageClassName)
  const promised = volumes.find((candidate) => isPromised(candidate, claim) && fits(candidate, claim))
  if (promised) return { to: 'bind', volume: promised }
  const late = storage?.volumeBindingMode === 'WaitForFirstConsumer'
  if (late && !claim.metadata.annotations?.[selectedNode]) {
    return wait('Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding')
  }
  const found = findVolume(claim, world)
  if (found) return { to: 'bind', volume: found }
  if (!claim.spec?.storageClassName) {
    return wait('Normal', 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set')
  }
  if (!storage)
    return wait(
      'Warning',
      'ProvisioningFailed',
      `storageclass.storage.k8s.io "${claim.spec.storageClassName}" not found`,
    )
  if (storage.provisioner === 'kubernetes.io/no-provisioner') {
    return wait('Normal', 'FailedBinding', 'no persistent volumes available for this claim')
  }
  if (storage.provisioner !== provisioner) {
    const who = `external provisioner '${storage.provisioner}'`
    return wait(
      'Normal',
      'ExternalProvisioning',
      `Waiting for a volume to be created either by the ${who} or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    )
  }
  if (claim.spec?.volumeMode === 'Block') {
    return wait(
      'Warning',
      'ProvisioningFailed',
      `${provisioner} makes directories and cannot provide raw block volumes; use volumeMode Filesystem`,
    )
  }
  return { to: 'provision' }
}
