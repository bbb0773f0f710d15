/** ControllerRevisions: the history of templates of StatefulSets and DaemonSets. Source: pkg/controller/history. */

import { isError } from '../../../errors.ts'
import type { PodTemplateSpec, ControllerRevision as RevisionObject } from '../../../spec/kube/generated/types.ts'
import { ControllerRevision, type Kind, type ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import { type Context, keyFor } from '../run/controller.ts'
import { canonical, ownerReference, shortHash } from './meta.ts'

export const revisionLabel = 'controller-revision-hash'
const hashLabel = 'controller.kubernetes.io/hash'

interface Templated extends ObjectMetaHolder {
  spec?: { template: PodTemplateSpec; revisionHistoryLimit?: number | undefined } | undefined
  status?: { collisionCount?: number | undefined } | undefined
}

/** What a revision holds: a strategic merge patch that brings the template back (as `kubectl rollout undo` sends it). */
const dataOf = (owner: Templated): Record<string, unknown> => ({
  spec: { template: { ...owner.spec!.template, $patch: 'replace' } },
})
export const templateOf = (revision: RevisionObject): PodTemplateSpec => {
  const { $patch: _, ...template } = (revision.data as { spec: { template: PodTemplateSpec & { $patch?: string } } })
    .spec.template
  return template
}

export interface History {
  /** Lowest number first. */
  all: RevisionObject[]
  /** The revision of the template as it is now. */
  update: RevisionObject
}

/** The history with the present template as its newest entry: found, renumbered or made. */
export const syncHistory = async <T extends Templated>(kind: Kind<T>, owner: T, context: Context): Promise<History> => {
  const { objects, owned } = context
  const all = owned.by(ControllerRevision, owner.metadata.uid).sort((a, b) => a.revision - b.revision)
  const data = dataOf(owner)
  const text = canonical(data)
  const same = all.findLast((revision) => canonical(revision.data) === text)
  const newest = all.at(-1)
  if (same && same === newest) return { all, update: same }
  const number = (newest?.revision ?? 0) + 1
  if (same) {
    const update = await objects.update(ControllerRevision, { ...same, revision: number })
    return { all: [...all.filter((revision) => revision !== same), update], update }
  }
  const update = await create(kind, owner, data, number, context)
  return { all: [...all, update], update }
}

const create = async <T extends Templated>(
  kind: Kind<T>,
  owner: T,
  data: Record<string, unknown>,
  number: number,
  { objects }: Context,
): Promise<RevisionObject> => {
  const { namespace, uid } = owner.metadata
  for (let salt = owner.status?.collisionCount ?? 0; ; salt++) {
    const hash = shortHash(data, salt === 0 ? '' : String(salt))
    const name = `${owner.metadata.name}-${hash}`
    const labels = { ...owner.spec!.template.metadata?.labels, [hashLabel]: hash }
    const metadata = { name, namespace, labels, ownerReferences: [ownerReference(kind, owner)] }
    try {
      return await objects.create(ControllerRevision, {
        apiVersion: 'apps/v1',
        kind: 'ControllerRevision',
        metadata,
        data,
        revision: number,
      })
    } catch (error) {
      if (!isError(error, 'already-exists')) throw error
      const existing = await objects.get(ControllerRevision, { namespace, name })
      const ours = existing?.metadata.ownerReferences?.some((reference) => reference.uid === uid)
      if (existing && ours && canonical(existing.data) === canonical(data)) return existing
    }
  }
}

/** Removes the oldest revisions beyond the limit that nobody uses: `live` are the names still in use. */
export const truncateHistory = async (
  owner: Templated,
  { all, update }: History,
  live: ReadonlySet<string>,
  { objects }: Context,
): Promise<void> => {
  const unused = all.filter((revision) => revision !== update && !live.has(revision.metadata.name!))
  const extra = unused.slice(0, Math.max(0, unused.length - (owner.spec?.revisionHistoryLimit ?? 10)))
  for (const revision of extra) await objects.delete(ControllerRevision, keyFor(revision))
}
