import type { LabelSelector } from '../../../spec/kube/generated/types.ts'
import type { Kind, ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import { matchesSelector } from '../../../spec/kube/label-selector.ts'
import type { Context } from '../run/controller.ts'
import { ownerReference } from './meta.ts'

interface ClaimPlan<T> {
  mine: T[]
  adopt: T[]
  release: T[]
}

/** Who of `owned` stays, who of `orphans` joins: the selector decides. An owner that is going takes nobody in. */
const planClaim = <T extends ObjectMetaHolder>(
  selector: LabelSelector | undefined,
  leaving: boolean,
  owned: readonly T[],
  orphans: readonly T[],
): ClaimPlan<T> => {
  const fits = (object: T): boolean => matchesSelector(selector, object.metadata.labels)
  return {
    mine: owned.filter(fits),
    release: leaving ? [] : owned.filter((object) => !fits(object)),
    adopt: leaving ? [] : orphans.filter((object) => fits(object) && !object.metadata.deletionTimestamp),
  }
}

/**
 * The objects of `kind` that `owner` controls, after adopting those that match its selector and have no controller, and
 * releasing those that no longer match. Source: controller_ref_manager.go.
 */
export const claim = async <T extends ObjectMetaHolder, O extends ObjectMetaHolder>(
  kind: Kind<T>,
  ownerKind: Kind<O>,
  owner: O,
  selector: LabelSelector | undefined,
  { objects, owned }: Pick<Context, 'objects' | 'owned'>,
): Promise<T[]> => {
  const { namespace, name, uid, deletionTimestamp } = owner.metadata
  const orphans = owned.orphans(kind, namespace)
  const plan = planClaim(selector, deletionTimestamp !== undefined, owned.by(kind, uid), orphans)
  const references = (object: T): T['metadata'] => ({
    uid: object.metadata.uid,
    resourceVersion: object.metadata.resourceVersion,
    ownerReferences: (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uid),
  })
  const rewrite = (object: T, metadata: T['metadata']): Promise<T> =>
    objects.patch(kind, { namespace, name: object.metadata.name! }, { type: 'merge', body: { metadata } })
  for (const object of plan.release) await rewrite(object, references(object))
  if (plan.adopt.length > 0) {
    // The informer may still show an owner that is gone; adopting for it would only feed the garbage collector.
    const fresh = await objects.get(ownerKind, { namespace, name: name! })
    if (fresh?.metadata.uid === uid && !fresh?.metadata.deletionTimestamp) {
      for (const object of plan.adopt) {
        const metadata = references(object)
        metadata.ownerReferences!.push(ownerReference(ownerKind, owner))
        plan.mine.push(await rewrite(object, metadata))
      }
    }
  }
  return plan.mine
}

/** Watch mapping for adoption: owners of the namespace whose selector matches an object that has no controller. */
export const adopters = <O extends ObjectMetaHolder & { spec?: { selector?: LabelSelector | undefined } | undefined }>(
  object: ObjectMetaHolder,
  owners: readonly O[],
): O[] => {
  if (object.metadata.ownerReferences?.some((reference) => reference.controller)) return []
  return owners.filter((owner) => matchesSelector(owner.spec?.selector, object.metadata.labels))
}
