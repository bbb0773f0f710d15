import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareFields, difference, fieldsOf, intersection, mergeApplied, pathsOf, prune, union } from './field-set.ts'
import { schemaOf } from './schema.ts'

const pod = schemaOf('', 'v1', 'Pod')!
const paths = (object: unknown): string[] => pathsOf(fieldsOf(pod, object))

test('the fields of an object: maps, keyed lists, sets, atomic lists', () => {
  assert.deepEqual(
    paths({
      metadata: { labels: { app: 'x' }, finalizers: ['example.com/a'] },
      spec: {
        containers: [{ name: 'c', args: ['1'], ports: [{ containerPort: 80 }], resources: {} }],
        nodeSelector: { a: 'b' },
      },
    }),
    [
      '.metadata.finalizers[="example.com/a"]',
      '.metadata.labels.app',
      '.spec.containers[name="c"]',
      '.spec.containers[name="c"].args',
      '.spec.containers[name="c"].name',
      '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]',
      '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].containerPort',
      '.spec.containers[name="c"].resources',
      '.spec.nodeSelector',
    ],
  )
})
test('set operations', () => {
  const a = { 'f:a': {}, 'f:b': { '.': {}, 'f:c': {} } }
  const b = { 'f:b': { 'f:c': {} }, 'f:d': {} }
  assert.deepEqual(pathsOf(union(a, b)), ['.a', '.b', '.b.c', '.d'])
  assert.deepEqual(pathsOf(intersection(a, b)), ['.b.c'])
  assert.deepEqual(pathsOf(difference(a, b)), ['.a', '.b'])
  assert.equal(difference(b, b), undefined)
})
test('what differs between two states', () => {
  const before = {
    spec: {
      containers: [
        { name: 'a', image: '1' },
        { name: 'gone', image: '1' },
      ],
    },
  }
  const after = {
    spec: {
      containers: [
        { name: 'a', image: '2' },
        { name: 'new', image: '1' },
      ],
    },
  }
  const { changed, removed } = compareFields(pod, before, after)
  assert.deepEqual(pathsOf(changed), [
    '.spec.containers[name="a"].image',
    '.spec.containers[name="new"]',
    '.spec.containers[name="new"].image',
    '.spec.containers[name="new"].name',
  ])
  assert.ok(pathsOf(removed).includes('.spec.containers[name="gone"]'))
})
test('merging an applied configuration and taking back what was given up', () => {
  const live = {
    spec: { containers: [{ name: 'a', image: '1', env: [{ name: 'X', value: '1' }] }, { name: 'injected' }] },
  }
  const applied = { spec: { containers: [{ name: 'a', image: '2' }] } }
  const merged = mergeApplied(pod, live, applied)
  assert.deepEqual(merged, {
    spec: { containers: [{ name: 'a', image: '2', env: [{ name: 'X', value: '1' }] }, { name: 'injected' }] },
  })
  const last = fieldsOf(pod, { spec: { containers: [{ name: 'a', image: '1', env: [{ name: 'X', value: '1' }] }] } })
  assert.deepEqual(prune(pod, merged, last, fieldsOf(pod, applied)), {
    spec: { containers: [{ name: 'a', image: '2' }, { name: 'injected' }] },
  })
})
