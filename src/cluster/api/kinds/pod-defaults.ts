/** Defaults of pod specs, as pkg/apis/core/v1/defaults.go sets them. Templates get fewer than pods. */
import type { Draft } from '../resource.ts'

/** Fills absent members. */
export const fill = (target: Draft, defaults: Draft): void => {
  for (const key of Object.keys(defaults)) if (target[key] === undefined) target[key] = defaults[key]
}

/** Always for ":latest" and for no tag; a digest or another tag need not be asked for again. */
const pullPolicy = (image: string): string => {
  const name = image.slice(image.lastIndexOf('/') + 1)
  if (image.includes('@')) return 'IfNotPresent'
  const tag = name.includes(':') ? name.slice(name.indexOf(':') + 1) : 'latest'
  return tag === 'latest' ? 'Always' : 'IfNotPresent'
}

const defaultHandler = (handler: Draft): void => {
  if (handler?.httpGet) fill(handler.httpGet, { path: '/', scheme: 'HTTP' })
  if (handler?.grpc) fill(handler.grpc, { service: '' })
}
const defaultProbe = (probe: Draft): void => {
  if (!probe) return
  defaultHandler(probe)
  // Zero means "not given" to a decoder of Go's integers.
  for (const [key, value] of [
    ['timeoutSeconds', 1],
    ['periodSeconds', 10],
    ['successThreshold', 1],
    ['failureThreshold', 3],
  ] as const)
    if (!probe[key]) probe[key] = value
}

const defaultContainer = (container: Draft, hostNetwork: boolean): void => {
  if (!container.imagePullPolicy && container.image) container.imagePullPolicy = pullPolicy(container.image)
  fill(container, { resources: {}, terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' })
  for (const port of container.ports ?? []) {
    fill(port, { protocol: 'TCP' })
    if (hostNetwork && !port.hostPort) port.hostPort = port.containerPort
  }
  for (const env of container.env ?? []) if (env.valueFrom?.fieldRef) fill(env.valueFrom.fieldRef, { apiVersion: 'v1' })
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) defaultProbe(container[probe])
  defaultHandler(container.lifecycle?.postStart)
  defaultHandler(container.lifecycle?.preStop)
}

const sources = new Set(['name'])
const defaultItems = (items: Draft[] | undefined): void => {
  for (const item of items ?? []) if (item.fieldRef) fill(item.fieldRef, { apiVersion: 'v1' })
}
const defaultVolume = (volume: Draft): void => {
  if (Object.keys(volume).every((key) => sources.has(key))) volume.emptyDir = {}
  for (const kind of ['secret', 'configMap', 'downwardAPI', 'projected'])
    if (volume[kind]) fill(volume[kind], { defaultMode: 420 })
  if (volume.hostPath) fill(volume.hostPath, { type: '' })
  defaultItems(volume.downwardAPI?.items)
  for (const source of volume.projected?.sources ?? []) {
    defaultItems(source.downwardAPI?.items)
    if (source.serviceAccountToken) fill(source.serviceAccountToken, { expirationSeconds: 3600 })
  }
  if (volume.ephemeral?.volumeClaimTemplate?.spec)
    fill(volume.ephemeral.volumeClaimTemplate.spec, { volumeMode: 'Filesystem' })
  if (volume.image && !volume.image.pullPolicy) volume.image.pullPolicy = pullPolicy(volume.image.reference ?? '')
  if (volume.iscsi) fill(volume.iscsi, { iscsiInterface: 'default' })
}

export const everyContainer = (spec: Draft): Draft[] => [
  ...(spec?.initContainers ?? []),
  ...(spec?.containers ?? []),
  ...(spec?.ephemeralContainers ?? []),
]

/** For pods and for the templates of workloads. */
const defaultPodSpec = (spec: Draft): void => {
  if (!spec) return
  fill(spec, {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    terminationGracePeriodSeconds: 30,
    securityContext: {},
    schedulerName: 'default-scheduler',
  })
  if (spec.dnsPolicy === '') spec.dnsPolicy = 'ClusterFirst'
  if (spec.restartPolicy === '') spec.restartPolicy = 'Always'
  // The deprecated name and the current one always agree.
  if (spec.serviceAccountName === undefined && spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName
  for (const container of everyContainer(spec)) defaultContainer(container, spec.hostNetwork === true)
  for (const volume of spec.volumes ?? []) defaultVolume(volume)
}

/** Only for pods: service links, and requests that follow from limits. */
export const defaultPod = (pod: Draft): void => {
  pod.spec ??= {}
  defaultPodSpec(pod.spec)
  fill(pod.spec, { enableServiceLinks: true })
  for (const container of everyContainer(pod.spec)) {
    const { limits } = container.resources
    if (!limits) continue
    container.resources.requests ??= {}
    for (const key of Object.keys(limits)) container.resources.requests[key] ??= limits[key]
  }
}

export const defaultTemplate = (template: Draft): void => {
  if (!template) return
  template.metadata ??= {}
  // A template is not an object of its own.
  defaultPodSpec((template.spec ??= { containers: [] }))
}
