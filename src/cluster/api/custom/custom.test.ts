import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf, cluster, failureOf } from '../fixture.ts'
import type { Draft } from '../resource.ts'

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10 },
        color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
        name: { type: 'string', pattern: '^[a-z]+$' },
        parts: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['id'],
          items: { type: 'object', properties: { id: { type: 'string' }, n: { type: 'integer', default: 7 } } },
        },
        port: { 'x-kubernetes-int-or-string': true },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    status: { type: 'object', properties: { replicas: { type: 'integer' }, selector: { type: 'string' } } },
  },
}
const definition = (more: Draft = {}): Draft => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.size',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
      },
      { name: 'v2', served: true, storage: false, schema: { openAPIV3Schema: schema } },
    ],
    ...more,
  },
})
const crds = 'apiextensions.k8s.io/v1 customresourcedefinitions'
const widgets = 'example.com/v1 widgets'
const widget = (spec: Draft, more: Draft = {}): never =>
  ({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w', ...more }, spec }) as never
const open = async () => {
  const it = cluster()
  await it.ask('create', crds, { object: definition(), namespace: undefined })
  return it
}

test('a definition is established at once and listed', async () => {
  const { ask, api } = await open()
  const crd = await ask('get', crds, { name: 'widgets.example.com', namespace: undefined })
  assert.deepEqual(
    crd.status.conditions.map((c: Draft) => `${c.type}=${c.status}`),
    ['NamesAccepted=True', 'Established=True'],
  )
  assert.deepEqual(
    api
      .resources()
      .filter((r) => r.kind.group === 'example.com')
      .map((r) => r.kind.version),
    ['v1', 'v2'],
  )
  const document = api.openapi().document('apis/example.com/v1') as Draft
  assert.ok(document.components.schemas['com.example.v1.Widget'].properties.spec.properties.size)
})

test('objects are pruned, defaulted and validated by the schema', async () => {
  const { ask } = await open()
  const made = await ask('create', widgets, {
    object: widget({ size: 1, unknown: 1, parts: [{ id: 'a' }], port: '80', free: { any: { thing: 1 } } }),
  })
  assert.deepEqual(made.spec, {
    size: 1,
    color: 'red',
    parts: [{ id: 'a', n: 7 }],
    port: '80',
    free: { any: { thing: 1 } },
  })
  const causes = await causesOf(
    ask('create', widgets, {
      object: widget(
        { size: 99, color: 'green', name: 'A', port: true, parts: [{ id: 'x' }, { id: 'x' }] },
        { name: 'x' },
      ),
    }),
  )
  assert.deepEqual(causes.sort(), [
    'spec.color: Unsupported value: "green": supported values: "red", "blue"',
    'spec.name: Invalid value: "A": spec.name in body should match \'^[a-z]+$\'',
    'spec.parts[1]: Duplicate value: {"id":"x"}',
    'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
    'spec.size: Invalid value: 99: spec.size in body should be less than or equal to 10',
  ])
  assert.deepEqual(await causesOf(ask('create', widgets, { object: widget({ size: 'x' }, { name: 'x' }) })), [
    'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
  ])
  const strict = await failureOf(
    ask('create', widgets, { object: widget({ size: 1, unknown: 1 }, { name: 'y' }), fieldValidation: 'Strict' }),
  )
  assert.match(strict.message, /strict decoding error: unknown field "spec.unknown"/)
})

test('versions, status, scale, table', async () => {
  const { ask } = await open()
  await ask('create', widgets, { object: widget({ size: 2 }) })
  const v2 = await ask('get', 'example.com/v2 widgets', { name: 'w' })
  assert.equal(v2.apiVersion, 'example.com/v2')
  const status = await ask('update', `${widgets}/status`, {
    name: 'w',
    object: {
      ...(await ask('get', widgets, { name: 'w' })),
      spec: { size: 9 },
      status: { replicas: 2, selector: 'a=b' },
    },
  })
  assert.deepEqual([status.spec.size, status.status.replicas, status.metadata.generation], [2, 2, 1])
  const scaled = await ask('patch', `${widgets}/scale`, {
    name: 'w',
    patch: { type: 'merge', body: { spec: { replicas: 5 } } },
  })
  assert.deepEqual([scaled.spec.replicas, scaled.status.selector], [5, 'a=b'])
  const table = await ask('list', widgets, { table: { includeObject: 'None' } })
  assert.deepEqual(
    table.columnDefinitions.map((c: Draft) => c.name),
    ['Name', 'Size', 'Age'],
  )
  assert.deepEqual(table.rows[0].cells.slice(0, 2), ['w', 5])
})

test('server-side apply follows the list types; strategic merge is refused', async () => {
  const { ask } = await open()
  const apply = (manager: string, spec: Draft) =>
    ask('patch', widgets, { name: 'w', fieldManager: manager, patch: { type: 'apply', body: widget(spec) } })
  await apply('one', { size: 1, parts: [{ id: 'a' }] })
  const both = await apply('two', { size: 1, parts: [{ id: 'b', n: 1 }] })
  assert.deepEqual(
    both.spec.parts.map((p: Draft) => p.id),
    ['a', 'b'],
  )
  const status = await failureOf(ask('patch', widgets, { name: 'w', patch: { type: 'strategic', body: {} } }))
  assert.equal(status.code, 415)
})

test('a definition goes with its last object', async () => {
  const { ask, api } = await open()
  await ask('create', widgets, { object: widget({ size: 1 }, { finalizers: ['example.com/hold'] }) })
  await ask('delete', crds, { name: 'widgets.example.com', namespace: undefined })
  assert.ok((await ask('get', widgets, { name: 'w' })).metadata.deletionTimestamp)
  await ask('patch', widgets, { name: 'w', patch: { type: 'merge', body: { metadata: { finalizers: null } } } })
  assert.equal((await failureOf(ask('get', crds, { name: 'widgets.example.com', namespace: undefined }))).code, 404)
  assert.equal(
    api.resources().some((r) => r.kind.group === 'example.com'),
    false,
  )
})

test('definitions that make no sense', async () => {
  const { ask } = cluster()
  const versions = [{ name: 'v1', served: true, storage: false, schema: {} }]
  const causes = await causesOf(
    ask('create', crds, { object: definition({ versions, group: 'other.com' }), namespace: undefined }),
  )
  assert.deepEqual(
    causes.map((c) => c.split(':')[0]),
    ['metadata.name', 'spec.versions', 'spec.versions[0].schema.openAPIV3Schema'],
  )
})
