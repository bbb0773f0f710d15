/** An engine container from a pod's container: pure. What Kubernetes cannot say comes from the annotation slipway.dev/runtime. */

import type { ContainerSpec, Image, MountSpec, Resources, SecurityOptions } from '../../engine/index.ts'
import { SlipwayError } from '../../errors.ts'
import { quantityMilli, quantityValue } from '../../lib/quantity.ts'
import type { Container, Pod, VolumeMount } from '../../spec/kube/generated/types.ts'
import { expand } from './env.ts'
import { podSysctls } from './sandbox-spec.ts'
import { qosClass } from './status.ts'
import { type ContainerRole, label } from './types.ts'
import type { MountedVolume } from './volumes.ts'

interface ContainerInput {
  pod: Pod
  container: Container
  role: ContainerRole
  attempt: number
  streak: number
  target: string | undefined
  image: Image
  env: ReadonlyMap<string, string>
  volumes: ReadonlyMap<string, MountedVolume>
  /** Resolves a sub-path inside a volume without leaving it. */
  inVolume: (root: string, path: string) => string
  nodeMemoryBytes: number
}

const period = 100_000

export const containerSpec = (input: ContainerInput): ContainerSpec => {
  const { pod, container, env } = input
  const name = `k8s_${container.name}_${pod.metadata.name}_${pod.metadata.namespace}_${pod.metadata.uid}_${input.attempt}`
  return {
    name,
    image: input.image.id,
    ...(container.command ? { entrypoint: container.command.map((a) => expand(a, env)) } : {}),
    ...(container.args ? { cmd: container.args.map((a) => expand(a, env)) } : {}),
    env: [...env].map(([k, v]) => `${k}=${v}`),
    ...(container.workingDir ? { workingDir: container.workingDir } : {}),
    ...userOf(input),
    groups: groupsOf(pod),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    labels: labelsOf(input),
    annotations: {},
    sandbox: { shared: pod.metadata.uid! },
    ...pidMode(input),
    mounts: (container.volumeMounts ?? []).map((m) => mountOf(m, input)),
    noImageVolumes: false,
    devices: [],
    deviceCgroupRules: [],
    resources: resourcesOf(container),
    security: securityOf(pod, container),
    ulimits: [],
    ...oomScore(pod, container, input.nodeMemoryBytes),
    // The runtime sets defaults of its own in the pod's namespaces unless a container says otherwise.
    sysctls: podSysctls(pod),
    init: false,
    ...stopSignal(container),
    stopTimeoutMs: (pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000,
    restart: { policy: 'no', maxRetries: 0 },
    autoRemove: false,
    healthcheck: { Test: ['NONE'] },
    log: { driver: 'json-file', options: {} },
  }
}

const stopSignal = (container: Container): { stopSignal?: string } => {
  const signal = container.lifecycle?.stopSignal
  return signal ? { stopSignal: signal } : {}
}

const pidMode = ({ pod, target }: ContainerInput): { pidMode?: string } => {
  if (pod.spec?.hostPID) return { pidMode: 'host' }
  if (pod.spec?.shareProcessNamespace) return { pidMode: 'sandbox' }
  return target ? { pidMode: `container:${target}` } : {}
}

const labelsOf = ({ pod, container, role, attempt, streak, image }: ContainerInput): Record<string, string> => {
  const compose = Object.entries({ ...pod.metadata.annotations, ...pod.metadata.labels }).filter(([k]) =>
    k.startsWith('com.docker.compose.'),
  )
  return {
    ...image.config.config?.Labels,
    ...Object.fromEntries(compose),
    [label.pod]: pod.metadata.name!,
    [label.namespace]: pod.metadata.namespace!,
    [label.uid]: pod.metadata.uid!,
    [label.container]: container.name,
    [label.role]: role,
    [label.attempt]: String(attempt),
    [label.streak]: String(streak),
    [label.image]: container.image ?? '',
  }
}

const userOf = ({ pod, container, image }: ContainerInput): { user?: string } => {
  const own = container.securityContext ?? {}
  const shared = pod.spec?.securityContext ?? {}
  const uid = own.runAsUser ?? shared.runAsUser
  const gid = own.runAsGroup ?? shared.runAsGroup
  const imageUser = image.config.config?.User ?? ''
  if (own.runAsNonRoot ?? shared.runAsNonRoot) refuseRoot(pod, container, uid, imageUser)
  if (uid !== undefined) return { user: gid === undefined ? String(uid) : `${uid}:${gid}` }
  if (gid !== undefined) return { user: `${imageUser.split(':')[0] || '0'}:${gid}` }
  return {}
}

const refuseRoot = (pod: Pod, container: Container, uid: number | undefined, imageUser: string): void => {
  const where = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`
  const name = imageUser.split(':')[0]!
  if (uid === 0) throw new SlipwayError('invalid', `container's runAsUser breaks non-root policy ${where}`)
  if (uid !== undefined) return
  if (name === '' || name === '0' || name === 'root')
    throw new SlipwayError('invalid', `container has runAsNonRoot and image will run as root ${where}`)
  if (!/^\d+$/.test(name))
    throw new SlipwayError(
      'invalid',
      `container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root ${where}`,
    )
}

const groupsOf = (pod: Pod): string[] => {
  const context = pod.spec?.securityContext
  const groups = [...(context?.supplementalGroups ?? []), ...(context?.fsGroup === undefined ? [] : [context.fsGroup])]
  return groups.map(String)
}

const propagation: Record<string, string> = { HostToContainer: 'rslave', Bidirectional: 'rshared' }

const mountOf = (mount: VolumeMount, input: ContainerInput): MountSpec => {
  const volume = input.volumes.get(mount.name)
  if (!volume) throw new SlipwayError('invalid', `volume mount "${mount.name}" refers to no volume of the pod`)
  const sub = mount.subPathExpr ? expand(mount.subPathExpr, input.env) : mount.subPath
  return {
    type: 'bind',
    source: sub ? input.inVolume(volume.path, sub) : volume.path,
    target: mount.mountPath,
    readOnly: (mount.readOnly ?? false) || volume.readOnly,
    recursive: true,
    ...(volume.copyUp ? { copyUp: true } : {}),
    ...(mount.mountPropagation && propagation[mount.mountPropagation]
      ? { propagation: propagation[mount.mountPropagation] }
      : {}),
  }
}

const resourcesOf = (container: Container): Resources => {
  const { limits = {}, requests = {} } = container.resources ?? {}
  const cpuRequest = requests.cpu ?? limits.cpu
  return {
    ...(limits.memory ? { memory: quantityValue(limits.memory) } : {}),
    ...(limits.cpu
      ? { cpuQuota: Math.max(1000, Math.round((quantityMilli(limits.cpu) * period) / 1000)), cpuPeriod: period }
      : {}),
    // Kubernetes' MilliCPUToShares: 1024 a core, at least 2.
    cpuShares: Math.max(2, Math.round((quantityMilli(cpuRequest) * 1024) / 1000)),
  }
}

const securityOf = (pod: Pod, container: Container): SecurityOptions => {
  const own = container.securityContext ?? {}
  const profile = own.seccompProfile ?? pod.spec?.securityContext?.seccompProfile
  const privileged = own.privileged ?? false
  const apparmor = own.appArmorProfile ?? pod.spec?.securityContext?.appArmorProfile
  const selinux = own.seLinuxOptions ?? pod.spec?.securityContext?.seLinuxOptions
  return {
    privileged,
    capAdd: own.capabilities?.add ?? [],
    capDrop: own.capabilities?.drop ?? [],
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    seccomp: privileged || profile?.type === 'Unconfined' ? 'unconfined' : seccompOf(profile),
    readOnlyRootfs: own.readOnlyRootFilesystem ?? false,
    ...(apparmor && apparmor.type !== 'RuntimeDefault'
      ? { apparmor: apparmor.type === 'Localhost' ? apparmor.localhostProfile! : 'unconfined' }
      : {}),
    ...(selinux ? { selinux: Object.entries(selinux).map(([key, value]) => `${key}:${value}`) } : {}),
    ...(own.procMount === 'Unmasked' ? { maskedPaths: [], readOnlyPaths: [] } : {}),
  }
}

const seccompOf = (profile: { type: string; localhostProfile?: string | undefined } | undefined): string => {
  if (profile?.type !== 'Localhost') return 'default'
  throw new SlipwayError('unsupported', `seccomp profile "${profile.localhostProfile}" of this node is not supported`, {
    hint: 'Use type RuntimeDefault or Unconfined.',
  })
}

/** Who is killed first when memory runs out (kubelet's qos policy). Lowering below our own score needs a capability: left alone. */
const oomScore = (pod: Pod, container: Container, nodeMemory: number): { oomScoreAdj?: number } => {
  const qos = qosClass(pod)
  if (qos === 'BestEffort') return { oomScoreAdj: 1000 }
  if (qos === 'Guaranteed') return {}
  const request = quantityValue(container.resources?.requests?.memory)
  return { oomScoreAdj: Math.min(999, Math.max(3, Math.round(1000 - (1000 * request) / nodeMemory))) }
}
