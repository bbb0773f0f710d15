import { StorageClass } from '../../../spec/kube/kinds.ts'
import type { Controller } from '../run/controller.ts'
import type { ControllerClient } from '../run/writes.ts'
import { defaultClass, defaultClassKey, provisioner } from './claim-plan.ts'
import { claims } from './claims.ts'
import { claimProtection, ephemeralClaims } from './protection.ts'
import { volumes } from './volumes.ts'

export const volumeControllers: readonly Controller[] = [claims, volumes, claimProtection, ephemeralClaims]

/** Makes the cluster's own StorageClass when there is none of its name; the default one, unless another is. */
export const ensureStorageClass = async (
  objects: Pick<ControllerClient, 'list' | 'create'>,
  name: string,
): Promise<void> => {
  const { items } = await objects.list(StorageClass)
  if (items.some(({ metadata }) => metadata.name === name)) return
  const isDefault = defaultClass(items) === undefined
  await objects.create(StorageClass, {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name, ...(isDefault ? { annotations: { [defaultClassKey]: 'true' } } : {}) },
    provisioner,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  })
}
