/**
 * What a container file can say and a Kubernetes object cannot. It travels as JSON in one pod annotation. The kubelet of the
 * embedded cluster reads it; any other cluster ignores it, which is why whoever writes it also reports a loss there.
 * Field names and units mirror the engine's ContainerSpec and Resources: sizes are bytes, durations milliseconds.
 * A field given here wins over what the pod's own specification says about the same thing.
 */
export const runtimeAnnotation = 'slipway.dev/runtime'
/** On a Service of type LoadBalancer: the one address of this machine to listen on, e.g. "127.0.0.1". Absent: all. */
export const hostIpAnnotation = 'slipway.dev/host-ip'

export interface PodRuntime {
  version: 1
  /** By container name; containers without an entry have nothing special. */
  containers: Record<string, ContainerRuntime>
  /** Lines for /etc/hosts that hostAliases cannot say: the address may be 'host-gateway'. */
  hosts?: { name: string; address: string }[] | undefined
  domainname?: string | undefined
  /** Static addresses, one pod only: never together with several replicas. */
  ipv4?: string | undefined
  ipv6?: string | undefined
  mac?: string | undefined
  /** No network but loopback. */
  network?: 'none' | undefined
  /** 'host': the machine's UTS namespace. */
  uts?: string | undefined
  /** Beyond those a pod may set (securityContext.sysctls holds the safe ones). */
  sysctls?: Record<string, string> | undefined
}

export interface ContainerRuntime {
  /** "name", "name:group", "uid:group", … to be resolved from the container's own files. */
  user?: string | undefined
  /** Supplementary groups that are names. */
  groups?: string[] | undefined
  init?: boolean | undefined
  stopSignal?: string | undefined
  /** Exact; terminationGracePeriodSeconds is rounded up and has the drain added. */
  stopTimeoutMs?: number | undefined
  /** -1 is unlimited. */
  ulimits?: { name: string; soft: number; hard: number }[] | undefined
  devices?: { hostPath: string; containerPath: string; permissions: string }[] | undefined
  /** Devices that specifications on the machine name, as docker's API asks for them. */
  deviceRequests?:
    | { driver: string; count: number; ids: string[]; capabilities: string[][]; options: Record<string, string> }[]
    | undefined
  deviceCgroupRules?: string[] | undefined
  /** Memory plus swap; -1 is unlimited. */
  memorySwap?: number | undefined
  memorySwappiness?: number | undefined
  memoryReservation?: number | undefined
  oomKillDisable?: boolean | undefined
  oomScoreAdj?: number | undefined
  cpuShares?: number | undefined
  /** Microseconds. */
  cpuQuota?: number | undefined
  cpuPeriod?: number | undefined
  cpuRealtimePeriod?: number | undefined
  cpuRealtimeRuntime?: number | undefined
  cpusetCpus?: string | undefined
  pidsLimit?: number | undefined
  blkioWeight?: number | undefined
  blkioDevices?:
    | { kind: 'weight' | 'read-bps' | 'write-bps' | 'read-iops' | 'write-iops'; path: string; value: number }[]
    | undefined
  cgroupParent?: string | undefined
  cgroupnsMode?: 'private' | 'host' | undefined
  usernsMode?: string | undefined
  /** As docker's --security-opt, those that a securityContext cannot say: "systempaths=unconfined", "apparmor=…", "label=…". */
  securityOptions?: string[] | undefined
  storageOptions?: Record<string, string> | undefined
  /** Options of in-memory directories by mount path, as mount(8) takes them: ["mode=1770", "uid=1000", "exec"]. */
  tmpfs?: Record<string, string[]> | undefined
  log?: { driver: string; options: Record<string, string> } | undefined
  /** Labels of the container, as `docker inspect` shows them. */
  labels?: Record<string, string> | undefined
  /** Volumes that are filled from the image's content at that path when they are empty, by mount path. */
  copyUp?: string[] | undefined
  /** Owner of single-file mounts of Secrets and ConfigMaps, by mount path. */
  fileOwners?: Record<string, { uid: number; gid: number }> | undefined
  /** By mount path: 'rslave', 'rshared', … */
  mountPropagation?: Record<string, string> | undefined
  probes?: ProbeTimings | undefined
}

/**
 * The exact timing of the probes; periodSeconds and timeoutSeconds are these rounded up to whole seconds. `same`: readiness
 * and liveness run the same test at the same pace, so one run may serve both.
 */
export interface ProbeTimings {
  startup?: { periodMs: number; timeoutMs: number; failureThreshold: number } | undefined
  readiness?: { periodMs: number; timeoutMs: number; failureThreshold: number } | undefined
  liveness?: { periodMs: number; timeoutMs: number; failureThreshold: number } | undefined
  same?: boolean | undefined
}
