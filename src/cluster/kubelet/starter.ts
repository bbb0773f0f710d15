/** Starts one container of a pod: volumes, environment, image, creation, postStart. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerSpec, Image } from '../../engine/index.ts'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { formatMilli, quantityMilli, quantityValue } from '../../lib/quantity.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { containerSpec } from './container-spec.ts'
import { containerEnv, podField } from './env.ts'
import { runHook } from './hooks.ts'
import { authsFor, type PodImages } from './images.ts'
import { podRuntime, withContainerRuntime } from './runtime.ts'
import type { ContainerRole, KubeletDeps } from './types.ts'
import { type MountedVolume, mountVolume, type VolumePlaces, type VolumeSources } from './volumes.ts'

export interface StartRequest {
  pod: Pod
  container: Container
  role: ContainerRole
  attempt: number
  podIP: string | undefined
  signal: AbortSignal
}

export const podPlaces = (deps: Pick<KubeletDeps, 'stateDir' | 'runDir'>, uid: string): VolumePlaces => ({
  disk: join(deps.stateDir, 'pods', uid),
  memory: join(deps.runDir, 'pods', uid),
})

/** What a pod's volumes and environment are made from: ConfigMaps, Secrets, claims, its own fields. */
export const sourcesOf = (deps: KubeletDeps, pod: Pod, podIP: string | undefined): VolumeSources => {
  const namespace = pod.metadata.namespace!
  const of = deps.informers
  return {
    configMap: (name) => of.of(kinds.ConfigMap).get(namespace, name),
    secret: (name) => of.of(kinds.Secret).get(namespace, name),
    services: () => of.of(kinds.Service).list(),
    claim: (name) => of.of(kinds.PersistentVolumeClaim).get(namespace, name),
    volume: (name) => of.of(kinds.PersistentVolume).get(undefined, name),
    field: (path) =>
      podField(pod, path, { node: deps.node.name, hostIP: deps.node.address, podIP: podIP ?? pod.status?.podIP }),
    resource: (ref) => resourceField(pod, ref),
    token: async (audience, seconds) => {
      const request = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: {},
        spec: {
          ...(audience ? { audiences: [audience] } : {}),
          expirationSeconds: seconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid },
        },
      }
      const key = { namespace, name: pod.spec?.serviceAccountName ?? 'default' }
      const answer = await deps.client.createSubresource(kinds.ServiceAccount, key, 'token', request)
      return (answer.status as { token: string }).token
    },
  }
}

const resourceField = (
  pod: Pod,
  ref: { containerName?: string | undefined; resource: string; divisor?: string | undefined },
): string => {
  const container = pod.spec!.containers.find((c) => c.name === ref.containerName) ?? pod.spec!.containers[0]!
  const [kind, name] = ref.resource.split('.') as ['limits' | 'requests', string]
  const text = container.resources?.[kind]?.[name] ?? container.resources?.limits?.[name]
  if (name === 'cpu') {
    const divisor = quantityMilli(ref.divisor && ref.divisor !== '0' ? ref.divisor : '1')
    return String(Math.ceil(quantityMilli(text) / divisor)) || formatMilli(0)
  }
  const divisor = quantityValue(ref.divisor && ref.divisor !== '0' ? ref.divisor : '1')
  return String(Math.ceil(quantityValue(text) / divisor))
}

/** All volumes of the pod, made or refreshed. A missing ConfigMap, Secret or claim: 'precondition' or 'not-found'. */
export const mountVolumes = async (
  deps: KubeletDeps,
  pod: Pod,
  podIP: string | undefined,
): Promise<Map<string, MountedVolume>> => {
  const sources = sourcesOf(deps, pod, podIP)
  const places = podPlaces(deps, pod.metadata.uid!)
  const mounted = new Map<string, MountedVolume>()
  for (const volume of pod.spec?.volumes ?? []) {
    try {
      mounted.set(volume.name, await mountVolume(pod, volume, places, sources, deps.sys))
    } catch (error) {
      const message = `MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`
      throw new SlipwayError(isError(error) ? error.code : 'internal', message, {
        details: { reason: 'FailedMount' },
        cause: error,
      })
    }
  }
  return mounted
}

const nodeMemory = (): number =>
  Number(/MemTotal:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024

export const startContainer = async (deps: KubeletDeps, images: PodImages, request: StartRequest): Promise<string> => {
  const { pod, container } = request
  const record = (type: 'Normal' | 'Warning', reason: string, message: string): void =>
    deps.record(pod as never, type, reason, message)
  const volumes = await mountVolumes(deps, pod, request.podIP)
  const image = await ensureImage(deps, images, request, record)
  const spec = await buildSpec(deps, request, image, volumes)
  let id: string | undefined
  try {
    const created = await deps.engine.containers.create(spec)
    id = created.id
    record('Normal', 'Created', `Created container: ${container.name}`)
    await deps.engine.containers.start(id)
  } catch (error) {
    record('Warning', 'Failed', `Error: ${messageOf(error)}`)
    if (id && deps.engine.containers.get(id)?.error) return id
    if (id) await deps.engine.containers.remove(id, { force: true }).catch(() => {})
    throw new SlipwayError('internal', messageOf(error), {
      details: { reason: id ? 'RunContainerError' : 'CreateContainerError' },
      cause: error,
    })
  }
  record('Normal', 'Started', `Started container ${container.name}`)
  await postStart(deps, request, id, record)
  return id
}

type Record = (type: 'Normal' | 'Warning', reason: string, message: string) => void

const ensureImage = async (
  deps: KubeletDeps,
  images: PodImages,
  request: StartRequest,
  record: Record,
): Promise<Image> => {
  const { container, pod } = request
  const reference = container.image ?? ''
  const policy = container.imagePullPolicy ?? 'IfNotPresent'
  try {
    return await images.ensure(
      { reference, policy, auths: pullAuths(deps, pod, reference), signal: request.signal },
      {
        pulling: () => record('Normal', 'Pulling', `Pulling image "${reference}"`),
        pulled: (image, ms, present) =>
          record(
            'Normal',
            'Pulled',
            present
              ? `Container image "${reference}" already present on machine`
              : `Successfully pulled image "${reference}" in ${(ms / 1000).toFixed(3)}s. Image size: ${image.size} bytes.`,
          ),
      },
    )
  } catch (error) {
    const reason = (isError(error) && (error.details as { reason?: string } | undefined)?.reason) || 'ErrImagePull'
    if (reason === 'ImagePullBackOff') record('Normal', 'BackOff', `Back-off pulling image "${reference}"`)
    else record('Warning', 'Failed', `Failed to pull image "${reference}": ${messageOf(error)}`)
    throw error
  }
}

const pullAuths = (deps: KubeletDeps, pod: Pod, reference: string): ReturnType<typeof authsFor> => {
  const secrets = deps.informers.of(kinds.Secret)
  const configs = (pod.spec?.imagePullSecrets ?? [])
    .map((ref) => secrets.get(pod.metadata.namespace, ref.name ?? '')?.data?.['.dockerconfigjson'])
    .filter((data) => data !== undefined)
    .map((data) => Buffer.from(data, 'base64').toString())
  const first = reference.split('/')[0]!
  return authsFor(/[.:]|^localhost$/.test(first) ? first : 'docker.io', configs)
}

const buildSpec = async (
  deps: KubeletDeps,
  request: StartRequest,
  image: Image,
  volumes: Map<string, MountedVolume>,
): Promise<ContainerSpec> => {
  const { pod, container } = request
  try {
    const env = containerEnv(pod, container, sourcesOf(deps, pod, request.podIP))
    const spec = containerSpec({
      ...request,
      image,
      env,
      volumes,
      inVolume: (root, path) => deps.sys.files.resolveInRoot(root, path),
      nodeMemoryBytes: nodeMemory(),
    })
    const runtime = podRuntime(pod, (problem) =>
      deps.record(pod as never, 'Warning', 'InvalidRuntimeAnnotation', problem),
    )
    return withContainerRuntime(spec, runtime, runtime?.containers[container.name])
  } catch (error) {
    throw new SlipwayError(isError(error) ? error.code : 'internal', messageOf(error), {
      details: { reason: 'CreateContainerConfigError' },
      cause: error,
    })
  }
}

const postStart = async (deps: KubeletDeps, request: StartRequest, id: string, record: Record): Promise<void> => {
  const hook = request.container.lifecycle?.postStart
  if (!hook) return
  try {
    const at = {
      containerId: id,
      container: request.container,
      podIP: request.podIP,
      timeoutMs: 600_000,
      signal: request.signal,
    }
    await runHook(hook, at, deps.engine.containers, deps.clock)
  } catch (error) {
    record('Warning', 'FailedPostStartHook', `PostStartHook failed: ${messageOf(error)}`)
    record('Normal', 'Killing', `Stopping container ${request.container.name}: FailedPostStartHook`)
    await deps.engine.containers.stop(id, { timeoutMs: (request.pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000 })
  }
}
