/** What may be refused or changed although the object itself is valid: namespaces, quotas, limits, security levels. */
import { notFound, forbidden } from './errors.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'

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

export const admitCreate = (context: Context, resource: Resource, draft: Draft, _write: Write): void => {
  needsNamespace(context, resource, draft)
}
export const admitUpdate = (
  _context: Context,
  _resource: Resource,
  _draft: Draft,
  _old: Draft,
  _write: Write,
): void => {}
