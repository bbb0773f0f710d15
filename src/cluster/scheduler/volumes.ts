/** What a pod's claims mean for where it can go. Source: scheduler framework/plugins/volumebinding. */
import type { PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '../../spec/kube/generated/types.ts'
import { matchesNodeSelector } from '../../spec/kube/node-affinity.ts'
import type { NodeInfo } from './nodes.ts'

export const selectedNodeKey = 'volume.kubernetes.io/selected-node'

export interface VolumeObjects {
  claim(namespace: string | undefined, name: string): PersistentVolumeClaim | undefined
  volume(name: string): PersistentVolume | undefined
  storageClass(name: string): StorageClass | undefined
}
export interface VolumeNeeds {
  /** Why the pod can go nowhere at all now. */
  refusal: string | undefined
  /** Claims to be told the node, that their volume is made there. */
  provision: PersistentVolumeClaim[]
  check(info: NodeInfo): string | undefined
}

/** The claims of a pod: by name, and those an ephemeral volume stands for. */
const claimNames = (pod: Pod): { name: string; ephemeral: boolean }[] =>
  (pod.spec?.volumes ?? []).flatMap((volume): { name: string; ephemeral: boolean }[] => {
    if (volume.persistentVolumeClaim) return [{ name: volume.persistentVolumeClaim.claimName, ephemeral: false }]
    if (volume.ephemeral) return [{ name: `${pod.metadata.name}-${volume.name}`, ephemeral: true }]
    return []
  })

export const isBound = (claim: PersistentVolumeClaim): boolean =>
  claim.spec?.volumeName !== undefined && claim.metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined

export const volumeNeeds = (pod: Pod, objects: VolumeObjects): VolumeNeeds => {
  const provision: PersistentVolumeClaim[] = []
  const bound: PersistentVolume[] = []
  const refuse = (refusal: string): VolumeNeeds => ({ refusal, provision: [], check: () => refusal })
  for (const { name, ephemeral } of claimNames(pod)) {
    const claim = objects.claim(pod.metadata.namespace, name)
    if (!claim) {
      return refuse(
        ephemeral
          ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
          : `persistentvolumeclaim "${name}" not found`,
      )
    }
    if (claim.status?.phase === 'Lost')
      return refuse(
        `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName}"`,
      )
    if (claim.metadata.deletionTimestamp) return refuse(`persistentvolumeclaim "${name}" is being deleted`)
    if (isBound(claim)) {
      const volume = objects.volume(claim.spec!.volumeName!)
      if (volume) bound.push(volume)
      continue
    }
    const storage = objects.storageClass(claim.spec?.storageClassName ?? '')
    if (storage?.volumeBindingMode !== 'WaitForFirstConsumer') {
      return refuse('pod has unbound immediate PersistentVolumeClaims')
    }
    provision.push(claim)
  }
  const check = ({ node }: NodeInfo): string | undefined =>
    bound.every((volume) => matchesNodeSelector(volume.spec?.nodeAffinity?.required, node))
      ? undefined
      : 'node(s) had volume node affinity conflict'
  return { refusal: undefined, provision, check }
}
