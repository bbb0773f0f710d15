/** Starts one container of a pod: volumes, environment, image, creation, postStart. */
import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ContainerSpec, Image, MountSpec } from '../../engine/index.ts'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import type { ContainerRuntime } from '../../spec/kube/runtime-annotation.ts'
import { containerSpec } from './container-spec.ts'
import { podName } from './container-status.ts'
import { containerEnv } from './env.ts'
import { runHook } from './hooks.ts'
import { hostCapacity } from './host.ts'
import { authsFor, type PodImages } from './images.ts'
import { messageMount } from './last-words.ts'
import { type PodVolumes, podPlaces } from './pod-volumes.ts'
import { podRuntime, withContainerRuntime } from './runtime.ts'
import type { ContainerRole, KubeletDeps } from './types.ts'
import type { MountedVolume } from './volumes.ts'

interface StartRequest {
  pod: Pod
  container: Container
  role: ContainerRole
  attempt: number
  /** Short tries in a row before this one. */
  streak: number
  /** Engine container whose processes an ephemeral container sees. */
  target: string | undefined
  podIP: string | undefined
  signal: AbortSignal
}
interface StartRooms {
  deps: KubeletDeps
  images: PodImages
  volumes: PodVolumes
}
/** `id`: the engine container; with `failed` it has to go again, as its postStart hook has failed. */
interface Started {
  id: string
  failed?: string | undefined
}

type Tell = (type: 'Normal' | 'Warning', reason: string, message: string) => void

const fieldOf = { main: 'containers', init: 'initContainers', ephemeral: 'ephemeralContainers' } as const

/** Rejects with details { reason, retryAt } that say why the container waits. */
export const startContainer = async (rooms: StartRooms, request: StartRequest): Promise<Started> => {
  const { deps } = rooms
  const { pod, container } = request
  const fieldPath = `spec.${fieldOf[request.role]}{${container.name}}`
  const tell: Tell = (type, reason, message) => deps.record(pod as never, type, reason, message, { fieldPath })
  const volumes = await rooms.volumes.mount(pod, request.podIP)
  const image = await ensureImage(rooms, request, tell)
  const spec = await buildSpec(rooms, request, image, volumes).catch((error: unknown) => {
    tell('Warning', 'Failed', `Error: ${messageOf(error)}`)
    throw error
  })
  request.signal.throwIfAborted()
  const id = await createAndStart(deps, spec, container, tell)
  if (deps.engine.containers.get(id)?.error) return { id }
  tell('Normal', 'Started', `Started container ${container.name}`)
  return { id, failed: await postStart(deps, request, id, tell) }
}

/** The id also when the program could not be started: that is a try like any other, with its message on record. */
const createAndStart = async (
  deps: KubeletDeps,
  spec: ContainerSpec,
  container: Container,
  tell: Tell,
): Promise<string> => {
  const { containers } = deps.engine
  let id: string | undefined
  try {
    id = (await containers.create(spec)).id
    tell('Normal', 'Created', `Created container: ${container.name}`)
    await containers.start(id)
    return id
  } catch (error) {
    tell('Warning', 'Failed', `Error: ${messageOf(error)}`)
    if (id && containers.get(id)?.error) return id
    if (id) await containers.remove(id, { force: true }).catch(() => {}) // the reason is what counts
    throw new SlipwayError('internal', messageOf(error), {
      details: { reason: id ? 'RunContainerError' : 'CreateContainerError' },
      cause: error,
    })
  }
}

const ensureImage = async (rooms: StartRooms, request: StartRequest, tell: Tell): Promise<Image> => {
  const { container, pod } = request
  const reference = container.image ?? ''
  try {
    return await rooms.images.ensure(
      {
        pod: pod.metadata.uid!,
        reference,
        policy: container.imagePullPolicy ?? 'IfNotPresent',
        auths: pullAuths(rooms.deps, pod, reference),
        signal: request.signal,
      },
      {
        pulling: () => tell('Normal', 'Pulling', `Pulling image "${reference}"`),
        pulled: (image, ms, present) =>
          tell(
            'Normal',
            'Pulled',
            present
              ? `Container image "${reference}" already present on machine`
              : `Successfully pulled image "${reference}" in ${ms < 1000 ? `${ms}ms` : `${(ms / 1000).toFixed(3)}s`} (${ms}ms including waiting). Image size: ${image.size} bytes.`,
          ),
      },
    )
  } catch (error) {
    if (request.signal.aborted) throw error
    const reason = (isError(error) && (error.details as { reason?: string } | undefined)?.reason) || 'ErrImagePull'
    if (reason === 'ImagePullBackOff') tell('Normal', 'BackOff', `Back-off pulling image "${reference}"`)
    else if (reason === 'InvalidImageName') tell('Warning', 'InspectFailed', messageOf(error))
    else if (reason === 'ErrImageNeverPull') tell('Warning', reason, messageOf(error))
    else tell('Warning', 'Failed', `Failed to pull image "${reference}": ${messageOf(error)}`)
    tell('Warning', 'Failed', `Error: ${reason}`)
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
  { deps, volumes }: StartRooms,
  request: StartRequest,
  image: Image,
  mounted: ReadonlyMap<string, MountedVolume>,
): Promise<ContainerSpec> => {
  const { pod, container } = request
  try {
    const env = containerEnv(pod, container, volumes.sources(pod, container, request.podIP))
    const spec = containerSpec({
      ...request,
      image,
      env,
      volumes: mounted,
      inVolume: (root, path) => join(root, deps.sys.files.resolveInRoot(root, path)),
      nodeMemoryBytes: hostCapacity().memoryBytes,
    })
    const runtime = podRuntime(pod, (problem) =>
      deps.record(pod as never, 'Warning', 'InvalidRuntimeAnnotation', problem),
    )
    const mine = runtime?.containers[container.name]
    const last = await messageMount(podPlaces(deps, pod.metadata.uid!).disk, container, request.attempt)
    const taken = spec.mounts.some((m) => m.target === last.target)
    const mounts = taken ? spec.mounts : [...spec.mounts, last]
    makeSubPaths(mounts, mounted)
    ownFiles(mounts, mine)
    return withContainerRuntime({ ...spec, mounts }, runtime, mine)
  } catch (error) {
    throw new SlipwayError(isError(error) ? error.code : 'internal', messageOf(error), {
      details: { reason: 'CreateContainerConfigError' },
      cause: error,
    })
  }
}

/** A sub-path that is not there yet becomes a directory like the volume itself (the kubelet's SafeMakeDir). */
const makeSubPaths = (mounts: readonly MountSpec[], volumes: ReadonlyMap<string, MountedVolume>): void => {
  for (const mount of mounts) {
    if (mount.type !== 'bind' || existsSync(mount.source)) continue
    const volume = [...volumes.values()].find((v) => mount.source.startsWith(`${v.path}/`))
    if (!volume || volume.projected) continue
    const mode = statSync(volume.path).mode & 0o7777
    const first = mkdirSync(mount.source, { recursive: true })
    for (let dir = mount.source; first && dir.length >= first.length; dir = dirname(dir)) chmodSync(dir, mode)
  }
}

/** Single files of Secrets and ConfigMaps that are to belong to somebody; their volume is this mount's own. */
const ownFiles = (mounts: readonly MountSpec[], runtime: ContainerRuntime | undefined): void => {
  for (const mount of mounts) {
    const owner = runtime?.fileOwners?.[mount.target]
    if (owner && mount.type === 'bind') chownSync(mount.source, owner.uid, owner.gid)
  }
}

/** Resolves with what went wrong; the container is to be stopped then. */
const postStart = async (
  deps: KubeletDeps,
  request: StartRequest,
  id: string,
  tell: Tell,
): Promise<string | undefined> => {
  const hook = request.container.lifecycle?.postStart
  if (!hook) return undefined
  try {
    const at = {
      containerId: id,
      container: request.container,
      podIP: request.podIP,
      timeoutMs: undefined,
      signal: request.signal,
    }
    await runHook(hook, at, deps.engine.containers, deps.clock)
    return undefined
  } catch (error) {
    if (request.signal.aborted) return undefined
    tell('Warning', 'FailedPostStartHook', `PostStartHook failed: ${messageOf(error)}`)
    return `FailedPostStartHook: pod ${podName(request.pod)}`
  }
}
