/** Applies the pod annotation slipway.dev/runtime to what the pod's own specification gave. Pure. */
import type { ContainerSpec, MountSpec, SandboxSpec } from '../../engine/index.ts'
import type { Pod } from '../../spec/kube/generated/types.ts'
import { type ContainerRuntime, type PodRuntime, runtimeAnnotation } from '../../spec/kube/runtime-annotation.ts'

/** undefined: the pod has none, or one that cannot be read (`problem` is told so that the user hears of it). */
export const podRuntime = (pod: Pod, problem: (message: string) => void): PodRuntime | undefined => {
  const text = pod.metadata.annotations?.[runtimeAnnotation]
  if (!text) return undefined
  try {
    const value = JSON.parse(text) as PodRuntime
    if (value.version === 1) return value
    problem(`annotation ${runtimeAnnotation}: version ${String(value.version)} is not known to this node`)
  } catch {
    problem(`annotation ${runtimeAnnotation} is not JSON`)
  }
  return undefined
}

export const withPodRuntime = (spec: SandboxSpec, runtime: PodRuntime | undefined): SandboxSpec => {
  if (!runtime) return spec
  const network: SandboxSpec['network'] =
    runtime.network === 'none'
      ? { mode: 'none' }
      : spec.network.mode === 'attached'
        ? {
            mode: 'attached',
            attachments: spec.network.attachments.map((a) => ({
              ...a,
              ...defined({ ipv4: runtime.ipv4, ipv6: runtime.ipv6, mac: runtime.mac }),
            })),
          }
        : spec.network
  return {
    ...spec,
    network,
    hosts: [...spec.hosts, ...(runtime.hosts ?? [])],
    sysctls: { ...spec.sysctls, ...runtime.sysctls },
    ...defined({ domainname: runtime.domainname }),
  }
}

const defined = <T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }

export const withContainerRuntime = (
  spec: ContainerSpec,
  pod: PodRuntime | undefined,
  runtime: ContainerRuntime | undefined,
): ContainerSpec => {
  const shared = { ...(pod?.uts ? { utsMode: pod.uts } : {}), sysctls: { ...spec.sysctls, ...pod?.sysctls } }
  if (!runtime) return { ...spec, ...shared }
  return {
    ...spec,
    ...shared,
    ...defined({
      user: runtime.user,
      init: runtime.init,
      stopSignal: runtime.stopSignal,
      stopTimeoutMs: runtime.stopTimeoutMs,
      ulimits: runtime.ulimits,
      devices: runtime.devices,
      deviceRequests: runtime.deviceRequests,
      deviceCgroupRules: runtime.deviceCgroupRules,
      oomScoreAdj: runtime.oomScoreAdj,
      cgroupParent: runtime.cgroupParent,
      cgroupnsMode: runtime.cgroupnsMode,
      usernsMode: runtime.usernsMode,
    }),
    groups: [...spec.groups, ...(runtime.groups ?? [])],
    labels: { ...runtime.labels, ...spec.labels },
    mounts: spec.mounts.map((m) => withMountRuntime(m, runtime)).concat(tmpfsMounts(spec, runtime)),
    resources: {
      ...spec.resources,
      ...defined({
        memorySwap: runtime.memorySwap,
        memorySwappiness: runtime.memorySwappiness,
        memoryReservation: runtime.memoryReservation,
        oomKillDisable: runtime.oomKillDisable,
        cpuShares: runtime.cpuShares,
        cpuQuota: runtime.cpuQuota,
        cpuPeriod: runtime.cpuPeriod,
        cpuRealtimePeriod: runtime.cpuRealtimePeriod,
        cpuRealtimeRuntime: runtime.cpuRealtimeRuntime,
        cpusetCpus: runtime.cpusetCpus,
        pidsLimit: runtime.pidsLimit,
        blkioWeight: runtime.blkioWeight,
        blkioDevices: runtime.blkioDevices,
      }),
    },
    security: withSecurityOptions(spec.security, runtime.securityOptions ?? []),
    ...(runtime.log ? { log: logOf(runtime.log) } : {}),
  }
}

const withMountRuntime = (mount: MountSpec, runtime: ContainerRuntime): MountSpec => {
  if (mount.type !== 'bind') return mount
  const propagation = runtime.mountPropagation?.[mount.target]
  return {
    ...mount,
    ...(runtime.copyUp?.includes(mount.target) ? { copyUp: true } : {}),
    ...(propagation ? { propagation } : {}),
  }
}

/** In-memory directories with mount options of their own replace the emptyDir that stands for them elsewhere. */
const tmpfsMounts = (spec: ContainerSpec, runtime: ContainerRuntime): MountSpec[] =>
  Object.entries(runtime.tmpfs ?? {})
    .filter(([target]) => !spec.mounts.some((m) => m.target === target))
    .map(([target, options]) => ({ type: 'tmpfs', target, options }))

const withSecurityOptions = (security: ContainerSpec['security'], options: string[]): ContainerSpec['security'] => {
  const result = { ...security }
  for (const option of options) {
    const [key, value = ''] = option.split(/[=:](.*)/s)
    if (key === 'systempaths' && value === 'unconfined') Object.assign(result, { maskedPaths: [], readOnlyPaths: [] })
    else if (key === 'apparmor') result.apparmor = value
    else if (key === 'label') result.selinux = [...(result.selinux ?? []), value]
    else if (key === 'seccomp') result.seccomp = value
    else if (key === 'no-new-privileges') result.noNewPrivileges = value !== 'false'
  }
  return result
}

const logOf = (log: { driver: string; options: Record<string, string> }): ContainerSpec['log'] => ({
  driver: log.driver === 'none' || log.driver === 'local' ? log.driver : 'json-file',
  options: log.options,
})
