/** Pods at creation: ServiceAccount and its token, priority, and tolerations for nodes that go away. */
import { generatedName } from '../../../spec/kube/names.ts'
import { forbidden } from '../errors.ts'
import type { Context, Draft, Resource } from '../resource.ts'

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount'
/** An hour and a little, so that the kubelet renews before clients notice. */
const tokenSeconds = 3607

const tokenVolume = (name: string): Draft => ({
  name,
  projected: {
    defaultMode: 420,
    sources: [
      { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
})

const useServiceAccount = (context: Context, resource: Resource, pod: Draft): void => {
  const { spec, metadata } = pod
  // Mirrors of static pods have no identity.
  if (metadata.annotations?.['kubernetes.io/config.mirror']) return
  spec.serviceAccountName ||= 'default'
  spec.serviceAccount = spec.serviceAccountName
  const account = context.store.get('serviceaccounts', metadata.namespace, spec.serviceAccountName) as Draft
  if (!account) {
    const name = spec.serviceAccountName
    throw forbidden(
      resource,
      metadata.name ?? '',
      `error looking up service account ${metadata.namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
    )
  }
  if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length)
    spec.imagePullSecrets = account.imagePullSecrets
  const mount = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true
  // Without the authority's certificate in the namespace the volume could never be made.
  if (!mount || !context.options.ca) return
  const containers: Draft[] = [...(spec.initContainers ?? []), ...(spec.containers ?? [])]
  const without = containers.filter((c) => !(c.volumeMounts ?? []).some((m: Draft) => m.mountPath === tokenPath))
  if (without.length === 0) return
  const name = generatedName('kube-api-access-', () => context.clock.random())
  spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)]
  for (const container of without)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, mountPath: tokenPath, readOnly: true }]
}

const givePriority = (context: Context, resource: Resource, pod: Draft): void => {
  const { spec } = pod
  let priority = 0
  let preemption = 'PreemptLowerPriority'
  if (spec.priorityClassName) {
    const found = context.store.get('priorityclasses.scheduling.k8s.io', '', spec.priorityClassName) as Draft
    if (!found)
      throw forbidden(
        resource,
        pod.metadata.name ?? '',
        `no PriorityClass with name ${spec.priorityClassName} was found`,
      )
    priority = found.value
    preemption = found.preemptionPolicy ?? preemption
  } else {
    const global = (context.store.list('priorityclasses.scheduling.k8s.io', '') as Draft[])
      .filter((c) => c.globalDefault)
      .sort((a, b) => a.value - b.value)[0]
    if (global) {
      spec.priorityClassName = global.metadata.name
      priority = global.value
      preemption = global.preemptionPolicy ?? preemption
    }
  }
  if (spec.priority !== undefined && spec.priority !== priority)
    throw forbidden(
      resource,
      pod.metadata.name ?? '',
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
    )
  spec.priority = priority
  spec.preemptionPolicy ??= preemption
}

const tolerate = (pod: Draft): void => {
  const own: Draft[] = pod.spec.tolerations ?? []
  const added = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) => !own.some((t) => (t.key === key || !t.key) && (t.effect === 'NoExecute' || !t.effect)),
  )
  if (added.length === 0) return
  pod.spec.tolerations = [
    ...own,
    ...added.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 })),
  ]
}

export const admitPod = (context: Context, resource: Resource, pod: Draft): void => {
  useServiceAccount(context, resource, pod)
  givePriority(context, resource, pod)
  tolerate(pod)
}
