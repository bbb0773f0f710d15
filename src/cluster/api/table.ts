/** Tables (meta.k8s.io/v1): what `kubectl get` prints. The columns of each kind are in columns/. */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Column } from './columns/column.ts'
import { age } from './columns/format.ts'
import { jsonPath } from './columns/json-path.ts'
import { columnsOf } from './columns/tables.ts'
import type { Context, Draft, Resource } from './resource.ts'

const customColumns = (resource: Resource): Column[] | undefined =>
  resource.printerColumns && [
    { name: 'Name', format: 'name', value: (o) => o.metadata.name },
    ...resource.printerColumns.map(
      (c): Column => ({
        name: c.name,
        type: c.type,
        priority: c.priority ?? 0,
        value: (o, now) => {
          const [first] = jsonPath(o, c.jsonPath)
          if (first === undefined || first === null) return null
          return c.type === 'date' ? age(String(first), now) : typeof first === 'object' ? JSON.stringify(first) : first
        },
      }),
    ),
    // Without columns of its own a custom resource shows its age.
    ...(resource.printerColumns.length === 0
      ? [{ name: 'Age', value: (o: Draft, now: number) => age(o.metadata.creationTimestamp, now) }]
      : []),
  ]

export const tableOf = (
  context: Context,
  resource: Resource,
  answered: KubeObject,
  items: KubeObject[],
  include: 'None' | 'Metadata' | 'Object',
): KubeObject => {
  const columns = customColumns(resource) ?? columnsOf(resource.id)
  const now = context.clock.now()
  const shown = (object: KubeObject): unknown => {
    if (include === 'None') return undefined
    if (include === 'Metadata')
      return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }
    return resource.conversion ? resource.conversion.fromStorage(object) : object
  }
  const list = answered.metadata as Draft
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {
      resourceVersion: list.resourceVersion,
      ...(list.continue ? { continue: list.continue } : {}),
      ...(list.remainingItemCount ? { remainingItemCount: list.remainingItemCount } : {}),
    },
    columnDefinitions: columns.map(({ name, type = 'string', format = '', priority = 0, description = '' }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: items.map((object) => ({ cells: columns.map((column) => column.value(object, now)), object: shown(object) })),
  } as unknown as KubeObject
}
