/** A project as a Compose file again, in the order and the forms that `docker compose config` prints. */
import { createHash } from 'node:crypto'
import type { Project, Service } from '../../spec/compose/project.ts'
import { projectShape } from '../../spec/compose/schema.ts'
import type { Shape } from '../../spec/compose/shape.ts'
import { formatDuration } from '../../spec/compose/units.ts'

interface ConfigOptions {
  format?: 'yaml' | 'json' | undefined
  /** False when the project was loaded without interpolation: a `$` stays as it is. Otherwise it is doubled. */
  interpolated?: boolean | undefined
  services?: string[] | undefined
}

/** The order of docker compose's structures, where it is not that of the alphabet. Keys not listed come last, sorted. */
const orders: Record<string, string[]> = {
  '': 'name services networks volumes secrets configs models'.split(' '),
  'services.*': (
    'profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent ' +
    'cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name credential_spec ' +
    'depends_on deploy device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint provider environment expose ' +
    'external_links extra_hosts group_add gpus hostname healthcheck image init ipc isolation labels links logging mem_limit ' +
    'mem_reservation memswap_limit mem_swappiness mac_address models network_mode networks oom_kill_disable oom_score_adj pid ' +
    'pids_limit platform ports privileged pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open ' +
    'stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from ' +
    'working_dir pre_start post_start pre_stop'
  ).split(' '),
  'services.*.build': (
    'context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to no_cache ' +
    'no_cache_filter additional_contexts pull extra_hosts isolation network target secrets shm_size tags ulimits platforms privileged'
  ).split(' '),
  'services.*.depends_on.*': 'condition restart required'.split(' '),
  'services.*.deploy':
    'mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode'.split(' '),
  'services.*.deploy.update_config': 'parallelism delay failure_action monitor max_failure_ratio order'.split(' '),
  'services.*.deploy.rollback_config': 'parallelism delay failure_action monitor max_failure_ratio order'.split(' '),
  'services.*.deploy.resources': 'limits reservations'.split(' '),
  'services.*.deploy.resources.limits': 'cpus memory pids'.split(' '),
  'services.*.deploy.resources.reservations': 'cpus memory pids devices generic_resources'.split(' '),
  'services.*.deploy.restart_policy': 'condition delay max_attempts window'.split(' '),
  'services.*.healthcheck': 'test timeout interval retries start_period start_interval disable'.split(' '),
  'services.*.logging': 'driver options'.split(' '),
  'services.*.ports.*': 'name mode host_ip target published protocol app_protocol'.split(' '),
  'services.*.volumes.*': 'type source target read_only consistency bind volume tmpfs image'.split(' '),
  'services.*.secrets.*': 'source target uid gid mode'.split(' '),
  'services.*.configs.*': 'source target uid gid mode'.split(' '),
  'services.*.ulimits.*': 'soft hard'.split(' '),
  'networks.*': 'name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6'.split(' '),
  'volumes.*': 'name driver driver_opts external labels'.split(' '),
  'secrets.*': 'name file environment content external labels driver driver_opts template_driver'.split(' '),
  'configs.*': 'name file environment content external labels driver driver_opts template_driver'.split(' '),
}

/** What other files said is in `environment` and `labels` already; the rest is ours and not the file's. */
const hidden = new Set([
  'services.*.name',
  'services.*.env_file',
  'services.*.label_file',
  'services.*.extends',
  'services.*.volumes.*.found',
  'secrets.*.data',
  'configs.*.data',
])

const shapeBelow = (shape: Shape | undefined, key: string, isList: boolean): Shape | undefined => {
  if (!shape || shape.is === 'any') return undefined
  if (shape.is === 'oneOf') return shape.options.map((o) => shapeBelow(o, key, isList)).find(Boolean)
  if (shape.is === 'list') return isList ? shape.of : undefined
  if (shape.is === 'map') return isList ? undefined : shape.of
  return shape.is === 'object' && !isList ? shape.fields[key] : undefined
}
const scalarShape = (shape: Shape | undefined): string | undefined =>
  shape?.is === 'oneOf' ? shape.options.map(scalarShape).find(Boolean) : shape?.is

const print = (value: unknown, shape: Shape | undefined, path: string[]): unknown => {
  if (Array.isArray(value)) return value.map((item) => print(item, shapeBelow(shape, '', true), [...path, '*']))
  if (typeof value === 'object' && value !== null) return printMap(value as Record<string, unknown>, shape, path)
  if (typeof value !== 'number') return value
  const is = scalarShape(shape)
  if (is === 'duration') return formatDuration(value)
  if (is === 'bytes') return String(value)
  if (is === 'mode') return `0${value.toString(8)}`
  return value
}

const printMap = (value: Record<string, unknown>, shape: Shape | undefined, path: string[]): unknown => {
  const own = path.map((step, i) => (i === 1 || /^\d+$/.test(step) ? '*' : step)).join('.')
  const place = generic(path)
  const order = orders[place] ?? []
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length)
  const keys = Object.keys(value)
    .filter((key) => value[key] !== undefined && !hidden.has(own ? `${own}.${key}` : key))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0))
  return Object.fromEntries(keys.map((key) => [key, print(value[key], shapeBelow(shape, key, false), [...path, key])]))
}

/** "services.web.depends_on.db" → "services.*.depends_on.*" */
const generic = (path: string[]): string => {
  const starred = path.map((step, i) => (i === 1 ? '*' : step))
  if (['depends_on', 'ulimits'].includes(starred[2] ?? '') && starred.length === 4) starred[3] = '*'
  return starred.join('.')
}

const toPlainProject = (project: Project, options: ConfigOptions): Record<string, unknown> => {
  const services = options.services?.length
    ? Object.fromEntries(Object.entries(project.services).filter(([name]) => options.services!.includes(name)))
    : project.services
  const sections = {
    networks: project.networks,
    volumes: project.volumes,
    secrets: project.secrets,
    configs: project.configs,
    models: project.models,
  }
  return {
    name: project.name,
    services,
    ...Object.fromEntries(Object.entries(sections).filter(([, entries]) => Object.keys(entries).length)),
    ...project.extensions,
  }
}

export const renderConfig = async (project: Project, options: ConfigOptions = {}): Promise<string> => {
  const plain = print(toPlainProject(project, options), projectShape, []) as Record<string, unknown>
  const text =
    options.format === 'json'
      ? `${JSON.stringify(withNullCommands(plain), undefined, 2)}\n`
      : (await import('yaml')).stringify(plain, {
          lineWidth: 0,
          aliasDuplicateObjects: false,
          nullStr: 'null',
          indentSeq: true,
        })
  return options.interpolated === false ? text : text.replaceAll('$', '$$$$')
}

/** docker compose's JSON always names command and entrypoint. */
const withNullCommands = (plain: Record<string, unknown>): Record<string, unknown> => ({
  ...plain,
  services: Object.fromEntries(
    Object.entries(plain.services as Record<string, Record<string, unknown>>).map(([name, service]) => {
      const order = orders['services.*']!
      const all: Record<string, unknown> = { command: null, entrypoint: null, ...service }
      const keys = Object.keys(all).sort((a, b) => (order.indexOf(a) + 1 || 999) - (order.indexOf(b) + 1 || 999))
      return [name, Object.fromEntries(keys.map((key) => [key, all[key]]))]
    }),
  ),
})

/** Changes whenever the service does (`config --hash`). Replicas do not count: scaling is no change of the service. */
export const serviceHash = (service: Service): string => {
  const { scale: _scale, deploy, ...rest } = service
  const { replicas: _replicas, ...more } = deploy ?? {}
  const plain = print({ ...rest, deploy: more }, undefined, ['services', service.name])
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}
