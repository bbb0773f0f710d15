import assert from 'node:assert/strict'
import { test } from 'node:test'
import { schemaOf } from './schema.ts'
import { strategicMerge } from './strategic-merge.ts'

const pod = schemaOf('', 'v1', 'Pod')!
const service = schemaOf('', 'v1', 'Service')!
const deployment = schemaOf('apps', 'v1', 'Deployment')!
const spec = (result: unknown): Record<string, unknown> => (result as { spec: Record<string, unknown> }).spec

test('lists with a merge key merge by it, others are replaced', () => {
  const before = {
    spec: {
      containers: [
        { name: 'a', image: '1', args: ['x'] },
        { name: 'b', image: '1' },
      ],
      tolerations: [{ key: 'x' }],
    },
  }
  const after = spec(
    strategicMerge(pod, before, {
      spec: {
        containers: [
          { name: 'a', image: '2', args: ['y'] },
          { name: 'c', image: '3' },
        ],
        tolerations: [{ key: 'y' }],
      },
    }),
  )
  assert.deepEqual(after.containers, [
    { name: 'a', image: '2', args: ['y'] },
    { name: 'b', image: '1' },
    { name: 'c', image: '3' },
  ])
  assert.deepEqual(after.tolerations, [{ key: 'y' }])
})
test("ports merge by containerPort, a service's by port", () => {
  const before = { spec: { ports: [{ port: 80, nodePort: 30080 }, { port: 443 }] } }
  const after = spec(strategicMerge(service, before, { spec: { ports: [{ port: 80, targetPort: 8080 }] } }))
  assert.deepEqual(after.ports, [{ port: 80, nodePort: 30080, targetPort: 8080 }, { port: 443 }])
})
test('$patch: delete and replace', () => {
  const before = {
    spec: {
      containers: [{ name: 'a' }, { name: 'b' }],
      volumes: [{ name: 'v', emptyDir: {} }],
      securityContext: { runAsUser: 1 },
    },
  }
  const deleted = spec(
    strategicMerge(pod, before, {
      spec: { containers: [{ name: 'a', $patch: 'delete' }], securityContext: { $patch: 'replace', fsGroup: 2 } },
    }),
  )
  assert.deepEqual(deleted.containers, [{ name: 'b' }])
  assert.deepEqual(deleted.securityContext, { fsGroup: 2 })
  const replaced = spec(strategicMerge(pod, before, { spec: { containers: [{ name: 'z' }, { $patch: 'replace' }] } }))
  assert.deepEqual(replaced.containers, [{ name: 'z' }])
})
test('$retainKeys clears the rest of a union', () => {
  const before = {
    spec: {
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } },
      template: { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    },
  }
  const patch = {
    spec: {
      strategy: { $retainKeys: ['type'], type: 'Recreate' },
      template: { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } },
    },
  }
  assert.deepEqual(spec(strategicMerge(deployment, before, patch)), {
    strategy: { type: 'Recreate' },
    template: { spec: { volumes: [{ name: 'v', hostPath: { path: '/x' } }] } },
  })
})
test('$setElementOrder moves, what only the server has keeps its place', () => {
  const before = { spec: { containers: [{ name: 'a' }, { name: 'injected' }, { name: 'b' }] } }
  const patch = {
    spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }, { name: 'c' }], containers: [{ name: 'c' }] },
  }
  const names = (spec(strategicMerge(pod, before, patch)).containers as { name: string }[]).map((c) => c.name)
  assert.deepEqual(names, ['injected', 'b', 'a', 'c'])
  assert.throws(
    () =>
      strategicMerge(pod, before, {
        spec: { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'c' }] },
      }),
    /doesn't match/,
  )
})
test('$deleteFromPrimitiveList', () => {
  const before = { metadata: { finalizers: ['a', 'b', 'c'] } }
  const after = strategicMerge(pod, before, {
    metadata: { '$deleteFromPrimitiveList/finalizers': ['b'], finalizers: ['d', 'a'] },
  })
  assert.deepEqual(after, { metadata: { finalizers: ['a', 'c', 'd'] } })
})
test('null removes; the original stays as it was', () => {
  const before = { metadata: { labels: { a: '1', b: '2' } } }
  assert.deepEqual(strategicMerge(pod, before, { metadata: { labels: { a: null } } }), {
    metadata: { labels: { b: '2' } },
  })
  assert.deepEqual(before.metadata.labels, { a: '1', b: '2' })
  assert.throws(
    () => strategicMerge(pod, { spec: {} }, { spec: { containers: [{ image: 'x' }] } }),
    /does not contain declared merge key: name/,
  )
})
