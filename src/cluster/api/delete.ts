/** Deleting: preconditions, grace, finalizers and propagation. The garbage collector and the kubelet finish what is begun here. */

import { timestamp } from '../../lib/timestamp.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ApiRequest } from '../types.ts'
import { mayDelete } from './admission/index.ts'
import { badRequest, conflict } from './errors.ts'
import { getObject, listObjects } from './read.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'

type DeleteRequest = NonNullable<ApiRequest['deleteOptions']>

const check = (resource: Resource, object: KubeObject, options: DeleteRequest): void => {
  const { uid, resourceVersion } = options.preconditions ?? {}
  const name = object.metadata.name!
  if (uid && uid !== object.metadata.uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
    )
  if (resourceVersion && resourceVersion !== object.metadata.resourceVersion)
    throw conflict(
      resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${object.metadata.resourceVersion}`,
    )
}

/** The finalizers that a propagation policy asks for; what is there of them already stays when none is given. */
const finalizersFor = (object: KubeObject, options: DeleteRequest): string[] => {
  const present = object.metadata.finalizers ?? []
  let wanted = options.propagationPolicy
  if (wanted === undefined && options.orphanDependents !== undefined)
    wanted = options.orphanDependents ? 'Orphan' : 'Background'
  if (wanted === undefined) return present
  if (!['Background', 'Foreground', 'Orphan'].includes(wanted))
    throw badRequest(
      `DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: ${JSON.stringify(wanted)}: supported values: "Background", "Foreground", "Orphan"`,
    )
  const rest = present.filter((f) => f !== 'orphan' && f !== 'foregroundDeletion')
  if (wanted === 'Foreground') return [...rest, 'foregroundDeletion']
  if (wanted === 'Orphan') return [...rest, 'orphan']
  return rest
}

interface Deletion {
  object: KubeObject
  /** False while grace or finalizers hold it. */
  gone: boolean
}

export const deleteObject = (
  context: Context,
  resource: Resource,
  namespace: string,
  name: string,
  options: DeleteRequest,
  write: Write,
): Deletion => {
  const current = getObject(context, resource, namespace, name)
  mayDelete(resource, name)
  check(resource, current, options)
  const { strategy, id } = resource
  const { store } = context
  const meta = current.metadata
  const asked = options.gracePeriodSeconds
  if (asked !== undefined && asked < 0)
    throw badRequest(`gracePeriodSeconds: Invalid value: ${asked}: must be greater than or equal to 0`)
  const finalizers = meta.deletionTimestamp ? (meta.finalizers ?? []) : finalizersFor(current, options)
  let grace = strategy.grace?.(current, asked) ?? 0
  // A second deletion can only make the end come sooner.
  if (meta.deletionTimestamp) grace = Math.min(grace, meta.deletionGracePeriodSeconds ?? 0)
  const held = finalizers.length > 0 || grace > 0 || ((current as Draft).spec?.finalizers?.length ?? 0) > 0
  if (!held) {
    const last: KubeObject = meta.deletionTimestamp
      ? { ...current, metadata: { ...meta, deletionGracePeriodSeconds: 0 } }
      : current
    if (write.dryRun) return { object: current, gone: true }
    const gone = store.delete(id, namespace, name, last)!
    strategy.committed?.(gone, current, context)
    return { object: gone, gone: true }
  }
  if (meta.deletionTimestamp && grace >= (meta.deletionGracePeriodSeconds ?? 0)) return { object: current, gone: false }
  const begun: Draft = {
    ...current,
    metadata: {
      ...meta,
      // The moment at which the grace is over, as Kubernetes writes it.
      deletionTimestamp: timestamp(context.clock.now() + grace * 1000),
      deletionGracePeriodSeconds: grace,
      ...(finalizers.length > 0 ? { finalizers } : {}),
      ...(strategy.generation && !meta.deletionTimestamp ? { generation: (meta.generation ?? 0) + 1 } : {}),
    },
  }
  if (finalizers.length === 0) delete begun.metadata.finalizers
  if (resource.id === 'namespaces') begun.status = { ...(current as Draft).status, phase: 'Terminating' }
  if (write.dryRun) return { object: begun, gone: false }
  const stored = store.update(id, begun)
  strategy.committed?.(stored, current, context)
  return { object: stored, gone: false }
}

/** Deletes all that are selected; answers with the list of them. */
export const deleteCollection = (
  context: Context,
  resource: Resource,
  request: ApiRequest,
  write: Write,
): KubeObject[] => {
  const { items } = listObjects(context, resource, request)
  for (const item of items)
    deleteObject(
      context,
      resource,
      item.metadata.namespace ?? '',
      item.metadata.name!,
      request.deleteOptions ?? {},
      write,
    )
  return items
}
