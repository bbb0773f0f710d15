/**
 * A Compose project after loading: merged, interpolated, every short form written out. Attribute names are the Compose
 * Specification's own. Durations are milliseconds, sizes bytes, paths absolute (unless path resolution was turned off).
 * An attribute that nobody set is absent; `null` never occurs except where the type says so.
 */
import type { SourcePosition } from '../../errors.ts'

/** "services.web.ports.0.target" → where that was written. Sequence items are numbered from 0. */
export type Positions = ReadonlyMap<string, SourcePosition>
export type Extensions = Record<string, unknown>

export interface Project {
  name: string
  /** The directory that relative paths of the file are relative to. */
  workingDir: string
  /** Absolute paths of the files it came from, in the order of merging; '-' for stdin. */
  composeFiles: string[]
  /** What `${…}` was looked up in: .env or --env-file, with the caller's environment over it. */
  environment: Record<string, string>
  /** Active profiles. */
  profiles: string[]
  services: Record<string, Service>
  /** Services whose profiles are not active. */
  disabledServices: Record<string, Service>
  networks: Record<string, Network>
  volumes: Record<string, Volume>
  secrets: Record<string, FileObject>
  configs: Record<string, FileObject>
  models: Record<string, Model>
  /** Top-level x-* keys. */
  extensions: Extensions
  positions: Positions
}

/** The position of `path`, or of the nearest thing around it. */
export const positionOf = (project: Pick<Project, 'positions'>, path: string): SourcePosition | undefined => {
  for (let at = path; at; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const found = project.positions.get(at)
    if (found) return found
  }
  return undefined
}

export type DependencyCondition = 'service_started' | 'service_healthy' | 'service_completed_successfully'
export interface Dependency {
  condition: DependencyCondition
  required: boolean
  /** Roll out again when the dependency changes. */
  restart?: boolean | undefined
}

export interface Port {
  name?: string | undefined
  target: number
  /** A port "8080", a range to pick from "8080-8090"; absent: any free one. */
  published?: string | undefined
  host_ip?: string | undefined
  protocol: string // 'tcp' | 'udp' | 'sctp'
  app_protocol?: string | undefined
  mode: string // 'ingress' | 'host'
}

export interface Mount {
  type: 'bind' | 'volume' | 'tmpfs' | 'cluster' | 'npipe' | 'image'
  source?: string | undefined
  target: string
  read_only?: boolean | undefined
  consistency?: string | undefined
  bind?:
    | {
        propagation?: string | undefined
        create_host_path?: boolean | undefined
        recursive?: string | undefined
        selinux?: string | undefined
      }
    | undefined
  volume?: { nocopy?: boolean | undefined; subpath?: string | undefined; labels?: Record<string, string> | undefined }
  tmpfs?: { size?: number | undefined; mode?: number | undefined }
  image?: { subpath?: string | undefined }
  /** Binds only: what was at `source` when the file was loaded; `data` for files of up to 1 MiB. Never printed by `config`. */
  found?: { kind: 'file' | 'directory' | 'socket' | 'device' | 'nothing'; data?: Uint8Array | undefined } | undefined
}

/** A secret or config as a service mounts it. */
export interface FileMount {
  /** Key of the top-level element. */
  source: string
  /** File name under /run/secrets (secrets) or absolute path; absent: the source's name. */
  target?: string | undefined
  uid?: string | undefined
  gid?: string | undefined
  /** Permission bits, e.g. 0o440. */
  mode?: number | undefined
}

export interface Healthcheck {
  /** ['NONE'], ['CMD', …] or ['CMD-SHELL', line]; absent: the image's. */
  test?: string[] | undefined
  interval?: number | undefined
  timeout?: number | undefined
  start_period?: number | undefined
  start_interval?: number | undefined
  retries?: number | undefined
  disable?: boolean | undefined
}

export interface Build {
  context?: string | undefined
  dockerfile?: string | undefined
  dockerfile_inline?: string | undefined
  args?: Record<string, string | null> | undefined
  ssh?: Record<string, string | null> | undefined
  labels?: Record<string, string> | undefined
  cache_from?: string[] | undefined
  cache_to?: string[] | undefined
  no_cache?: boolean | undefined
  no_cache_filter?: string[] | undefined
  additional_contexts?: Record<string, string> | undefined
  network?: string | undefined
  provenance?: string | boolean | undefined
  sbom?: string | boolean | undefined
  pull?: boolean | undefined
  target?: string | undefined
  shm_size?: number | undefined
  /** "name=address" */
  extra_hosts?: string[] | undefined
  isolation?: string | undefined
  privileged?: boolean | undefined
  entitlements?: string[] | undefined
  secrets?: FileMount[] | undefined
  tags?: string[] | undefined
  ulimits?: Record<string, Ulimit> | undefined
  platforms?: string[] | undefined
}

export type Ulimit = number | { soft: number; hard: number }

export interface ServiceNetwork {
  aliases?: string[] | undefined
  interface_name?: string | undefined
  ipv4_address?: string | undefined
  ipv6_address?: string | undefined
  link_local_ips?: string[] | undefined
  mac_address?: string | undefined
  driver_opts?: Record<string, string | number> | undefined
  priority?: number | undefined
  gw_priority?: number | undefined
}

export interface DeviceRequest {
  capabilities?: string[] | undefined
  /** A number or 'all'. */
  count?: number | 'all' | undefined
  device_ids?: string[] | undefined
  driver?: string | undefined
  options?: Record<string, string> | undefined
}
export interface ResourceSet {
  cpus?: number | undefined
  memory?: number | undefined
  pids?: number | undefined
  devices?: DeviceRequest[] | undefined
  generic_resources?: { discrete_resource_spec?: { kind?: string; value?: number } }[] | undefined
}
export interface UpdateConfig {
  parallelism?: number | undefined
  delay?: number | undefined
  failure_action?: string | undefined
  monitor?: number | undefined
  max_failure_ratio?: number | undefined
  order?: string | undefined
}
export interface Deploy {
  mode?: string | undefined
  endpoint_mode?: string | undefined
  replicas?: number | undefined
  labels?: Record<string, string> | undefined
  update_config?: UpdateConfig | undefined
  rollback_config?: UpdateConfig | undefined
  resources?: { limits?: ResourceSet | undefined; reservations?: ResourceSet | undefined } | undefined
  restart_policy?:
    | {
        condition?: string | undefined
        delay?: number | undefined
        max_attempts?: number | undefined
        window?: number | undefined
      }
    | undefined
  placement?:
    | {
        constraints?: string[] | undefined
        preferences?: { spread?: string }[] | undefined
        max_replicas_per_node?: number | undefined
      }
    | undefined
}

export interface Hook {
  command: string[]
  user?: string | undefined
  privileged?: boolean | undefined
  working_dir?: string | undefined
  environment?: Record<string, string | null> | undefined
  /** pre_start only: the image of the container that runs it; absent: the service's. */
  image?: string | undefined
  per_replica?: boolean | undefined
}

export interface WatchRule {
  path: string
  action: string // 'rebuild' | 'sync' | 'restart' | 'sync+restart' | 'sync+exec'
  target?: string | undefined
  ignore?: string[] | undefined
  include?: string[] | undefined
  exec?: Hook | undefined
  initial_sync?: boolean | undefined
}

/** `x-slipway` of a service. */
export interface ServiceKnobs {
  autoscale?: {
    min?: number | undefined
    max: number
    /** Target use in percent of the request. */
    cpu?: number | undefined
    memory?: number | undefined
  }
  /** Host name that the ingress answers for, or several. */
  host?: string[] | undefined
  /** Path prefix, default '/'. */
  path?: string | undefined
  /** true: a certificate named NAME-tls; a string: the Secret that holds it. */
  tls?: boolean | string | undefined
  /** Container port that the ingress sends to; default: the first published or exposed one. */
  port?: number | undefined
  /** Restart the container when its health check fails (default true). */
  liveness?: boolean | undefined
  /** Milliseconds between "out of every load balancer" and SIGTERM on a cluster that is not ours; default 5 000. */
  drain?: number | undefined
}
/** `x-slipway` of a volume. */
export interface VolumeKnobs {
  size?: number | undefined
  storageClass?: string | undefined
  accessMode?: 'ReadWriteOnce' | 'ReadWriteMany' | 'ReadOnlyMany' | 'ReadWriteOncePod' | undefined
}

export interface Service {
  name: string
  annotations?: Record<string, string> | undefined
  attach?: boolean | undefined
  blkio_config?:
    | {
        weight?: number | undefined
        weight_device?: { path: string; weight: number }[] | undefined
        device_read_bps?: { path: string; rate: number }[] | undefined
        device_read_iops?: { path: string; rate: number }[] | undefined
        device_write_bps?: { path: string; rate: number }[] | undefined
        device_write_iops?: { path: string; rate: number }[] | undefined
      }
    | undefined
  build?: Build | undefined
  cap_add?: string[] | undefined
  cap_drop?: string[] | undefined
  cgroup?: string | undefined
  cgroup_parent?: string | undefined
  /** Split into words; [] empties the image's. */
  command?: string[] | undefined
  configs?: FileMount[] | undefined
  container_name?: string | undefined
  cpu_count?: number | undefined
  cpu_percent?: number | undefined
  cpu_period?: number | undefined
  cpu_quota?: number | undefined
  cpu_rt_period?: number | undefined
  cpu_rt_runtime?: number | undefined
  cpu_shares?: number | undefined
  cpus?: number | undefined
  cpuset?: string | undefined
  credential_spec?: Record<string, string> | undefined
  depends_on?: Record<string, Dependency> | undefined
  deploy?: Deploy | undefined
  develop?: { watch?: WatchRule[] | undefined } | undefined
  device_cgroup_rules?: string[] | undefined
  devices?: { source: string; target: string; permissions: string }[] | undefined
  dns?: string[] | undefined
  dns_opt?: string[] | undefined
  dns_search?: string[] | undefined
  domainname?: string | undefined
  entrypoint?: string[] | undefined
  env_file?: { path: string; required: boolean; format?: string | undefined }[] | undefined
  /** Resolved: env_file and the caller's environment are in it. */
  environment?: Record<string, string> | undefined
  /** "port[-port][/protocol]" */
  expose?: string[] | undefined
  extends?: { service: string; file?: string | undefined } | undefined
  external_links?: string[] | undefined
  /** "name=address" */
  extra_hosts?: string[] | undefined
  gpus?: 'all' | DeviceRequest[] | undefined
  group_add?: string[] | undefined
  healthcheck?: Healthcheck | undefined
  hostname?: string | undefined
  image?: string | undefined
  init?: boolean | undefined
  ipc?: string | undefined
  isolation?: string | undefined
  label_file?: string[] | undefined
  /** With what label_file says. */
  labels?: Record<string, string> | undefined
  links?: string[] | undefined
  logging?: { driver?: string | undefined; options?: Record<string, string> | undefined } | undefined
  mac_address?: string | undefined
  mem_limit?: number | undefined
  mem_reservation?: number | undefined
  mem_swappiness?: number | undefined
  /** -1: unlimited. */
  memswap_limit?: number | undefined
  models?: Record<string, { endpoint_var?: string | undefined; model_var?: string | undefined } | null> | undefined
  network_mode?: string | undefined
  networks?: Record<string, ServiceNetwork | null> | undefined
  oom_kill_disable?: boolean | undefined
  oom_score_adj?: number | undefined
  pid?: string | undefined
  pids_limit?: number | undefined
  platform?: string | undefined
  ports?: Port[] | undefined
  post_start?: Hook[] | undefined
  pre_start?: Hook[] | undefined
  pre_stop?: Hook[] | undefined
  privileged?: boolean | undefined
  profiles?: string[] | undefined
  provider?: { type: string; options?: Record<string, unknown> | undefined } | undefined
  pull_policy?: string | undefined
  pull_refresh_after?: string | undefined
  read_only?: boolean | undefined
  /** 'no', 'always', 'unless-stopped', 'on-failure', 'on-failure:N' */
  restart?: string | undefined
  runtime?: string | undefined
  scale?: number | undefined
  secrets?: FileMount[] | undefined
  security_opt?: string[] | undefined
  shm_size?: number | undefined
  stdin_open?: boolean | undefined
  stop_grace_period?: number | undefined
  stop_signal?: string | undefined
  storage_opt?: Record<string, string> | undefined
  sysctls?: Record<string, string> | undefined
  /** "path[:options]" */
  tmpfs?: string[] | undefined
  tty?: boolean | undefined
  ulimits?: Record<string, Ulimit> | undefined
  use_api_socket?: boolean | undefined
  user?: string | undefined
  userns_mode?: string | undefined
  uts?: string | undefined
  volumes?: Mount[] | undefined
  /** "service[:ro]", "container:name[:ro]" */
  volumes_from?: string[] | undefined
  working_dir?: string | undefined
  'x-slipway'?: ServiceKnobs | undefined
  [extension: `x-${string}`]: unknown
}

export interface Network {
  /** The name outside the file: PROJECT_KEY unless given. */
  name: string
  driver?: string | undefined
  driver_opts?: Record<string, string | number> | undefined
  ipam?:
    | {
        driver?: string | undefined
        config?:
          | { subnet?: string; gateway?: string; ip_range?: string; aux_addresses?: Record<string, string> }[]
          | undefined
        options?: Record<string, string> | undefined
      }
    | undefined
  external?: boolean | undefined
  internal?: boolean | undefined
  attachable?: boolean | undefined
  enable_ipv4?: boolean | undefined
  enable_ipv6?: boolean | undefined
  labels?: Record<string, string> | undefined
  [extension: `x-${string}`]: unknown
}
export interface Volume {
  name: string
  driver?: string | undefined
  driver_opts?: Record<string, string | number> | undefined
  external?: boolean | undefined
  labels?: Record<string, string> | undefined
  'x-slipway'?: VolumeKnobs | undefined
  [extension: `x-${string}`]: unknown
}
/** A secret or a config. */
export interface FileObject {
  name: string
  file?: string | undefined
  environment?: string | undefined
  /** Configs only; also what `file` and `environment` were found to hold (`data`). */
  content?: string | undefined
  external?: boolean | undefined
  driver?: string | undefined
  driver_opts?: Record<string, string | number> | undefined
  labels?: Record<string, string> | undefined
  template_driver?: string | undefined
  /** The content, read at load time; absent when external, unused, or path resolution is off. Never printed by `config`. */
  data?: Uint8Array | undefined
  [extension: `x-${string}`]: unknown
}
export interface Model {
  name: string
  model?: string | undefined
  context_size?: number | undefined
  runtime_flags?: string[] | undefined
  /** Where a model of that name answers; `x-slipway: {endpoint}` of the model. */
  'x-slipway'?: { endpoint?: string | undefined } | undefined
}
