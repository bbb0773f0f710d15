import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Node, NodeSelectorRequirement } from './generated/types.ts'
import { fitsNode, tolerates, untolerated } from './node-affinity.ts'

const node: Node = { metadata: { name: 'n1', labels: { zone: 'a', cores: '8' } } }
const required = (...matchExpressions: NodeSelectorRequirement[]) => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } },
  },
})

test('selectors and affinity', () => {
  assert.ok(fitsNode({}, node))
  assert.ok(fitsNode({ nodeSelector: { zone: 'a' } }, node))
  assert.ok(!fitsNode({ nodeSelector: { zone: 'b' } }, node))
  assert.ok(
    fitsNode(
      required({ key: 'zone', operator: 'In', values: ['a', 'b'] }, { key: 'cores', operator: 'Gt', values: ['4'] }),
      node,
    ),
  )
  assert.ok(!fitsNode(required({ key: 'zone', operator: 'NotIn', values: ['a'] }), node))
  assert.ok(!fitsNode(required({ key: 'gpu', operator: 'Exists' }), node))
  assert.ok(!fitsNode(required(), node), 'an empty term matches nothing')
})

test('tolerations', () => {
  const taint = { key: 'gpu', value: 'yes', effect: 'NoSchedule' }
  assert.ok(tolerates({ operator: 'Exists' }, taint))
  assert.ok(tolerates({ key: 'gpu', value: 'yes' }, taint))
  assert.ok(!tolerates({ key: 'gpu', value: 'no' }, taint))
  assert.ok(!tolerates({ key: 'gpu', operator: 'Exists', effect: 'NoExecute' }, taint))
  assert.equal(untolerated([taint], [{ key: 'x', operator: 'Exists' }], ['NoSchedule']), taint)
  assert.equal(untolerated([taint], [], ['NoExecute']), undefined)
})
