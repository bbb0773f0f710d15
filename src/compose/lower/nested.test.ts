/** As attributes.test.ts, one level deeper: what is inside deploy, ports, volumes, health checks and the top-level elements. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { projectShape, serviceShape } from '../../spec/compose/schema.ts'
import type { Shape } from '../../spec/compose/shape.ts'
import { loadFiles } from '../load/fixture.ts'
import type { LowerResult } from '../types.ts'
import { lower } from './lower.ts'

interface Sample {
  without: string
  with: string
}
/** By path: the service's attributes without and with it. 'none' says why there is nothing to keep. */
const samples: Record<string, Sample | { none: string }> = {
  'deploy.mode': { without: 'deploy: {}', with: 'deploy: {mode: global}' },
  'deploy.endpoint_mode': { without: 'expose: ["80"]', with: 'expose: ["80"]\ndeploy: {endpoint_mode: dnsrr}' },
  'deploy.replicas': { without: 'deploy: {}', with: 'deploy: {replicas: 2}' },
  'deploy.labels': { without: 'deploy: {}', with: 'deploy: {labels: {a: b}}' },
  ...updates('update_config'),
  ...updates('rollback_config'),
  'deploy.resources.limits.cpus': { without: 'deploy: {}', with: 'deploy: {resources: {limits: {cpus: "1"}}}' },
  'deploy.resources.limits.memory': { without: 'deploy: {}', with: 'deploy: {resources: {limits: {memory: 1g}}}' },
  'deploy.resources.limits.pids': { without: 'deploy: {}', with: 'deploy: {resources: {limits: {pids: 5}}}' },
  'deploy.resources.reservations.cpus': {
    without: 'deploy: {}',
    with: 'deploy: {resources: {reservations: {cpus: "1"}}}',
  },
  'deploy.resources.reservations.memory': {
    without: 'deploy: {}',
    with: 'deploy: {resources: {reservations: {memory: 1g}}}',
  },
  'deploy.resources.reservations.generic_resources': {
    without: 'deploy: {}',
    with: 'deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: SSD, value: 1}}]}}}',
  },
  'deploy.resources.reservations.devices': {
    without: 'deploy: {}',
    with: 'deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1}]}}}',
  },
  'deploy.restart_policy.condition': {
    without: 'deploy: {}',
    with: 'deploy: {restart_policy: {condition: on-failure}}',
  },
  'deploy.restart_policy.delay': { without: 'deploy: {}', with: 'deploy: {restart_policy: {delay: 1s}}' },
  'deploy.restart_policy.max_attempts': { without: 'deploy: {}', with: 'deploy: {restart_policy: {max_attempts: 3}}' },
  'deploy.restart_policy.window': { without: 'deploy: {}', with: 'deploy: {restart_policy: {window: 1s}}' },
  'deploy.placement.constraints': {
    without: 'deploy: {}',
    with: 'deploy: {placement: {constraints: ["node.labels.a==b"]}}',
  },
  'deploy.placement.preferences': {
    without: 'scale: 2',
    with: 'scale: 2\ndeploy: {placement: {preferences: [{spread: node.labels.zone}]}}',
  },
  'deploy.placement.max_replicas_per_node': {
    without: 'deploy: {}',
    with: 'deploy: {placement: {max_replicas_per_node: 1}}',
  },
  'healthcheck.test': { without: '', with: 'healthcheck: {test: [CMD, x]}' },
  ...Object.fromEntries(
    ['interval: 7s', 'timeout: 7s', 'retries: 9', 'start_period: 1m', 'start_interval: 700ms', 'disable: true'].map(
      (said) => [
        `healthcheck.${said.split(':')[0]}`,
        { without: 'healthcheck: {test: [CMD, x]}', with: `healthcheck: {test: [CMD, x], ${said}}` },
      ],
    ),
  ),
  'logging.driver': { without: '', with: 'logging: {driver: none}' },
  'logging.options': { without: '', with: 'logging: {options: {max-size: 1m}}' },
  ...Object.fromEntries(
    ['name: web', 'host_ip: 127.0.0.1', 'mode: host', 'published: "81"', 'protocol: udp', 'app_protocol: http'].map(
      (said) => [
        `ports.${said.split(':')[0]}`,
        {
          without: 'ports: [{target: 80, published: "80"}]',
          with: `ports: [{target: 80, published: "80", ${said}}]`.replace('published: "80", published', 'published'),
        },
      ],
    ),
  ),
  'ports.target': { without: 'ports: [{target: 80, published: "80"}]', with: 'ports: [{target: 81, published: "80"}]' },
  'volumes.type': { without: 'volumes: [{type: volume, target: /x}]', with: 'volumes: [{type: tmpfs, target: /x}]' },
  'volumes.source': {
    without: 'volumes: [{type: volume, target: /x}]',
    with: 'volumes: [{type: volume, source: kept, target: /x}]',
  },
  'volumes.target': { without: 'volumes: ["kept:/x"]', with: 'volumes: ["kept:/y"]' },
  'volumes.read_only': { without: 'volumes: ["kept:/x"]', with: 'volumes: ["kept:/x:ro"]' },
  'volumes.consistency': { none: 'means nothing on Linux, as with docker' },
  'volumes.bind.propagation': { without: 'volumes: ["/tmp:/x"]', with: 'volumes: ["/tmp:/x:rslave"]' },
  'volumes.bind.create_host_path': {
    without: 'volumes: ["/gone:/x"]',
    with: 'volumes: [{type: bind, source: /gone, target: /x, bind: {create_host_path: false}}]',
  },
  'volumes.bind.recursive': {
    without: 'volumes: ["/tmp:/x"]',
    with: 'volumes: [{type: bind, source: /tmp, target: /x, bind: {recursive: disabled, create_host_path: true}}]',
  },
  'volumes.bind.selinux': { without: 'volumes: ["/tmp:/x"]', with: 'volumes: ["/tmp:/x:z"]' },
  'volumes.volume.labels': {
    without: 'volumes: [{type: volume, target: /x}]',
    with: 'volumes: [{type: volume, target: /x, volume: {labels: {a: b}}}]',
  },
  'volumes.volume.nocopy': { without: 'volumes: ["kept:/x"]', with: 'volumes: ["kept:/x:nocopy"]' },
  'volumes.volume.subpath': {
    without: 'volumes: ["kept:/x"]',
    with: 'volumes: [{type: volume, source: kept, target: /x, volume: {subpath: a}}]',
  },
  'volumes.tmpfs.size': {
    without: 'volumes: [{type: tmpfs, target: /x}]',
    with: 'volumes: [{type: tmpfs, target: /x, tmpfs: {size: 1m}}]',
  },
  'volumes.tmpfs.mode': {
    without: 'volumes: [{type: tmpfs, target: /x}]',
    with: 'volumes: [{type: tmpfs, target: /x, tmpfs: {mode: 0700}}]',
  },
  'volumes.image.subpath': {
    without: 'volumes: [{type: image, source: i, target: /x}]',
    with: 'volumes: [{type: image, source: i, target: /x, image: {subpath: a}}]',
  },
  ...Object.fromEntries(
    [
      'aliases: [other-name]',
      'interface_name: eth7',
      'ipv4_address: 10.0.0.9',
      'ipv6_address: "fd00::9"',
      'link_local_ips: [169.254.1.1]',
      'mac_address: "02:42:ac:11:00:02"',
      'driver_opts: {a: b}',
      'priority: 5',
      'gw_priority: 5',
    ].map((said) => [
      `networks.${said.split(':')[0]}`,
      { without: 'networks: {default: }', with: `networks: {default: {${said}}}` },
    ]),
  ),
  ...Object.fromEntries(
    ['source: s2', 'target: other', 'uid: "5"', 'gid: "5"', 'mode: 0400'].map((said) => [
      `secrets.${said.split(':')[0]}`,
      {
        without: 'secrets: [{source: s}]',
        with: `secrets: [{source: s, ${said}}]`.replace('source: s, source', 'source'),
      },
    ]),
  ),
}
function updates(key: string): Record<string, Sample> {
  return Object.fromEntries(
    [
      'parallelism: 3',
      'delay: 5s',
      'failure_action: continue',
      'monitor: 9s',
      'max_failure_ratio: 0.5',
      'order: stop-first',
    ].map((said) => [
      `deploy.${key}.${said.split(':')[0]}`,
      { without: 'deploy: {}', with: `deploy: {${key}: {${said}}}` },
    ]),
  )
}

/** Paths of the leaves below an attribute; lists and free keys are not counted. */
const leaves = (shape: Shape, path: string): string[] => {
  if (shape.is === 'oneOf')
    return [...new Set(shape.options.flatMap((option) => leaves(option, path)))].filter(
      (leaf, _, all) => leaf !== path || all.length === 1,
    )
  if (shape.is === 'list') return shape.of.is === 'object' || shape.of.is === 'oneOf' ? leaves(shape.of, path) : [path]
  if (shape.is === 'map') return shape.of.is === 'object' ? leaves(shape.of, path) : [path]
  if (shape.is === 'object')
    return Object.entries(shape.fields).flatMap(([key, inner]) => leaves(inner, `${path}.${key}`))
  return [path]
}
const short = (path: string): string =>
  path.replace(/\.(generic_resources|devices)\..*$/, '.$1').replace(/\.preferences\..*$/, '.preferences')
const wanted = ['deploy', 'healthcheck', 'logging', 'ports', 'volumes', 'networks', 'secrets'].flatMap((key) => [
  ...new Set(leaves(serviceShape.fields[key]!, key).map(short)),
])

test('there is a sample for every leaf', () => {
  assert.deepEqual(Object.keys(samples).sort(), wanted.sort())
})

const lowered = async (yaml: string, destination: 'local' | 'cluster'): Promise<LowerResult> => {
  const file = `services:\n  web:\n    image: web\n${yaml.replace(/^(?=.)/gm, '    ')}\nvolumes: {kept: }\nsecrets: {s: {environment: S}, s2: {environment: T}}\n`
  const { project } = await loadFiles({ 'compose.yaml': file }, { environment: { S: 'one', T: 'two' } })
  return lower({ ...project, workingDir: '/p', composeFiles: [] }, { destination, images: {} })
}
const said = ({ objects, losses }: LowerResult): string =>
  JSON.stringify([objects, losses.map((l) => [l.path, l.message])])

for (const [path, sample] of Object.entries(samples)) {
  if ('none' in sample) continue
  for (const destination of ['local', 'cluster'] as const)
    test(`${path} (${destination}) makes a difference`, async () => {
      if (path.startsWith('volumes.bind') && destination === 'cluster') return // binds are refused as such
      assert.ok(said(await lowered(sample.with, destination)) !== said(await lowered(sample.without, destination)))
    })
}

/** Top-level elements, in the same manner. */
const top: Record<string, [without: string, with_: string]> = {
  ...Object.fromEntries(
    [
      'driver: overlay',
      'driver_opts: {a: b}',
      'ipam: {driver: default}',
      'internal: true',
      'enable_ipv6: true',
      'enable_ipv4: false',
      'attachable: true',
      'labels: {a: b}',
      'external: true',
    ].map((s) => [`networks.${s.split(':')[0]}`, ['networks: {default: }', `networks: {default: {${s}}}`]]),
  ),
  ...Object.fromEntries(
    ['driver: nfs', 'driver_opts: {a: b}', 'labels: {a: b}', 'external: true', 'x-slipway: {size: 5g}'].map((s) => [
      `volumes.${s.split(':')[0]}`,
      ['volumes: {v: }', `volumes: {v: {${s}}}`],
    ]),
  ),
  ...Object.fromEntries(
    ['labels: {a: b}', 'driver: x', 'template_driver: x', 'driver_opts: {a: b}'].map((s) => [
      `secrets.${s.split(':')[0]}`,
      [
        'secrets: {k: {file: /etc/hostname}}',
        `secrets: {k: {${s.startsWith('driver:') ? '' : 'file: /etc/hostname, '}${s}}}`,
      ],
    ]),
  ),
  'secrets.external': ['secrets: {k: {file: /etc/hostname}}', 'secrets: {k: {external: true}}'],
  'secrets.environment': ['secrets: {k: {file: /etc/hostname}}', 'secrets: {k: {environment: S}}'],
  'configs.content': ['configs: {k: {file: /etc/hostname}}', 'configs: {k: {content: x}}'],
  'configs.labels': ['configs: {k: {content: x}}', 'configs: {k: {content: x, labels: {a: b}}}'],
}
const leavesOfTop = ['networks', 'volumes', 'secrets'].flatMap((key) => {
  const shape = (projectShape.fields[key] as { of: { fields: Record<string, Shape> } }).of.fields
  return Object.keys(shape)
    .filter((k) => !['name', 'file'].includes(k))
    .map((k) => `${key}.${k}`)
})
test('there is a sample for every key of the top-level elements', () => {
  assert.deepEqual(
    leavesOfTop.filter((path) => !(path in top)),
    [],
  )
})
for (const [path, [without, with_]] of Object.entries(top))
  test(`${path} makes a difference`, async () => {
    const use = path.startsWith('volumes')
      ? 'volumes: ["v:/v"]'
      : path.startsWith('secrets')
        ? 'secrets: [k]'
        : path.startsWith('configs')
          ? 'configs: [k]'
          : 'attach: true'
    const of = async (more: string): Promise<string> => {
      const { project } = await loadFiles(
        { 'compose.yaml': `services:\n  web:\n    image: web\n    ${use}\n${more}\n` },
        { environment: { S: 'one' } },
      )
      return said(lower({ ...project, workingDir: '/p', composeFiles: [] }, { destination: 'cluster', images: {} }))
    }
    assert.ok((await of(with_)) !== (await of(without)))
  })
