// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { load, projectOf } from '../load/fixture.ts'
import { loadProject } from '../load/load.ts'
import type { Loss } from '../types.ts'
import { renderConfig, serviceHash } from './config.ts'
import { refuseLosses, renderLosses, renderLossesJson } from './losses.ts'
import { listVariables } from './variables.ts'

const yaml = `services:
  web:
    image: "w:\${TAG:-1}"
    build: {context: /src, args: {B: "2", A: "1"}}
    ports: ["127.0.0.1:8080:80/udp"]
    environment: {Z: "a$$b", A: "1"}
    healthcheck: {interval: 90s, test: "x"}
    volumes: ["data:/d:ro", "/b:/c"]
    depends_on: [db]
    mem_limit: 1g
    secrets: [{source: s, mode: 0400}]
    command: a "b c"
  db: {image: d, deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64m}}}}
volumes: {data: }
secrets: {s: {environment: S}}
x-more: {a: 1}
`
test('config prints what docker compose prints, in its order', async () => {
  assert.equal(
    await renderConfig(await projectOf(yaml, { environment: { S: 'never shown' } })),
    `name: shop
services:
  db:
    deploy:
      replicas: 2
      resources:
        limits:
          cpus: 0.5
          memory: "67108864"
    image: d
    networks:
      default: null
  web:
    build:
      context: /src
      dockerfile: Dockerfile
      args:
        A: "1"
        B: "2"
    command:
      - a
      - b c
    depends_on:
      db:
        condition: service_started
        required: true
    environment:
      A: "1"
      Z: a$$b
    healthcheck:
      test:
        - CMD-SHELL
        - x
      interval: 1m30s
    image: w:1
    mem_limit: "1073741824"
    networks:
      default: null
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 80
        published: "8080"
        protocol: udp
    secrets:
      - source: s
        mode: "0400"
    volumes:
      - type: volume
        source: data
        target: /d
        read_only: true
        volume: {}
      - type: bind
        source: /b
        target: /c
        bind:
          create_host_path: true
networks:
  default:
    name: shop_default
volumes:
  data:
    name: shop_data
secrets:
  s:
    name: shop_s
    environment: S
x-more:
  a: 1
`,
  )
})
test('config as JSON names command and entrypoint', async () => {
  const { services } = JSON.parse(await renderConfig(await projectOf(yaml), { format: 'json' })) as {
    services: Record<string, Record<string, unknown>>
  }
  assert.deepEqual([services.db?.command, services.db?.entrypoint, services.web?.command], [null, null, ['a', 'b c']])
})
test('what config prints loads as the same project', async () => {
  const first = await projectOf(yaml)
  const text = await renderConfig(first)
  const { project } = await load(text)
  assert.equal(await renderConfig(project), text)
})
test('without interpolation a dollar stays single', async () => {
  const project = await projectOf(yaml, { interpolate: false })
  assert.match(await renderConfig(project, { interpolated: false }), /image: w:\$\{TAG:-1\}/)
})
test('the hash of a service changes with it, and not with its number', async () => {
  const of = async (more: string): Promise<string> =>
    serviceHash((await projectOf(`services: {web: {image: w, ${more}}}\n`)).services.web!)
  assert.equal(await of('scale: 1'), await of('scale: 2'))
  assert.notEqual(await of('init: true'), await of('init: false'))
})
test('variables of a project', async () => {
  const directory = new URL('../../../examples/feastflow', import.meta.url).pathname
  const options = { files: [], workingDir: directory, profiles: [], envFiles: [], environment: {} }
  const names = (await listVariables(options)).map((v) => `${v.name}=${v.default}`)
  assert.deepEqual(names, [
    'APP_VERSION=v1',
    'BACKEND_PORT=5000',
    'DB_NAME=feastflow',
    'DB_PASSWORD=feastflow_dev',
    'DB_USER=feastflow',
    'FRONTEND_PORT=3000',
  ])
  assert.equal((await loadProject(options)).warnings.length, 0)
})

const losses: Loss[] = [
  { service: 'web', path: 'services.web.cpuset', severity: 'warn', message: 'no', hint: 'Do this.' },
  {
    service: 'web',
    path: 'services.web.devices',
    severity: 'refuse',
    message: 'never',
    hint: 'Do that.',
    at: { file: 'c.yaml', line: 3, column: 5 },
  },
]
test('losses for people: refusals first, with the place', () => {
  assert.equal(
    renderLosses(losses),
    'refused: services.web.devices: never (c.yaml:3:5)\n  Do that.\nwarning: services.web.cpuset: no\n  Do this.\n',
  )
  assert.equal(renderLosses([]), '')
})
test('losses for programs', () => {
  assert.deepEqual(JSON.parse(renderLossesJson(losses)).losses[1], {
    service: 'web',
    path: 'services.web.devices',
    severity: 'refuse',
    message: 'never',
    hint: 'Do that.',
    file: 'c.yaml',
    line: 3,
    column: 5,
  })
})
test('refusals stop, unless they are allowed by name', () => {
  assert.throws(
    () => refuseLosses(losses),
    (e) =>
      isError(e, 'unsupported') &&
      e.message === 'services.web.devices: never' &&
      e.at?.line === 3 &&
      /--allow-loss services\.web\.devices/.test(e.hint!),
  )
  for (const allowed of ['all', 'services.web.devices', 'services.web']) refuseLosses(losses, { allowed: [allowed] })
  assert.throws(() => refuseLosses(losses, { allowed: ['services.web.dev'] }))
  assert.throws(() => refuseLosses(losses, { allowed: ['services.web.devices'], strict: true }), /cpuset/)
})
