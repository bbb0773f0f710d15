/** Claims: the default StorageClass, protection while in use, and expansion. */
import { compareQuantities } from '../../../lib/quantity.ts'
import { forbidden } from '../errors.ts'
import type { Context, Draft, Resource } from '../resource.ts'

export const addFinalizer = (draft: Draft, finalizer: string): void => {
  const present: string[] = draft.metadata.finalizers ?? []
  if (!present.includes(finalizer)) draft.metadata.finalizers = [...present, finalizer]
}

const classes = 'storageclasses.storage.k8s.io'
const isDefault = (sc: Draft): boolean =>
  sc.metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true'

export const admitClaim = (context: Context, claim: Draft): void => {
  addFinalizer(claim, 'kubernetes.io/pvc-protection')
  if (
    claim.spec.storageClassName !== undefined ||
    claim.metadata.annotations?.['volume.beta.kubernetes.io/storage-class']
  )
    return
  // Of several defaults the newest wins.
  const [found] = (context.store.list(classes, '') as Draft[])
    .filter(isDefault)
    .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1))
  if (found) claim.spec.storageClassName = found.metadata.name
}

export const checkExpansion = (context: Context, resource: Resource, claim: Draft, old: Draft): void => {
  const size = claim.spec.resources?.requests?.storage
  const before = old.spec.resources?.requests?.storage
  if (!size || !before || compareQuantities(size, before) <= 0 || old.status?.phase !== 'Bound') return
  const sc = context.store.get(classes, '', claim.spec.storageClassName ?? '') as Draft
  if (!sc?.allowVolumeExpansion)
    throw forbidden(
      resource,
      claim.metadata.name,
      'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
    )
}
