/**
 * Admission: what may be refused or changed although the object itself is valid. First what changes the object, then what
 * validates it; all synchronous, so quotas cannot be overdrawn by two requests at once.
 */
import { checkEscalation } from '../authorization.ts'
import { forbidden, notFound } from '../errors.ts'
import type { Context, Draft, Resource, Write } from '../resource.ts'
import { applyLimitRanges, checkLimitRanges } from './limit-ranges.ts'
import { checkPodSecurity, warnPodSecurity } from './pod-security.ts'
import { admitPod } from './pods.ts'
import { chargeQuotas } from './quotas.ts'
import { addFinalizer, admitClaim, checkExpansion } from './storage.ts'

const needsNamespace = (context: Context, resource: Resource, draft: Draft): void => {
  if (!resource.namespaced) return
  const name = draft.metadata.namespace as string
  const namespace = context.store.get('namespaces', '', name)
  if (!namespace) throw notFound({ group: '', resource: 'namespaces', kind: 'Namespace' }, name)
  if (!namespace.metadata.deletionTimestamp) return
  throw forbidden(
    resource,
    draft.metadata.name,
    `unable to create new content in namespace ${name} because it is being terminated`,
    [{ reason: 'NamespaceTerminating', message: `namespace ${name} is being terminated`, field: 'metadata.namespace' }],
  )
}

export const admitCreate = (context: Context, resource: Resource, draft: Draft, write: Write): void => {
  needsNamespace(context, resource, draft)
  checkEscalation(context, resource, draft, write.user)
  if (resource.id === 'pods') {
    applyLimitRanges(context, draft)
    admitPod(context, resource, draft)
  }
  if (resource.id === 'persistentvolumeclaims') admitClaim(context, draft)
  if (resource.id === 'persistentvolumes') addFinalizer(draft, 'kubernetes.io/pv-protection')
}
/** After validation, with the object as it will be stored. */
export const checkCreate = (context: Context, resource: Resource, draft: Draft, write: Write): void => {
  if (resource.id === 'pods' || resource.id === 'persistentvolumeclaims') checkLimitRanges(context, resource, draft)
  if (resource.id === 'pods') checkPodSecurity(context, resource, draft, write)
  else warnPodSecurity(context, resource, draft, write)
  chargeQuotas(context, resource, draft, undefined, write)
}
export const admitUpdate = (context: Context, resource: Resource, draft: Draft, old: Draft, write: Write): void => {
  if (write.subresource) return
  checkEscalation(context, resource, draft, write.user)
  if (resource.id === 'persistentvolumeclaims') {
    checkExpansion(context, resource, draft, old)
    chargeQuotas(context, resource, draft, old, write)
  }
  if (resource.id === 'services') chargeQuotas(context, resource, draft, old, write)
}
export const mayDelete = (resource: Resource, name: string): void => {
  if (resource.id !== 'namespaces' || !['default', 'kube-system', 'kube-public'].includes(name)) return
  throw forbidden(resource, name, 'this namespace may not be deleted')
}
