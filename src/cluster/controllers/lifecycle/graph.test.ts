import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigMap } from '../../../spec/kube/kinds.ts'
import { Graph, nodeOf, planCollect } from './graph.ts'

const object = (
  uid: string,
  owners: string[] = [],
  more: { finalizers?: string[]; deleting?: boolean; block?: boolean } = {},
) =>
  nodeOf(ConfigMap, {
    metadata: {
      uid,
      name: uid,
      namespace: 'default',
      ownerReferences: owners.map((owner) => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        name: owner,
        uid: owner,
        blockOwnerDeletion: more.block ?? true,
      })),
      ...(more.finalizers ? { finalizers: more.finalizers } : {}),
      ...(more.deleting ? { deletionTimestamp: 'now' } : {}),
    },
  })
const graphOf = (...nodes: ReturnType<typeof object>[]): Graph => {
  const graph = new Graph()
  for (const node of nodes) graph.set(node)
  return graph
}
const plan = (graph: Graph, uid: string, ...absent: string[]): string => {
  const step = planCollect(graph.get(uid)!, graph, new Set(absent))
  if (step.do === 'delete') return `delete ${step.propagation}`
  if (step.do === 'disown') return `disown ${step.uids}`
  if (step.do === 'foreground')
    return `foreground ${step.dependents.map(({ name }) => name)} ${step.done ? 'done' : 'waits'}`
  return step.do === 'orphan' ? `orphan ${step.dependents.map(({ name }) => name)}` : step.do
}

test('an owner that lives keeps its own; an absent one lets it go', () => {
  const graph = graphOf(object('a'), object('b', ['a']))
  assert.equal(plan(graph, 'b'), 'nothing')
  assert.equal(plan(graph, 'b', 'a'), 'delete Background')
  assert.equal(plan(graphOf(object('a'), object('b', ['a', 'x'])), 'b', 'x'), 'disown x')
})

test('foreground: owners wait for those that block, dependents with dependents go the same way', () => {
  const graph = graphOf(
    object('a', [], { deleting: true, finalizers: ['foregroundDeletion'] }),
    object('b', ['a']),
    object('c', ['b']),
  )
  assert.equal(plan(graph, 'a'), 'foreground b waits')
  assert.equal(plan(graph, 'b'), 'delete Foreground')
  assert.deepEqual(graph.remove('c'), ['b'])
  assert.equal(plan(graph, 'b'), 'delete Background')
  assert.deepEqual(graph.remove('b'), ['a'])
  assert.equal(plan(graph, 'a'), 'foreground  done')
  const free = graphOf(
    object('a', [], { deleting: true, finalizers: ['foregroundDeletion'] }),
    object('b', ['a'], { block: false }),
  )
  assert.equal(plan(free, 'a'), 'foreground b done')
})

test('orphan: dependents are let go of first', () => {
  const graph = graphOf(object('a', [], { deleting: true, finalizers: ['orphan'] }), object('b', ['a']))
  assert.equal(plan(graph, 'a'), 'orphan b')
  assert.deepEqual(graph.set(object('b')), ['a'])
  assert.equal(plan(graph, 'a'), 'orphan ')
})
