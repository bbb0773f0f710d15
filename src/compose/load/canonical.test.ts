import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure, web } from './fixture.ts'
import { parseMount } from './mounts.ts'
import { parsePort } from './ports.ts'

const short = (spec: string): unknown => {
  const ports = parsePort(spec)
  return typeof ports === 'string'
    ? ports
    : ports.map((p) => `${p.host_ip ?? ''}|${p.published ?? ''}|${p.target}/${p.protocol}`)
}
const ports: [spec: string, result: unknown][] = [
  ['80', ['||80/tcp']],
  ['8080:80', ['|8080|80/tcp']],
  ['127.0.0.1:8080:80/udp', ['127.0.0.1|8080|80/udp']],
  ['127.0.0.1::80', ['127.0.0.1||80/tcp']],
  ['[::1]:8080:80', ['::1|8080|80/tcp']],
  ['3000-3002', ['||3000/tcp', '||3001/tcp', '||3002/tcp']],
  ['9090-9091:8080-8081', ['|9090|8080/tcp', '|9091|8081/tcp']],
  ['8000-9000:80', ['|8000-9000|80/tcp']],
  ['0:80', ['|0|80/tcp']],
  ['80:', 'no port specified: 80:<empty>'],
  ['a:80', 'invalid hostPort: a'],
  ['80:x', 'invalid containerPort: x'],
  ['80/icmp', 'invalid proto: icmp'],
  ['1-3:1-2', 'invalid ranges specified for container and host Ports: 1-2 and 1-3'],
  ['300.1.1.1:80:80', 'invalid ip address: 300.1.1.1'],
  ['80:70000', 'invalid containerPort: 70000'],
]
for (const [spec, result] of ports) test(`port ${spec}`, () => assert.deepEqual(short(spec), result))

const mounts: [spec: string, result: unknown][] = [
  ['/data', { type: 'volume', target: '/data', volume: {} }],
  ['data:/data', { type: 'volume', source: 'data', target: '/data', volume: {} }],
  ['data:/data/:ro', { type: 'volume', source: 'data', target: '/data', volume: {}, read_only: true }],
  ['data:/data:nocopy', { type: 'volume', source: 'data', target: '/data', volume: { nocopy: true } }],
  ['./a:/b', { type: 'bind', source: './a', target: '/b', bind: { create_host_path: true } }],
  [
    '~/a:/b:ro,z',
    { type: 'bind', source: '~/a', target: '/b', bind: { create_host_path: true, selinux: 'z' }, read_only: true },
  ],
  [
    '/a:/b:rslave',
    { type: 'bind', source: '/a', target: '/b', bind: { create_host_path: true, propagation: 'rslave' } },
  ],
  ['C:\\a:/b', { type: 'bind', source: 'C:\\a', target: '/b', bind: { create_host_path: true } }],
  ['a:b:c:d', 'invalid spec: a:b:c:d: too many colons'],
  ['::', 'invalid spec: ::: empty section between colons'],
]
for (const [spec, result] of mounts) test(`volume ${spec}`, () => assert.deepEqual(parseMount(spec), result))

test('short forms become long ones', async () => {
  const service = await web(
    `build: .
command: echo "two words" 'and three'
entrypoint: ["/run", "it"]
depends_on: [db]
dns: 1.1.1.1
env_file: a.env
environment: [A=1, B=x=y]
extra_hosts: ["a:1.2.3.4", "b=::1", "c:[::2]"]
healthcheck: {test: "exit 0", interval: 1m30s, timeout: 500ms}
labels: [a=b, bare]
networks: [back]
secrets: [s]
tmpfs: /run
ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}
devices: ["/dev/null"]
mem_limit: 1.5g
shm_size: 64m
sysctls: [net.core.somaxconn=1024]
x-slipway: {host: a.example}`,
    { also: '  db: {image: db}\nnetworks: {back: }\nsecrets: {s: {environment: S}}', files: { 'a.env': '' } },
  )
  assert.equal(service.build?.dockerfile, 'Dockerfile')
  assert.deepEqual(service.command, ['echo', 'two words', 'and three'])
  assert.deepEqual(service.entrypoint, ['/run', 'it'])
  assert.deepEqual(service.depends_on, { db: { condition: 'service_started', required: true } })
  assert.deepEqual(service.dns, ['1.1.1.1'])
  assert.deepEqual(service.environment, { A: '1', B: 'x=y' })
  assert.deepEqual(service.extra_hosts, ['a=1.2.3.4', 'b=::1', 'c=::2'])
  assert.deepEqual(service.healthcheck, { test: ['CMD-SHELL', 'exit 0'], interval: 90_000, timeout: 500 })
  assert.deepEqual(service.labels, { a: 'b', bare: '' })
  assert.deepEqual(service.networks, { back: null })
  assert.deepEqual(service.secrets, [{ source: 's' }])
  assert.deepEqual(service.tmpfs, ['/run'])
  assert.deepEqual(service.ulimits, { nofile: 10, nproc: { soft: 1, hard: 2 } })
  assert.deepEqual(service.devices, [{ source: '/dev/null', target: '/dev/null', permissions: 'rwm' }])
  assert.deepEqual([service.mem_limit, service.shm_size], [1.5 * 2 ** 30, 64 * 2 ** 20])
  assert.deepEqual(service.sysctls, { 'net.core.somaxconn': '1024' })
  assert.deepEqual(service['x-slipway'], { host: ['a.example'] })
})
test('file modes are octal however they are written', async () => {
  const of = async (mode: string): Promise<number | undefined> =>
    (await web(`secrets: [{source: s, mode: ${mode}}]`, { also: 'secrets: {s: {environment: S}}' })).secrets?.[0]?.mode
  assert.deepEqual(
    [await of('0440'), await of('"0440"'), await of('0o440'), await of('288')],
    [0o440, 0o440, 0o440, 288],
  )
})
test('errors of short forms say where and how to write it', async () => {
  const error = await failure(web('ports:\n  - "80:80"\n  - "80:x"'))
  assert.equal(error.message, 'services.web.ports.1: invalid containerPort: x')
  assert.equal(error.at?.line, 6)
  assert.match(error.hint!, /127\.0\.0\.1:8080:80/)
  assert.match(
    (await failure(web('command: "a \'b"'))).message,
    /services\.web\.command: invalid command line string: no closing '/,
  )
  assert.match(
    (await failure(web('healthcheck: {test: [curl, x]}'))).message,
    /must start either by "CMD", "CMD-SHELL" or "NONE"/,
  )
  assert.match((await failure(web('ports: ["80:80", "80:80"]'))).message, /non-unique item/)
})
test('empty commands', async () => {
  const service = await web('command: ""\nentrypoint: []')
  assert.deepEqual([service.command, service.entrypoint], [[], []])
})
test("build arguments without a value take the environment's", async () => {
  const service = await web('build: {context: ., args: [A, B, C=1]}', { environment: { A: 'x' } })
  assert.deepEqual(service.build?.args, { A: 'x', C: '1' })
})
