/** Nothing is dropped silently: every attribute of the format changes the objects, is reported, or is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceAttributes } from '../../spec/compose/schema.ts'
import { loadFiles } from '../load/fixture.ts'
import { support } from '../support.ts'
import type { LowerResult } from '../types.ts'
import { lower } from './lower.ts'

/** A use of each attribute that must make a difference. `also`: more of the file, at the top level. */
const samples: Record<string, string | { yaml: string; also: string }> = {
  annotations: 'annotations: {a: b}',
  blkio_config: 'blkio_config: {weight: 300, device_read_bps: [{path: /dev/vda, rate: 1m}]}',
  cap_add: 'cap_add: [CAP_NET_ADMIN]',
  cap_drop: 'cap_drop: [ALL]',
  cgroup: 'cgroup: host',
  cgroup_parent: 'cgroup_parent: /x',
  command: 'command: [a, b]',
  configs: { yaml: 'configs: [c]', also: 'configs: {c: {content: x}}' },
  container_name: 'container_name: my-web',
  cpu_count: 'cpu_count: 2',
  cpu_percent: 'cpu_percent: 50',
  cpu_period: 'cpu_period: 50000',
  cpu_quota: 'cpu_quota: 50000',
  cpu_rt_period: 'cpu_rt_period: 1ms',
  cpu_rt_runtime: 'cpu_rt_runtime: 400',
  cpu_shares: 'cpu_shares: 512',
  cpus: 'cpus: 0.5',
  cpuset: 'cpuset: 0-1',
  credential_spec: 'credential_spec: {file: x}',
  depends_on: 'depends_on: {other: {condition: service_started, restart: true}}',
  deploy: 'deploy: {replicas: 2}',
  device_cgroup_rules: 'device_cgroup_rules: ["c 1:3 mr"]',
  devices: 'devices: ["/dev/fuse"]',
  dns: 'dns: 1.1.1.1',
  dns_opt: 'dns_opt: [ndots:1]',
  dns_search: 'dns_search: example.com',
  domainname: 'domainname: example.com',
  entrypoint: 'entrypoint: [a]',
  environment: 'environment: {A: b}',
  expose: 'expose: ["80"]',
  external_links: 'external_links: ["shop-redis-1:cache"]',
  extra_hosts: 'extra_hosts: ["a:1.2.3.4"]',
  gpus: 'gpus: all',
  group_add: 'group_add: ["5"]',
  healthcheck: 'healthcheck: {test: [CMD, x]}',
  hostname: 'hostname: h',
  image: 'image: another',
  init: 'init: true',
  ipc: 'ipc: host',
  isolation: 'isolation: hyperv',
  labels: 'labels: {a: b}',
  links: 'links: ["other:alias"]',
  logging: 'logging: {driver: none}',
  mac_address: 'mac_address: "02:42:ac:11:00:02"',
  mem_limit: 'mem_limit: 64m',
  mem_reservation: 'mem_reservation: 32m',
  mem_swappiness: 'mem_swappiness: 10',
  memswap_limit: 'memswap_limit: 1g',
  models: { yaml: 'models: [m]', also: 'models: {m: {model: llm, x-slipway: {endpoint: "http://m"}}}' },
  network_mode: 'network_mode: host',
  networks: { yaml: 'networks: {a: {aliases: [other-name]}}', also: 'networks: {a: }' },
  oom_kill_disable: 'oom_kill_disable: true',
  oom_score_adj: 'oom_score_adj: 100',
  pid: 'pid: host',
  pids_limit: 'pids_limit: 100',
  platform: 'platform: linux/arm64',
  ports: 'ports: ["80:80"]',
  post_start: 'post_start: [{command: [a]}]',
  pre_start: 'pre_start: [{command: [a]}]',
  pre_stop: 'pre_stop: [{command: [a]}]',
  privileged: 'privileged: true',
  provider: 'provider: {type: x}',
  pull_policy: 'pull_policy: always',
  read_only: 'read_only: true',
  restart: 'restart: "no"',
  runtime: 'runtime: kata',
  scale: 'scale: 3',
  secrets: { yaml: 'secrets: [s]', also: 'secrets: {s: {environment: S}}' },
  security_opt: 'security_opt: ["seccomp=unconfined"]',
  shm_size: 'shm_size: 128m',
  stdin_open: 'stdin_open: true',
  stop_grace_period: 'stop_grace_period: 1m',
  stop_signal: 'stop_signal: SIGUSR1',
  storage_opt: 'storage_opt: {size: 1G}',
  sysctls: 'sysctls: {net.core.somaxconn: 1024}',
  tmpfs: 'tmpfs: /run',
  tty: 'tty: true',
  ulimits: 'ulimits: {nofile: 1024}',
  use_api_socket: 'use_api_socket: true',
  user: 'user: "1000"',
  userns_mode: 'userns_mode: host',
  uts: 'uts: host',
  volumes: { yaml: 'volumes: ["d:/d"]', also: 'volumes: {d: }' },
  volumes_from: 'volumes_from: [storing]',
  working_dir: 'working_dir: /w',
}

const lowered = async (yaml: string, also: string, destination: 'local' | 'cluster'): Promise<LowerResult> => {
  const image = yaml.startsWith('image:') ? '' : '    image: web\n'
  const file = `services:\n  web:\n${image}    ${yaml}\n  other: {image: other}\n  storing: {image: s, volumes: ["kept:/kept"]}\n${also.startsWith('volumes:') ? 'volumes: {d: , kept: }' : `volumes: {kept: }\n${also}`}\n`
  const { project } = await loadFiles({ 'compose.yaml': file }, { environment: { S: 'secret' } })
  return lower({ ...project, workingDir: '/p', composeFiles: [] }, { destination, images: {} })
}

test('every attribute has its place in the table, and nothing else has', () => {
  assert.deepEqual(Object.keys(support).sort(), [...serviceAttributes].sort())
})

for (const destination of ['local', 'cluster'] as const)
  for (const attribute of serviceAttributes) {
    const status = support[attribute]!
    if (status === 'loaded' || status === 'command') continue
    test(`${attribute} (${destination}) is ${status}`, async () => {
      const sample = samples[attribute]
      assert.ok(sample, `write a sample for ${attribute}`)
      const { yaml, also } = typeof sample === 'string' ? { yaml: sample, also: '' } : sample
      // The top-level elements stay in both, so that only the attribute makes the difference.
      const without = await lowered('attach: true', also, destination)
      const result = await lowered(yaml, also, destination)
      const losses = result.losses.filter((l) => l.path.startsWith(`services.web.${attribute}`))
      const isDifferent = JSON.stringify(result.objects) !== JSON.stringify(without.objects)
      const expected = {
        lowered: isDifferent || losses.some((l) => l.severity === 'refuse'),
        annotated: destination === 'local' ? isDifferent : losses.length > 0,
        reported: losses.length > 0,
        refused: losses.some((l) => l.severity === 'refuse'),
      }[status]
      assert.ok(expected, `${attribute} made no difference: ${JSON.stringify(losses)}`)
      for (const loss of losses)
        assert.ok(loss.hint && loss.message && loss.at?.line, 'a loss says what, where and what to do')
    })
  }
