import type { Context, Draft, Resource, Write } from './resource.ts'

export const trackCreate = (_context: Context, _resource: Resource, _draft: Draft, _write: Write): void => {}
export const trackUpdate = (_context: Context, _resource: Resource, draft: Draft, old: Draft, _write: Write): void => {
  if (old.metadata.managedFields) draft.metadata.managedFields = old.metadata.managedFields
  else delete draft.metadata.managedFields
}
