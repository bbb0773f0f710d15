import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure, loadFiles, merged } from './fixture.ts'

test('command, entrypoint and the test of a health check are replaced; null resets them', async () => {
  const base = 'command: [a, b]\nentrypoint: [c]\nhealthcheck: {test: [CMD, x], interval: 5s}'
  const replaced = await merged(base, 'command: [z]\nentrypoint: [y]\nhealthcheck: {test: [CMD, w]}')
  assert.deepEqual(
    [replaced.command, replaced.entrypoint, replaced.healthcheck],
    [['z'], ['y'], { test: ['CMD', 'w'], interval: 5000 }],
  )
  const reset = await merged(base, 'command:\nentrypoint: null\nhealthcheck: {test: }')
  assert.deepEqual([reset.command, reset.entrypoint, reset.healthcheck], [undefined, undefined, { interval: 5000 }])
})
test('null elsewhere keeps the earlier value', async () => {
  const service = await merged('labels: {a: b}\nports: ["80:80"]\nuser: "1"', 'labels:\nports:\nuser:')
  assert.deepEqual([service.labels, service.ports?.length, service.user], [{ a: 'b' }, 1, '1'])
})
test('ports are the same when address, published, target and protocol are', async () => {
  const service = await merged(
    'ports: ["8080:80", "53:53/udp"]',
    'ports:\n  - "8080:80"\n  - "8081:80"\n  - {target: 53, published: "53", protocol: udp, mode: host}',
  )
  assert.deepEqual(
    service.ports?.map((p) => `${p.published}:${p.target}/${p.protocol}/${p.mode}`),
    ['8080:80/tcp/ingress', '53:53/udp/host', '8081:80/tcp/ingress'],
  )
})
test('volumes, devices, secrets and configs are the same when the target is', async () => {
  const service = await merged(
    'volumes: ["/a:/x", "/b:/y"]\ndevices: ["/dev/null:/dev/a"]',
    'volumes: ["/c:/x/"]\ndevices: ["/dev/zero:/dev/a:r"]',
  )
  assert.deepEqual(
    service.volumes?.map((v) => `${v.source}:${v.target}`),
    ['/c:/x', '/b:/y'],
  )
  assert.deepEqual(service.devices, [{ source: '/dev/zero', target: '/dev/a', permissions: 'r' }])
})
test('a short depends_on over a long one resets the condition', async () => {
  const db = '\n  db: {image: db}\n'
  const { project } = await loadFiles(
    {
      'a.yaml': `services:\n  web: {image: w, depends_on: {db: {condition: service_healthy, restart: true}}}${db}`,
      'b.yaml': 'services:\n  web: {depends_on: [db]}\n',
    },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.deepEqual(project.services.web?.depends_on, {
    db: { condition: 'service_started', required: true, restart: true },
  })
})
test('logging is replaced when the driver differs, merged otherwise', async () => {
  const base = 'logging: {driver: json-file, options: {max-size: 1m, max-file: "3"}}'
  assert.deepEqual((await merged(base, 'logging: {driver: local, options: {a: b}}')).logging, {
    driver: 'local',
    options: { a: 'b' },
  })
  assert.deepEqual((await merged(base, 'logging: {options: {max-size: 2m}}')).logging, {
    driver: 'json-file',
    options: { 'max-size': '2m', 'max-file': '3' },
  })
})
test('environment and labels by key; security_opt and group_add append', async () => {
  const service = await merged(
    'environment: {A: "1", B: "1"}\nlabels: [x=1]\nsecurity_opt: [a]\ngroup_add: ["1"]',
    'environment: [B=2, C=3]\nlabels: {y: "2"}\nsecurity_opt: [b, a]\ngroup_add: ["2"]',
  )
  assert.deepEqual(service.environment, { A: '1', B: '2', C: '3' })
  assert.deepEqual(service.labels, { x: '1', y: '2' })
  assert.deepEqual(
    [service.security_opt, service.group_add],
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  )
})
test('values that cannot be merged', async () => {
  const error = await failure(
    loadFiles(
      { 'a.yaml': 'x-a: {b: [1]}\nservices: {}\n', 'b.yaml': 'x-a: {b: {c: 1}}\n' },
      { files: ['a.yaml', 'b.yaml'] },
    ),
  )
  assert.equal(error.message, 'x-a.b: cannot override a list with a mapping')
  assert.equal(error.at?.line, 1)
})
test('!reset takes away, !override replaces', async () => {
  const base = 'ports: ["80:80", "81:81"]\nenvironment: {A: "1", B: "2"}\nlabels: {x: "1"}\nuser: "1"'
  const service = await merged(
    base,
    'ports: !override ["90:90"]\nenvironment: !reset {}\nlabels: {x: !reset null, y: "2"}\nuser: !reset null',
  )
  assert.deepEqual(
    service.ports?.map((p) => p.published),
    ['90'],
  )
  assert.deepEqual([service.environment, service.labels, service.user], [undefined, { y: '2' }, undefined])
})
test('!reset and !override under << and aliases', async () => {
  const { project } = await loadFiles(
    {
      'a.yaml':
        'services:\n  web: {image: w, ports: ["80:80"], dns: ["1.1.1.1"]}\n  two: {image: w, ports: ["80:80"]}\n',
      'b.yaml':
        'x-no: &no !reset []\nx-other: &other\n  ports: !override ["90:90"]\nservices:\n  web:\n    <<: *other\n    dns: *no\n  two: *other\n',
    },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.deepEqual(
    [project.services.web?.ports?.length, project.services.web?.ports?.[0]?.published, project.services.web?.dns],
    [1, '90', undefined],
  )
  assert.deepEqual(
    project.services.two?.ports?.map((p) => p.published),
    ['90'],
  )
})
test('!reset in a single file leaves nothing behind', async () => {
  const service = await merged('ports: !reset []\ncommand: !reset null')
  assert.deepEqual([service.ports, service.command], [undefined, undefined])
})
test('ulimits: a number over a pair and back', async () => {
  assert.deepEqual((await merged('ulimits: {nofile: {soft: 1, hard: 2}}', 'ulimits: {nofile: 5}')).ulimits, {
    nofile: 5,
  })
  assert.deepEqual((await merged('ulimits: {nofile: 5}', 'ulimits: {nofile: {soft: 1, hard: 2}}')).ulimits, {
    nofile: { soft: 1, hard: 2 },
  })
})
test('build: a path over a mapping keeps the rest', async () => {
  const service = await merged('build: {context: a, args: {X: "1"}}', 'build: b')
  assert.match(service.build!.context!, /\/b$/)
  assert.deepEqual(service.build?.args, { X: '1' })
})
