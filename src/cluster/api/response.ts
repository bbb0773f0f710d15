/** The form in which an object is answered: as it is, as a Table, or its metadata only. */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ApiRequest } from '../types.ts'
import type { Context, Resource } from './resource.ts'

export const formOf = (_context: Context, _resource: Resource, request: ApiRequest, object: KubeObject): KubeObject => {
  if (request.metadataOnly) return metadataOf(object)
  return object
}

const partial = (object: KubeObject): KubeObject =>
  ({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }) as KubeObject

const metadataOf = (object: KubeObject): KubeObject => {
  const items = object.items as KubeObject[] | undefined
  if (!items) return partial(object)
  return {
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata: object.metadata,
    items: items.map(partial),
  } as unknown as KubeObject
}
