import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Node, Pod, PodSpec } from '../../spec/kube/generated/types.ts'
import { type Cluster, decide } from './decide.ts'
import { Nodes } from './nodes.ts'

const node = (
  name: string,
  more: { labels?: Record<string, string>; spec?: Node['spec']; cpu?: string; pods?: string } = {},
): Node => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name, ...more.labels } },
  spec: more.spec,
  status: { allocatable: { cpu: more.cpu ?? '2', memory: '4Gi', pods: more.pods ?? '110' } },
})
let uids = 0
const pod = (spec: Partial<PodSpec> = {}, labels: Record<string, string> = { app: 'web' }): Pod => ({
  metadata: { name: `p${++uids}`, uid: `p${uids}`, namespace: 'default', labels },
  spec: { containers: [{ name: 'a' }], ...spec },
})
const cpu = (request: string): Partial<PodSpec> => ({
  containers: [{ name: 'a', resources: { requests: { cpu: request } } }],
})
const cluster = (nodes: Node[], placed: [string, Pod][] = []): Cluster => {
  const all = new Nodes()
  for (const one of nodes) all.setNode(one)
  for (const [name, one] of placed) all.setPod({ ...one, spec: { ...one.spec!, nodeName: name } })
  return {
    nodes: all.all(),
    namespaces: { labelsOf: () => ({ team: 'a' }) },
    budgets: [],
    volumes: { claim: () => undefined, volume: () => undefined, storageClass: () => undefined },
  }
}
const result = (one: Pod, where: Cluster): string => {
  const decision = decide(one, where)
  return decision.to === 'wait' ? decision.message.replace(/ preemption: .*$/, '') : `${decision.to} ${decision.node}`
}

describe('filters, in Kubernetes’ words', () => {
  test('no nodes', () => assert.equal(result(pod(), cluster([])), 'no nodes available to schedule pods'))

  test('resources, node selector, taints, cordon, counted by reason', () => {
    const nodes = [
      node('a', { cpu: '1' }),
      node('b', { cpu: '1' }),
      node('c', { spec: { unschedulable: true } }),
      node('d', { spec: { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] } }),
    ]
    assert.equal(
      result(pod(cpu('1500m')), cluster(nodes)),
      '0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable, 2 Insufficient cpu.',
    )
    const tolerations = [{ key: 'gpu', operator: 'Exists' }]
    assert.equal(result(pod({ ...cpu('1500m'), tolerations }), cluster(nodes)), 'bind d')
    assert.equal(
      result(pod({ nodeSelector: { disk: 'ssd' } }), cluster([node('a'), node('s', { labels: { disk: 'ssd' } })])),
      'bind s',
    )
    assert.equal(
      result(pod(), cluster([node('a', { pods: '1' })], [['a', pod()]])),
      '0/1 nodes are available: 1 Too many pods.',
    )
  })

  test('host ports', () => {
    const ports = (hostPort: number): Partial<PodSpec> => ({
      containers: [{ name: 'a', ports: [{ containerPort: 80, hostPort }] }],
    })
    const where = cluster([node('a')], [['a', pod(ports(8080))]])
    assert.equal(
      result(pod(ports(8080)), where),
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    )
    assert.equal(result(pod(ports(8081)), where), 'bind a')
  })

  test('pods that must be apart, and pods that must be together', () => {
    const term = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } }
    const apart: Partial<PodSpec> = {
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } },
    }
    const near: Partial<PodSpec> = {
      affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } },
    }
    const nodes = [node('a'), node('b')]
    assert.equal(result(pod(apart), cluster(nodes, [['a', pod(apart)]])), 'bind b')
    assert.equal(
      result(pod(apart), cluster([node('a')], [['a', pod()]])),
      "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
    )
    assert.equal(
      result(pod(), cluster([node('a')], [['a', pod(apart)]])),
      "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
    )
    assert.equal(result(pod(near, { app: 'db' }), cluster(nodes, [['b', pod()]])), 'bind b')
    assert.equal(
      result(pod(near, { app: 'db' }), cluster(nodes)),
      "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
    )
    assert.match(result(pod(near), cluster(nodes)), /^bind/)
  })

  test('topology spread', () => {
    const topologySpreadConstraints = [
      {
        maxSkew: 1,
        topologyKey: 'zone',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'web' } },
      },
    ]
    const nodes = [node('a', { labels: { zone: '1' } }), node('b', { labels: { zone: '2' } }), node('c')]
    const placed: [string, Pod][] = [['a', pod()]]
    assert.equal(result(pod({ topologySpreadConstraints }), cluster(nodes, placed)), 'bind b')
    const full = cluster(
      [nodes[0]!, node('b', { labels: { zone: '2' }, spec: { unschedulable: true } }), nodes[2]!],
      placed,
    )
    assert.equal(
      result(pod({ topologySpreadConstraints }), full),
      "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable.",
    )
  })

  test('a missing claim', () => {
    const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }]
    assert.equal(
      result(pod({ volumes }), cluster([node('a')])),
      '0/1 nodes are available: persistentvolumeclaim "data" not found.',
    )
  })
})

test('the emptier node is better, and pods of one owner spread', () => {
  assert.equal(result(pod(), cluster([node('a'), node('b')], [['a', pod(cpu('1'), { app: 'x' })]])), 'bind b')
  const owned = (): Pod => {
    const one = pod()
    one.metadata.ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'r', controller: true },
    ]
    return one
  }
  assert.equal(
    result(
      owned(),
      cluster(
        [node('a'), node('b')],
        [
          ['a', owned()],
          ['a', owned()],
          ['b', pod(cpu('500m'), { app: 'x' })],
        ],
      ),
    ),
    'bind b',
  )
})

test('requests are freed with their pod, and an assumed pod counts at once', () => {
  const nodes = new Nodes()
  nodes.setNode(node('a'))
  const one = pod(cpu('2'))
  nodes.assume(one, 'a')
  assert.equal(nodes.all()[0]!.requested.cpu, 2000)
  nodes.setPod(one)
  assert.equal(nodes.all()[0]!.requested.cpu, 2000)
  nodes.setPod({ ...one, spec: { ...one.spec!, nodeName: 'a' }, status: { phase: 'Succeeded' } })
  assert.equal(nodes.all()[0]!.pods.size, 0)
})

test('a more important pod takes the place of as few, and as unimportant, others as will do', () => {
  const less = (priority: number, request: string): Pod => pod({ ...cpu(request), priority })
  const [low, middle, high] = [less(1, '1'), less(5, '1'), less(100, '2')]
  const where = cluster(
    [node('a'), node('b')],
    [
      ['a', low],
      ['a', middle],
      ['b', high],
    ],
  )
  const decision = decide(pod({ ...cpu('1'), priority: 10 }), where)
  assert.ok(decision.to === 'wait' && decision.preempt)
  assert.deepEqual(
    [decision.preempt.node, decision.preempt.victims.map(({ metadata }) => metadata.name)],
    ['a', [low.metadata.name]],
  )
  const never = decide(pod({ ...cpu('1'), priority: 10, preemptionPolicy: 'Never' }), where)
  assert.ok(never.to === 'wait' && !never.preempt)
  assert.equal(
    never.message,
    '0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.',
  )
  const equal = decide(pod({ ...cpu('1'), priority: 1 }), where)
  assert.ok(equal.to === 'wait' && !equal.preempt)
})
