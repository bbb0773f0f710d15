import type { Pod as PodObject } from '../../../spec/kube/generated/types.ts'
import { PersistentVolumeClaim, Pod } from '../../../spec/kube/kinds.ts'
import { equal, ownerReference } from '../objects/meta.ts'
import { isPodFinished } from '../objects/pods.ts'
import { controller, watch } from '../run/controller.ts'
import { controllerOf } from '../run/owned.ts'

const protection = 'kubernetes.io/pvc-protection'

const claimsOf = (pod: PodObject): string[] =>
  (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [volume.persistentVolumeClaim.claimName]
    return volume.ephemeral ? [`${pod.metadata.name}-${volume.name}`] : []
  })

/** A claim that is deleted stays until no pod uses it. Source: pkg/controller/volume/pvcprotection. */
export const claimProtection = controller({
  name: 'pvc-protection-controller',
  for: PersistentVolumeClaim,
  watches: [
    watch(Pod, (pod, { type }) =>
      type === 'DELETED' || isPodFinished(pod)
        ? claimsOf(pod).map((name) => ({ namespace: pod.metadata.namespace, name }))
        : [],
    ),
  ],
  async reconcile(key, { objects, informers }) {
    const claim = informers.of(PersistentVolumeClaim).get(key.namespace, key.name)
    if (!claim) return
    const finalizers = claim.metadata.finalizers ?? []
    const { uid, resourceVersion } = claim.metadata
    const set = (next: string[]) =>
      objects.patch(PersistentVolumeClaim, key, {
        type: 'merge',
        body: { metadata: { uid, resourceVersion, finalizers: next } },
      })
    if (!claim.metadata.deletionTimestamp) {
      if (!finalizers.includes(protection)) await set([...finalizers, protection])
      return
    }
    if (!finalizers.includes(protection)) return
    // Data may go with the claim: the server's pods count, not the informer's.
    const pods = await objects.list(Pod, { namespace: key.namespace })
    const uses = (pod: PodObject): boolean =>
      pod.spec?.nodeName !== undefined && !isPodFinished(pod) && claimsOf(pod).includes(key.name)
    if (!pods.items.some(uses)) await set(finalizers.filter((finalizer) => finalizer !== protection))
  },
})

/** Makes the claims that ephemeral volumes of pods stand for. Source: pkg/controller/volume/ephemeral. */
export const ephemeralClaims = controller({
  name: 'ephemeral-volume-controller',
  for: Pod,
  watches: [
    watch(PersistentVolumeClaim, (claim) => {
      const owner = controllerOf(claim)
      return owner?.kind === Pod.kind ? [{ namespace: claim.metadata.namespace, name: owner.name }] : []
    }),
  ],
  async reconcile(key, { objects, informers, recorder }) {
    const pod = informers.of(Pod).get(key.namespace, key.name)
    if (!pod || pod.metadata.deletionTimestamp) return
    for (const volume of pod.spec?.volumes ?? []) {
      const template = volume.ephemeral?.volumeClaimTemplate
      if (!template) continue
      const name = `${pod.metadata.name}-${volume.name}`
      const existing = informers.of(PersistentVolumeClaim).get(key.namespace, name)
      if (existing) {
        if (equal(controllerOf(existing)?.uid, pod.metadata.uid)) continue
        const message = `PVC ${key.namespace}/${name} was not created for pod ${key.namespace}/${key.name} (pod is not owner)`
        recorder.event(Pod, pod, 'Warning', 'EphemeralVolumeConflict', message)
        continue
      }
      const { labels, annotations } = template.metadata ?? {}
      const metadata = {
        name,
        namespace: key.namespace,
        labels,
        annotations,
        ownerReferences: [ownerReference(Pod, pod)],
      }
      await objects.create(PersistentVolumeClaim, { ...keyKind, metadata, spec: template.spec })
    }
  },
})
const keyKind = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' }
