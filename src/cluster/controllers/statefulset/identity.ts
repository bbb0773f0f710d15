/** Names, pods and claims of a StatefulSet's members. Source: pkg/controller/statefulset/stateful_set_utils.go. */
import type {
  OwnerReference,
  PersistentVolumeClaim,
  Pod,
  PodTemplateSpec,
  StatefulSet,
} from '../../../spec/kube/generated/types.ts'
import { StatefulSet as StatefulSetKind } from '../../../spec/kube/kinds.ts'
import { ownerReference } from '../objects/meta.ts'
import { podFromTemplate } from '../objects/pods.ts'
import { revisionLabel } from '../objects/revisions.ts'

export const podName = (set: StatefulSet, ordinal: number): string => `${set.metadata.name}-${ordinal}`
export const startOf = (set: StatefulSet): number => set.spec?.ordinals?.start ?? 0
export const replicasOf = (set: StatefulSet): number => set.spec?.replicas ?? 1

/** The number at the end of the pod's name; undefined when the pod is not a member by name. */
export const ordinalOf = (set: StatefulSet, pod: Pod): number | undefined => {
  const match = /^(.*)-(\d+)$/.exec(pod.metadata.name ?? '')
  return match && match[1] === set.metadata.name ? Number(match[2]) : undefined
}
const claimName = (set: StatefulSet, template: PersistentVolumeClaim, ordinal: number): string =>
  `${template.metadata.name}-${podName(set, ordinal)}`

const templates = (set: StatefulSet): PersistentVolumeClaim[] => set.spec?.volumeClaimTemplates ?? []

/** The member's pod, from the template of the revision it is to have. */
export const memberPod = (set: StatefulSet, template: PodTemplateSpec, revision: string, ordinal: number): Pod => {
  const name = podName(set, ordinal)
  const pod = podFromTemplate(template, StatefulSetKind, set, { name, labels: identityLabels(name, ordinal, revision) })
  const own = templates(set).map((claim) => ({
    name: claim.metadata.name!,
    persistentVolumeClaim: { claimName: claimName(set, claim, ordinal) },
  }))
  const names = new Set(own.map((volume) => volume.name))
  const volumes = [...own, ...(pod.spec?.volumes ?? []).filter((volume) => !names.has(volume.name))]
  const subdomain = set.spec?.serviceName ? { subdomain: set.spec.serviceName } : {}
  pod.spec = { ...pod.spec!, hostname: name, ...subdomain, ...(volumes.length > 0 ? { volumes } : {}) }
  return pod
}

const identityLabels = (name: string, ordinal: number, revision: string): Record<string, string> => ({
  'statefulset.kubernetes.io/pod-name': name,
  'apps.kubernetes.io/pod-index': String(ordinal),
  [revisionLabel]: revision,
})

/** The labels a member lacks of those that say who it is; undefined: none. */
export const missingIdentity = (pod: Pod, ordinal: number): Record<string, string> | undefined => {
  const { [revisionLabel]: _, ...wanted } = identityLabels(pod.metadata.name!, ordinal, '')
  const wrong = Object.entries(wanted).filter(([key, value]) => pod.metadata.labels?.[key] !== value)
  return wrong.length > 0 ? Object.fromEntries(wrong) : undefined
}

/** The claims of the member; `pod` and `leaving` decide, with the retention policy, with whom they go. */
export const memberClaims = (set: StatefulSet, ordinal: number): PersistentVolumeClaim[] =>
  templates(set).map((template) => {
    const owners = claimOwners(set, undefined, false)
    const { labels, annotations } = template.metadata
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name: claimName(set, template, ordinal),
        namespace: set.metadata.namespace,
        labels: { ...labels, ...set.spec?.selector.matchLabels },
        ...(annotations ? { annotations } : {}),
        ...(owners.length > 0 ? { ownerReferences: owners } : {}),
      },
      spec: template.spec,
    }
  })

/** Owners that make the garbage collector remove a claim in time. None: it is retained. */
export const claimOwners = (set: StatefulSet, pod: Pod | undefined, leaving: boolean): OwnerReference[] => {
  const { whenDeleted = 'Retain', whenScaled = 'Retain' } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {}
  if (whenScaled === 'Delete' && leaving && pod) {
    const { name, uid } = pod.metadata
    return [{ apiVersion: 'v1', kind: 'Pod', name: name!, uid: uid! }]
  }
  if (whenDeleted !== 'Delete') return []
  const { controller: _, blockOwnerDeletion: __, ...reference } = ownerReference(StatefulSetKind, set)
  return [reference]
}
