/** The form in which an object is answered: in the asked version, as it is, as a Table, or its metadata only. */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ApiRequest } from '../types.ts'
import type { Context, Resource } from './resource.ts'
import { tableOf } from './table.ts'

const itemsOf = (object: KubeObject): KubeObject[] | undefined =>
  object.kind?.endsWith('List') && Array.isArray(object.items) ? (object.items as KubeObject[]) : undefined

/** A list, or one object, of the stored version in the version that was asked for. */
const converted = (resource: Resource, object: KubeObject): KubeObject => {
  const { conversion } = resource
  if (!conversion || object.kind === 'Status') return object
  const items = itemsOf(object)
  if (!items) return conversion.fromStorage(object)
  return { ...object, items: items.map((item) => conversion.fromStorage(item)) } as unknown as KubeObject
}

export const formOf = (context: Context, resource: Resource, request: ApiRequest, object: KubeObject): KubeObject => {
  if (request.metadataOnly) return metadataOf(object)
  if (request.table) return tableOf(context, resource, object, itemsOf(object) ?? [object], request.table.includeObject)
  return converted(resource, object)
}

const partial = (object: KubeObject): KubeObject =>
  ({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }) as KubeObject

const metadataOf = (object: KubeObject): KubeObject => {
  const items = itemsOf(object)
  if (!items) return partial(object)
  return {
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata: object.metadata,
    items: items.map(partial),
  } as unknown as KubeObject
}
