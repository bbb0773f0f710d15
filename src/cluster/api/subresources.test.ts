import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf, cluster, deployment, failureOf, pod } from './fixture.ts'
import type { Draft } from './resource.ts'

test('scale shows and sets replicas, with generation and precondition', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'apps/v1 deployments', { object: deployment('d', { replicas: 2 }) })
  const scale = await ask('get', 'apps/v1 deployments/scale', { name: 'd' })
  assert.deepEqual(
    [scale.apiVersion, scale.spec, scale.status],
    ['autoscaling/v1', { replicas: 2 }, { replicas: 0, selector: 'app=d' }],
  )
  const set = await ask('update', 'apps/v1 deployments/scale', {
    name: 'd',
    object: { ...scale, spec: { replicas: 4 } },
  })
  assert.equal(set.spec.replicas, 4)
  assert.equal((await ask('get', 'apps/v1 deployments', { name: 'd' })).metadata.generation, 2)
  assert.equal(
    (
      await failureOf(
        ask('update', 'apps/v1 deployments/scale', { name: 'd', object: { ...scale, spec: { replicas: 5 } } }),
      )
    ).code,
    409,
  )
  assert.deepEqual(
    await causesOf(
      ask('patch', 'apps/v1 deployments/scale', {
        name: 'd',
        patch: { type: 'merge', body: { spec: { replicas: -1 } } },
      }),
    ),
    ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
  )
  void made
})
test('a pod is bound once', async () => {
  const { ask } = cluster()
  await ask('create', 'pods', { object: pod('p') })
  const binding = (node: string): never => ({ metadata: { name: 'p' }, target: { kind: 'Node', name: node } }) as never
  assert.equal((await ask('create', 'pods/binding', { name: 'p', object: binding('n1') })).status, 'Success')
  const bound = await ask('get', 'pods', { name: 'p' })
  assert.deepEqual([bound.spec.nodeName, bound.status.conditions[0].type], ['n1', 'PodScheduled'])
  assert.equal(
    (await failureOf(ask('create', 'pods/binding', { name: 'p', object: binding('n2') }))).message,
    'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
  )
})
test('eviction asks the budget', async () => {
  const { ask } = cluster()
  const budgets = 'policy/v1 poddisruptionbudgets'
  for (const name of ['a', 'b']) {
    const made = await ask('create', 'pods', { object: pod(name, { nodeName: 'n1' }, { labels: { app: 'x' } }) })
    await ask('update', 'pods/status', {
      name,
      object: { ...made, status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
    })
  }
  const budget = await ask('create', budgets, {
    object: { metadata: { name: 'pdb' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'x' } } } } as never,
  })
  const evict = (name: string) => ask('create', 'pods/eviction', { name, object: { metadata: { name } } as never })
  const early = await failureOf(evict('a'))
  assert.deepEqual(
    [early.code, early.details?.causes?.[0]?.message],
    [429, 'The disruption budget pdb is still being processed by the server.'],
  )
  const status = { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 }
  await ask('update', `${budgets}/status`, { name: 'pdb', object: { ...budget, status } })
  assert.equal((await evict('a')).status, 'Success')
  assert.ok((await ask('get', 'pods', { name: 'a' })).metadata.deletionTimestamp)
  const spent = await ask('get', budgets, { name: 'pdb' })
  assert.deepEqual([spent.status.disruptionsAllowed, Object.keys(spent.status.disruptedPods)], [0, ['a']])
  const refused = await failureOf(evict('b'))
  assert.deepEqual(
    [refused.code, refused.message, refused.details?.causes?.[0]?.message],
    [
      429,
      "Cannot evict pod as it would violate the pod's disruption budget.",
      'The disruption budget pdb needs 1 healthy pods and has 2 currently',
    ],
  )
})
test('ephemeral containers are added, never changed, and only here', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'pods', { object: pod('p') })
  const debug = { name: 'debug', image: 'busybox' }
  const body = { spec: { ephemeralContainers: [debug] } }
  const plain = await ask('patch', 'pods', { name: 'p', patch: { type: 'strategic', body } })
  assert.equal(plain.spec.ephemeralContainers, undefined)
  const added = await ask('patch', 'pods/ephemeralcontainers', { name: 'p', patch: { type: 'strategic', body } })
  assert.equal(added.spec.ephemeralContainers[0].terminationMessagePolicy, 'File')
  const [cause] = await causesOf(
    ask('patch', 'pods/ephemeralcontainers', {
      name: 'p',
      patch: { type: 'strategic', body: { spec: { ephemeralContainers: [{ name: 'debug', image: 'other' }] } } },
    }),
  )
  assert.equal(cause, 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed')
  void made
})
test('tokens: issued, reviewed, and dead with what they are bound to', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'pods', { object: pod('p') })
  const request = (spec: Draft) =>
    ask('create', 'serviceaccounts/token', { name: 'default', object: { spec } as never })
  const answer = await request({
    expirationSeconds: 600,
    boundObjectRef: { kind: 'Pod', name: 'p', uid: made.metadata.uid },
  })
  const review = async (token: string, audiences?: string[]) =>
    (
      await ask('create', 'authentication.k8s.io/v1 tokenreviews', {
        object: { spec: { token, audiences } } as never,
        namespace: undefined,
      })
    ).status
  const good = await review(answer.status.token)
  assert.deepEqual(
    [good.authenticated, good.user.username, good.user.groups],
    [
      true,
      'system:serviceaccount:default:default',
      ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
    ],
  )
  assert.equal((await review(answer.status.token, ['vault'])).authenticated, undefined)
  assert.equal((await review(`${answer.status.token.slice(0, -4)}AAAA`)).authenticated, undefined)
  await ask('delete', 'pods', { name: 'p' })
  assert.equal((await review(answer.status.token)).authenticated, undefined)
  assert.equal(
    (await review((await request({ audiences: ['vault'] })).status.token, ['vault', 'x'])).audiences[0],
    'vault',
  )
  assert.deepEqual(await causesOf(request({ expirationSeconds: 5 })), [
    'spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes',
  ])
})
test('a token Secret is filled, and its token lives as long as it', async () => {
  const { ask } = cluster({ ca: 'PEM' })
  const annotations = { 'kubernetes.io/service-account.name': 'default' }
  const object = { metadata: { name: 't', annotations }, type: 'kubernetes.io/service-account-token' } as never
  const made = await ask('create', 'secrets', { object })
  const token = Buffer.from(made.data.token, 'base64').toString()
  const authenticated = async () =>
    (
      await ask('create', 'authentication.k8s.io/v1 tokenreviews', {
        object: { spec: { token } } as never,
        namespace: undefined,
      })
    ).status.authenticated
  assert.deepEqual([Buffer.from(made.data['ca.crt'], 'base64').toString(), await authenticated()], ['PEM', true])
  await ask('delete', 'secrets', { name: 't' })
  assert.equal(await authenticated(), undefined)
})
test('autoscaling/v1 is a view on autoscaling/v2', async () => {
  const { ask } = cluster()
  const v1 = 'autoscaling/v1 horizontalpodautoscalers'
  const spec = { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd' }, targetCPUUtilizationPercentage: 55 }
  const made = await ask('create', v1, {
    object: { apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', metadata: { name: 'h' }, spec } as never,
  })
  assert.deepEqual(
    [made.apiVersion, made.spec.targetCPUUtilizationPercentage, made.spec.minReplicas],
    ['autoscaling/v1', 55, 1],
  )
  const stored = await ask('get', 'autoscaling/v2 horizontalpodautoscalers', { name: 'h' })
  assert.deepEqual(stored.spec.metrics, [
    { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 55 } } },
  ])
  const patched = await ask('patch', v1, {
    name: 'h',
    patch: { type: 'merge', body: { spec: { targetCPUUtilizationPercentage: 60 } } },
  })
  assert.equal(patched.spec.targetCPUUtilizationPercentage, 60)
  assert.equal((await ask('list', v1)).items[0].apiVersion, 'autoscaling/v1')
})
test('metrics come from the nodes', async () => {
  const { ask, api } = cluster()
  const list = () => ask('list', 'metrics.k8s.io/v1beta1 pods')
  assert.equal((await failureOf(list())).code, 503)
  const time = Date.parse('2026-01-01T00:00:00Z')
  api.connectNodes({
    podUsage: () => [
      {
        namespace: 'default',
        name: 'p',
        labels: { app: 'x' },
        time,
        window: 15_000,
        containers: [{ name: 'c', cpuNanocores: 1_500_000, memoryBytes: 2 ** 20 }],
      },
    ],
    nodeUsage: () => [{ name: 'n1', time, window: 15_000, cpuNanocores: 5, memoryBytes: 1024 }],
  } as never)
  const [item] = (await list()).items
  assert.deepEqual(
    [item.kind, item.window, item.containers],
    ['PodMetrics', '15s', [{ name: 'c', usage: { cpu: '1500000n', memory: '1024Ki' } }]],
  )
  assert.deepEqual((await ask('list', 'metrics.k8s.io/v1beta1 pods', { labels: 'app=y' })).items, [])
  assert.equal(
    (await ask('get', 'metrics.k8s.io/v1beta1 nodes', { name: 'n1', namespace: undefined })).usage.memory,
    '1Ki',
  )
})
