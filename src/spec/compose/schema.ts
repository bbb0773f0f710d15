/** The Compose file format: the Compose Specification's schema with compose-go's additions, as shapes. */
import {
  any,
  boolean,
  bytes,
  duration,
  integer,
  list,
  map,
  nullable,
  number,
  type ObjectShape,
  object,
  oneOf,
  type Shape,
  strict,
  string,
  text,
  uniqueList,
} from './shape.ts'

const name = /^[a-zA-Z0-9._-]+$/
const strings = list(string())
const stringOrList = oneOf(string(), strings)
const listOrMap = oneOf(list(text), map({ is: 'text', nullable: true }))
const command = nullable({ is: 'oneOf', options: [string(), strings] } as const as Extract<Shape, { is: 'oneOf' }>)
const options = map(text)
const mode: Shape = { is: 'mode' }

const fileMount = oneOf(string(), object({ source: string(), target: string(), uid: text, gid: text, mode }))
const fileMounts = list(fileMount)
const extraHosts = oneOf(list(string()), map(oneOf(string(), list(string()))))
const ulimits = map(oneOf(integer(), object({ hard: integer(), soft: integer() }, ['soft', 'hard'])), /^[a-z]+$/)
const deviceRequest = object({
  capabilities: strings,
  count: text,
  device_ids: strings,
  driver: string(),
  options: listOrMap,
})
const hook = object(
  {
    command: oneOf(string(), strings),
    user: string(),
    privileged: boolean,
    working_dir: string(),
    environment: listOrMap,
  },
  ['command'],
)
const preStart = object({ ...hook.fields, image: string(), per_replica: boolean }, [])
const external = oneOf(boolean, object({ name: string() }))

const build = object({
  context: string(),
  dockerfile: string(),
  dockerfile_inline: string(),
  entitlements: strings,
  args: listOrMap,
  ssh: oneOf(string(), list(text), map({ is: 'text', nullable: true })),
  labels: listOrMap,
  cache_from: strings,
  cache_to: strings,
  no_cache: boolean,
  no_cache_filter: stringOrList,
  additional_contexts: listOrMap,
  network: string(),
  provenance: text,
  sbom: text,
  pull: boolean,
  target: string(),
  shm_size: bytes,
  extra_hosts: extraHosts,
  isolation: string(),
  privileged: boolean,
  secrets: fileMounts,
  tags: strings,
  ulimits,
  platforms: strings,
})

const limit = (field: string): Shape =>
  list(strict({ path: string(), [field]: field === 'rate' ? bytes : integer() }, ['path', field]))
const blkio = strict({
  device_read_bps: limit('rate'),
  device_read_iops: limit('rate'),
  device_write_bps: limit('rate'),
  device_write_iops: limit('rate'),
  weight: integer({ minimum: 0, maximum: 1000 }),
  weight_device: limit('weight'),
})

const updateConfig = object({
  parallelism: integer(),
  delay: duration,
  failure_action: string(),
  monitor: duration,
  max_failure_ratio: number(),
  order: string({ values: ['start-first', 'stop-first'] }),
})
const deploy = nullable(
  object({
    mode: string({ values: ['replicated', 'global', 'replicated-job', 'global-job'] }),
    endpoint_mode: string({ values: ['vip', 'dnsrr'] }),
    replicas: integer({ minimum: 0 }),
    labels: listOrMap,
    rollback_config: updateConfig,
    update_config: updateConfig,
    resources: object({
      limits: object({ cpus: number(), memory: bytes, pids: integer() }),
      reservations: object({
        cpus: number(),
        memory: bytes,
        generic_resources: list(object({ discrete_resource_spec: object({ kind: string(), value: number() }) })),
        devices: list(deviceRequest),
      }),
    }),
    restart_policy: object({
      condition: string({ values: ['none', 'on-failure', 'any'] }),
      delay: duration,
      max_attempts: integer(),
      window: duration,
    }),
    placement: object({
      constraints: strings,
      preferences: list(object({ spread: string() })),
      max_replicas_per_node: integer(),
    }),
  }),
)

const healthcheck = object({
  disable: boolean,
  interval: duration,
  retries: integer({ minimum: 0 }),
  test: command,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
})

const mount = object(
  {
    type: string({ values: ['bind', 'volume', 'tmpfs', 'cluster', 'npipe', 'image'] }),
    source: string(),
    target: string(),
    read_only: boolean,
    consistency: string(),
    bind: object({
      propagation: string(),
      create_host_path: boolean,
      recursive: string({ values: ['enabled', 'disabled', 'writable', 'readonly'] }),
      selinux: string({ values: ['z', 'Z'] }),
    }),
    volume: object({ labels: listOrMap, nocopy: boolean, subpath: string() }),
    tmpfs: object({ size: bytes, mode }),
    image: object({ subpath: string() }),
  },
  ['type'],
)

const port = object(
  {
    name: string(),
    mode: string({ values: ['host', 'ingress'] }),
    host_ip: string(),
    target: integer({ minimum: 1, maximum: 65535 }),
    published: text,
    protocol: string(),
    app_protocol: string(),
  },
  ['target'],
)

const serviceNetwork = nullable(
  object({
    aliases: strings,
    interface_name: string(),
    ipv4_address: string(),
    ipv6_address: string(),
    link_local_ips: strings,
    mac_address: string(),
    driver_opts: options,
    priority: number(),
    gw_priority: number(),
  }),
)

const watch = object(
  {
    ignore: stringOrList,
    include: stringOrList,
    path: string(),
    action: string({ values: ['rebuild', 'sync', 'restart', 'sync+restart', 'sync+exec'] }),
    target: string(),
    exec: hook,
    initial_sync: boolean,
  },
  ['path', 'action'],
)

/** Our own knobs. Unknown ones are errors too: a misspelt knob must not vanish. */
export const serviceKnobs = strict({
  autoscale: strict(
    {
      min: integer({ minimum: 1 }),
      max: integer({ minimum: 1 }),
      cpu: integer({ minimum: 1 }),
      memory: integer({ minimum: 1 }),
    },
    ['max'],
  ),
  host: stringOrList,
  path: string(),
  tls: text,
  port: integer({ minimum: 1, maximum: 65535 }),
  liveness: boolean,
  drain: duration,
})
export const volumeKnobs = strict({
  size: bytes,
  storageClass: string(),
  accessMode: string({ values: ['ReadWriteOnce', 'ReadWriteMany', 'ReadOnlyMany', 'ReadWriteOncePod'] }),
})

export const serviceShape: ObjectShape = object({
  annotations: listOrMap,
  attach: boolean,
  blkio_config: blkio,
  build: oneOf(string(), build),
  cap_add: uniqueList(string()),
  cap_drop: uniqueList(string()),
  cgroup: string({ values: ['host', 'private'] }),
  cgroup_parent: string(),
  command,
  configs: fileMounts,
  container_name: string({ pattern: /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/ }),
  cpu_count: integer({ minimum: 0 }),
  cpu_percent: number({ minimum: 0, maximum: 100 }),
  cpu_period: number(),
  cpu_quota: number(),
  cpu_rt_period: text,
  cpu_rt_runtime: text,
  cpu_shares: number(),
  cpus: number({ minimum: 0 }),
  cpuset: string(),
  credential_spec: object({ config: string(), file: string(), registry: string() }),
  depends_on: oneOf(
    strings,
    map(
      object(
        {
          restart: boolean,
          required: boolean,
          condition: string({
            values: ['service_started', 'service_healthy', 'service_completed_successfully'],
          }),
        },
        ['condition'],
      ),
      name,
    ),
  ),
  deploy,
  develop: nullable(object({ watch: list(watch) })),
  device_cgroup_rules: strings,
  devices: list(oneOf(string(), object({ source: string(), target: string(), permissions: string() }, ['source']))),
  dns: stringOrList,
  dns_opt: uniqueList(string()),
  dns_search: stringOrList,
  domainname: string(),
  entrypoint: command,
  env_file: oneOf(
    string(),
    list(oneOf(string(), strict({ path: string(), required: boolean, format: string() }, ['path']))),
  ),
  environment: listOrMap,
  expose: uniqueList(text),
  extends: oneOf(string(), strict({ service: string(), file: string() }, ['service'])),
  external_links: uniqueList(string()),
  extra_hosts: extraHosts,
  gpus: oneOf(string({ values: ['all'] }), list(deviceRequest)),
  group_add: uniqueList(text),
  healthcheck,
  hostname: string(),
  image: string(),
  init: boolean,
  ipc: string(),
  isolation: string(),
  label_file: stringOrList,
  labels: listOrMap,
  links: uniqueList(string()),
  logging: object({ driver: string(), options: map({ is: 'text', nullable: true }) }),
  mac_address: string(),
  mem_limit: bytes,
  mem_reservation: bytes,
  mem_swappiness: integer(),
  memswap_limit: bytes,
  models: oneOf(strings, map(nullable(object({ endpoint_var: string(), model_var: string() })), name)),
  network_mode: string(),
  networks: oneOf(strings, map(serviceNetwork, name)),
  oom_kill_disable: boolean,
  oom_score_adj: integer({ minimum: -1000, maximum: 1000 }),
  pid: string({ nullable: true }),
  pids_limit: integer(),
  platform: string(),
  ports: uniqueList(oneOf(text, port)),
  post_start: list(hook),
  pre_start: list(preStart),
  pre_stop: list(hook),
  privileged: boolean,
  profiles: strings,
  provider: object({ type: string(), options: map(any) }, ['type']),
  pull_policy: string({
    pattern: /^(always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+)$/,
  }),
  pull_refresh_after: string(),
  read_only: boolean,
  restart: string({ pattern: /^(no|always|unless-stopped|on-failure(:\d+)?)$/ }),
  runtime: string(),
  scale: integer({ minimum: 0 }),
  secrets: fileMounts,
  security_opt: uniqueList(string()),
  shm_size: bytes,
  stdin_open: boolean,
  stop_grace_period: duration,
  stop_signal: string(),
  storage_opt: options,
  sysctls: listOrMap,
  tmpfs: stringOrList,
  tty: boolean,
  ulimits,
  use_api_socket: boolean,
  user: string(),
  userns_mode: string(),
  uts: string(),
  volumes: uniqueList(oneOf(string(), mount)),
  volumes_from: uniqueList(string()),
  working_dir: string(),
  'x-slipway': serviceKnobs,
})

const network = nullable(
  object({
    name: string(),
    driver: string(),
    driver_opts: options,
    ipam: object({
      driver: string(),
      config: list(object({ subnet: string(), ip_range: string(), gateway: string(), aux_addresses: map(string()) })),
      options: map(string()),
    }),
    external,
    internal: boolean,
    enable_ipv4: boolean,
    enable_ipv6: boolean,
    attachable: boolean,
    labels: listOrMap,
  }),
)
const volume = nullable(
  object({
    name: string(),
    driver: string(),
    driver_opts: options,
    external,
    labels: listOrMap,
    'x-slipway': volumeKnobs,
  }),
)
const fileObject = {
  name: string(),
  environment: string(),
  file: string(),
  external,
  labels: listOrMap,
  driver: string(),
  driver_opts: options,
  template_driver: string(),
}
const model = object(
  {
    name: string(),
    model: string(),
    context_size: integer(),
    runtime_flags: strings,
    'x-slipway': strict({ endpoint: string() }),
  },
  [],
)

export const projectShape: ObjectShape = object({
  version: text,
  name: string(),
  include: list(
    oneOf(string(), strict({ path: stringOrList, env_file: stringOrList, project_directory: string() }, ['path'])),
  ),
  services: nullable({ is: 'map', of: serviceShape, names: name }),
  models: nullable({ is: 'map', of: model, names: name }),
  networks: nullable({ is: 'map', of: network, names: name }),
  volumes: nullable({ is: 'map', of: volume, names: name }),
  secrets: nullable({ is: 'map', of: object(fileObject), names: name }),
  configs: nullable({ is: 'map', of: object({ ...fileObject, content: string() }), names: name }),
})

/** Every attribute a service may have, ours aside. */
export const serviceAttributes: string[] = Object.keys(serviceShape.fields).filter((key) => !key.startsWith('x-'))
