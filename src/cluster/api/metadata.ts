/** Rules for metadata that hold for every kind. */

import { equalJson } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { isDns1123Subdomain, isLabelValue, isQualifiedName } from '../../spec/kube/names.ts'
import { type FieldError, forbiddenField, invalid, required, tooLong } from './errors.ts'
import type { Draft, Resource } from './resource.ts'

const annotationLimit = 256 * 1024

export const validateLabels = (
  labels: Record<string, string> | undefined,
  path: string,
  errors: FieldError[],
): void => {
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const reason of isQualifiedName(key)) errors.push(invalid(path, key, reason))
    for (const reason of isLabelValue(value)) errors.push(invalid(path, value, reason))
  }
}
export const validateAnnotations = (
  given: Record<string, string> | undefined,
  path: string,
  errors: FieldError[],
): void => {
  let size = 0
  for (const [key, value] of Object.entries(given ?? {})) {
    for (const reason of isQualifiedName(key.toLowerCase())) errors.push(invalid(path, key, reason))
    size += key.length + value.length
  }
  if (size > annotationLimit) errors.push(tooLong(path, annotationLimit))
}

export const validateMetadata = (resource: Resource, draft: Draft, errors: FieldError[]): void => {
  const meta = draft.metadata as KubeObject['metadata']
  const validName = resource.strategy.validName ?? isDns1123Subdomain
  if (!meta.name) errors.push(required('metadata.name', 'name or generateName is required'))
  else for (const reason of validName(meta.name)) errors.push(invalid('metadata.name', meta.name, reason))
  validateLabels(meta.labels, 'metadata.labels', errors)
  validateAnnotations(meta.annotations, 'metadata.annotations', errors)
  let controller: string | undefined
  for (const [i, owner] of (meta.ownerReferences ?? []).entries()) {
    const path = `metadata.ownerReferences[${i}]`
    for (const key of ['apiVersion', 'kind', 'name', 'uid'] as const)
      if (!owner[key])
        errors.push(
          invalid(`${path}.${key}`, owner[key] ?? '', `${key === 'apiVersion' ? 'version' : key} must not be empty`),
        )
    if (!owner.controller) continue
    if (controller)
      errors.push(
        invalid(
          'metadata.ownerReferences',
          meta.ownerReferences,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${owner.kind}/${owner.name}`,
        ),
      )
    controller = `${owner.kind}/${owner.name}`
  }
  for (const finalizer of meta.finalizers ?? [])
    for (const reason of isQualifiedName(finalizer)) errors.push(invalid('metadata.finalizers', finalizer, reason))
}

export const validateMetadataUpdate = (
  resource: Resource,
  draft: Draft,
  current: Draft,
  errors: FieldError[],
): void => {
  if (!current.metadata.deletionTimestamp) return
  const before: string[] = current.metadata.finalizers ?? []
  const added = ((draft.metadata.finalizers ?? []) as string[]).filter((f) => !before.includes(f))
  // Between "deleted" and "gone" finalizers may only go.
  if (added.length > 0 && !equalJson(before, draft.metadata.finalizers))
    errors.push(
      forbiddenField(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`,
      ),
    )
  void resource
}
