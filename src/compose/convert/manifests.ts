/** Objects as numbered files that `kubectl apply -f DIRECTORY` takes in the right order. Same objects, same bytes. */
import type { KubeObject } from '../../spec/kube/kinds.ts'

interface ManifestOptions {
  /** Also write kustomization.yaml, so that the directory serves as a base for overlays. */
  kustomize?: boolean | undefined
}
interface ManifestFile {
  /** "04-postgres-statefulset.yaml" */
  name: string
  content: string
}

interface Draft {
  name: string
  objects: KubeObject[]
}

const workloads = ['StatefulSet', 'DaemonSet', 'Deployment', 'Job']
const ownerOf = (object: KubeObject): string | undefined => object.metadata.labels?.['app.kubernetes.io/name']

/** 00-namespace, 01-configmap, 02-secrets, then for each service in order of start -pvc, -deployment, -service; policies and ingress last. */
export const renderManifests = async (
  objects: KubeObject[],
  options: ManifestOptions = {},
): Promise<ManifestFile[]> => {
  const { stringify } = await import('yaml')
  const of = (...kinds: string[]): KubeObject[] => objects.filter((o) => kinds.includes(o.kind ?? ''))
  const fixed: [string, KubeObject[]][] = [
    ['namespace', of('Namespace')],
    ['configmap', of('ConfigMap')],
    ['secrets', of('Secret')],
  ]
  const drafts: Draft[] = [
    ...servicesOf(objects).flatMap((service) => draftsOf(service, objects)),
    { name: 'networkpolicy', objects: of('NetworkPolicy') },
    { name: 'ingress', objects: of('Ingress') },
  ].filter((draft) => draft.objects.length)
  const width = String(fixed.length + drafts.length - 1).length > 2 ? 3 : 2
  const write = (object: KubeObject): string => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })
  const file = (number: number, { name, objects: held }: Draft): ManifestFile => ({
    name: `${String(number).padStart(width, '0')}-${name}.yaml`,
    content: held.map(write).join('---\n'),
  })
  const files = [
    ...fixed.flatMap(([name, held], i) => (held.length ? [file(i, { name, objects: held })] : [])),
    ...drafts.map((draft, i) => file(fixed.length + i, draft)),
  ]
  if (!options.kustomize) return files
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: files.map((f) => f.name),
  }
  return [...files, { name: 'kustomization.yaml', content: stringify(kustomization) }]
}

/** Services by the order in which their accounts come, which is the order of start. */
const servicesOf = (objects: KubeObject[]): string[] => {
  const names = objects
    .filter((o) => o.kind === 'ServiceAccount' || o.kind === 'Service' || workloads.includes(o.kind ?? ''))
    .sort((a, b) => Number(b.kind === 'ServiceAccount') - Number(a.kind === 'ServiceAccount'))
    .flatMap((o) => ownerOf(o) ?? [])
  return [...new Set(names)]
}

const draftsOf = (service: string, objects: KubeObject[]): Draft[] => {
  const mine = (...kinds: string[]): KubeObject[] =>
    objects.filter((o) => ownerOf(o) === service && kinds.includes(o.kind ?? ''))
  const workload = mine(...workloads)
  const name = workload[0]?.metadata.name ?? mine('Service')[0]?.metadata.name ?? service
  const claims = new Set(workload.flatMap(claimsOf))
  const storage = objects.filter(
    (o) =>
      (o.kind === 'PersistentVolumeClaim' &&
        claims.has(o.metadata.name!) &&
        firstUser(o.metadata.name!, objects) === service) ||
      (o.kind === 'PersistentVolume' &&
        [...claims].some((claim) => o.metadata.name!.endsWith(`-${claim}`) && firstUser(claim, objects) === service)),
  )
  return [
    { name: `${name}-pvc`, objects: storage },
    {
      name: `${name}-${(workload[0]?.kind ?? 'account').toLowerCase()}`,
      objects: [...mine('ServiceAccount'), ...workload, ...mine('HorizontalPodAutoscaler', 'PodDisruptionBudget')],
    },
    { name: `${name}-service`, objects: mine('Service') },
  ]
}

interface PodHolder {
  spec?: { template?: { spec?: { volumes?: { persistentVolumeClaim?: { claimName: string } }[] } } }
}
const claimsOf = (object: KubeObject): string[] =>
  ((object as PodHolder).spec?.template?.spec?.volumes ?? []).flatMap((v) => v.persistentVolumeClaim?.claimName ?? [])
const firstUser = (claim: string, objects: KubeObject[]): string | undefined => {
  const order = servicesOf(objects)
  const users = objects
    .filter((o) => workloads.includes(o.kind ?? '') && claimsOf(o).includes(claim))
    .flatMap((o) => ownerOf(o) ?? [])
  return users.sort((a, b) => order.indexOf(a) - order.indexOf(b))[0]
}
