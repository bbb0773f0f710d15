/** CPU, memory and everything else that is measured out. */
import { formatBytes, formatMilli } from '../../lib/quantity.ts'
import type { Service, Ulimit } from '../../spec/compose/project.ts'
import type { ContainerRuntime } from '../../spec/kube/runtime-annotation.ts'
import type { Lowering } from './context.ts'
import { deviceMaps, gpuLimits } from './devices.ts'
import type { Piece } from './piece.ts'

const cpu = (cpus: number): string => formatMilli(Math.max(1, Math.round(cpus * 1000)))

export const resources = (service: Service, lowering: Lowering): Piece => {
  const { limits, reservations } = service.deploy?.resources ?? {}
  const quota =
    service.cpu_quota && service.cpu_quota > 0 ? service.cpu_quota / (service.cpu_period || 100_000) : undefined
  const cpuLimit = service.cpus || limits?.cpus || service.cpu_count || quota
  const cpuRequest = reservations?.cpus || (service.cpu_shares ? service.cpu_shares / 1024 : undefined)
  const memoryLimit = service.mem_limit || limits?.memory
  const memoryRequest = service.mem_reservation || reservations?.memory
  const gpus = gpuLimits(service, lowering)
  const limit = {
    ...(cpuLimit && { cpu: cpu(cpuLimit) }),
    ...(memoryLimit && { memory: formatBytes(memoryLimit) }),
    ...gpus,
    ...(service.storage_opt?.size && !lowering.local && { 'ephemeral-storage': service.storage_opt.size }),
  }
  const request = {
    ...(cpuRequest && { cpu: cpu(cpuRequest) }),
    ...(memoryRequest && { memory: formatBytes(memoryRequest) }),
  }
  if (service.cpu_shares)
    lowering.onlyHere(
      service.name,
      'cpu_shares',
      'a relative weight becomes a CPU request (1024 = one CPU)',
      'Use deploy.resources.reservations.cpus.',
    )
  if (!lowering.local && (!memoryLimit || !(cpuRequest || cpuLimit)))
    lowering.warn(
      service.name,
      'deploy.resources',
      'requests or limits are missing; the pod is the first to be evicted when a node runs short',
      'Give deploy.resources.limits.memory and reservations.',
    )
  for (const [i, item] of (reservations?.generic_resources ?? []).entries())
    lowering.warn(
      service.name,
      `deploy.resources.reservations.generic_resources.${i}`,
      `Swarm's generic resource "${item.discrete_resource_spec?.kind}" has no meaning in Kubernetes`,
      "Use a device plugin's resource.",
    )
  return {
    container: {
      ...((Object.keys(limit).length || Object.keys(request).length) && {
        resources: {
          ...(Object.keys(request).length && { requests: request }),
          ...(Object.keys(limit).length && { limits: limit }),
        },
      }),
    },
    runtime: limitsOnlyHere(service, lowering),
  }
}

const ulimitOf = (name: string, limit: Ulimit): { name: string; soft: number; hard: number } =>
  typeof limit === 'number' ? { name, soft: limit, hard: limit } : { name, soft: limit.soft, hard: limit.hard }

/** attribute of the file → field of the annotation, what a cluster does without it, what to do there. */
const mirrored: [keyof Service, (s: Service) => ContainerRuntime, string, string][] = [
  [
    'memswap_limit',
    (s) => ({ memorySwap: s.memswap_limit }),
    'swap is set up per node',
    'Configure swap on the nodes.',
  ],
  [
    'mem_swappiness',
    (s) => ({ memorySwappiness: s.mem_swappiness }),
    'swappiness is set up per node',
    'Configure swap on the nodes.',
  ],
  [
    'oom_kill_disable',
    (s) => ({ oomKillDisable: s.oom_kill_disable }),
    'a pod cannot be exempt from the OOM killer',
    'Give it a memory request equal to its limit.',
  ],
  [
    'oom_score_adj',
    (s) => ({ oomScoreAdj: s.oom_score_adj }),
    'the kubelet chooses the OOM score by quality of service',
    'Give it a memory request equal to its limit.',
  ],
  [
    'cpu_rt_period',
    (s) => ({ cpuRealtimePeriod: s.cpu_rt_period }),
    'there is no real-time scheduling',
    'Use the static CPU manager policy on dedicated nodes.',
  ],
  [
    'cpu_rt_runtime',
    (s) => ({ cpuRealtimeRuntime: s.cpu_rt_runtime }),
    'there is no real-time scheduling',
    'Use the static CPU manager policy on dedicated nodes.',
  ],
  [
    'cpuset',
    (s) => ({ cpusetCpus: s.cpuset }),
    'CPUs are not chosen by number',
    'Use whole-number CPU requests with the static CPU manager policy.',
  ],
  ['cpu_shares', (s) => ({ cpuShares: s.cpu_shares }), '', ''],
  ['cpu_quota', (s) => ({ cpuQuota: s.cpu_quota }), '', ''],
  ['cpu_period', (s) => ({ cpuPeriod: s.cpu_period }), 'the period is set up per node', 'Set cpus instead.'],
  ['cgroup_parent', (s) => ({ cgroupParent: s.cgroup_parent }), 'the kubelet chooses the cgroup', 'Leave it out.'],
  [
    'cgroup',
    (s) => ({ cgroupnsMode: s.cgroup as 'host' | 'private' }),
    'the cgroup namespace is always private',
    'Leave it out.',
  ],
  [
    'init',
    (s) => ({ init: s.init }),
    "the pod's processes share one process namespace instead",
    'Put an init such as tini into the image.',
  ],
  [
    'device_cgroup_rules',
    (s) => ({ deviceCgroupRules: s.device_cgroup_rules }),
    'device rules need a device plugin',
    'Use a device plugin.',
  ],
  [
    'ulimits',
    (s) => ({ ulimits: Object.entries(s.ulimits ?? {}).map(([name, limit]) => ulimitOf(name, limit)) }),
    "limits are those of the node's container runtime",
    "Set them in the container runtime's configuration, or in an entrypoint with `ulimit`.",
  ],
]

const limitsOnlyHere = (service: Service, lowering: Lowering): ContainerRuntime => {
  let runtime: ContainerRuntime = {}
  for (const [key, field, message, hint] of mirrored) {
    if (service[key] === undefined) continue
    runtime = { ...runtime, ...field(service) }
    if (message)
      lowering.onlyHere(
        service.name,
        key as string,
        `${String(key)}: ${message}`,
        hint,
        key === 'device_cgroup_rules' ? 'refuse' : 'warn',
      )
  }
  const pids = service.pids_limit ?? service.deploy?.resources?.limits?.pids
  if (pids !== undefined) {
    runtime.pidsLimit = pids
    const path = service.pids_limit === undefined ? 'deploy.resources.limits.pids' : 'pids_limit'
    lowering.onlyHere(
      service.name,
      path,
      'the limit on processes is set up per node (podPidsLimit)',
      'Set podPidsLimit on the nodes.',
    )
  }
  if (service.mem_reservation && lowering.local) runtime.memoryReservation = service.mem_reservation
  if (service.cpu_percent !== undefined)
    lowering.warn(service.name, 'cpu_percent', 'cpu_percent is for Windows containers', 'Use cpus.')
  if (service.storage_opt) {
    runtime.storageOptions = service.storage_opt
    lowering.warn(
      service.name,
      'storage_opt',
      lowering.local
        ? "the size of a container's own files is not limited here"
        : 'only size is carried over, as a limit on ephemeral storage',
      'Use a volume with a size.',
    )
  }
  return { ...runtime, ...blkio(service, lowering), ...deviceMaps(service, lowering) }
}

const blkio = (service: Service, lowering: Lowering): ContainerRuntime => {
  const config = service.blkio_config
  if (!config) return {}
  lowering.onlyHere(
    service.name,
    'blkio_config',
    'block I/O is not limited per pod',
    'Choose a storage class with limits.',
  )
  const rates = (
    kind: 'read-bps' | 'write-bps' | 'read-iops' | 'write-iops',
    items: { path: string; rate: number }[] = [],
  ) => items.map(({ path, rate }) => ({ kind, path, value: rate }))
  const devices = [
    ...(config.weight_device ?? []).map(({ path, weight }) => ({ kind: 'weight' as const, path, value: weight })),
    ...rates('read-bps', config.device_read_bps),
    ...rates('write-bps', config.device_write_bps),
    ...rates('read-iops', config.device_read_iops),
    ...rates('write-iops', config.device_write_iops),
  ]
  return {
    ...(config.weight !== undefined && { blkioWeight: config.weight }),
    ...(devices.length && { blkioDevices: devices }),
  }
}
