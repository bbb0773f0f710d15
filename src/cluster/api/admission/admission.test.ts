import assert from 'node:assert/strict'
import { test } from 'node:test'
import { admin, cluster, deployment, failureOf, pod } from '../fixture.ts'
import type { Draft } from '../resource.ts'

const container = (more: Draft = {}): Draft => ({ containers: [{ name: 'main', image: 'x', ...more }] })

test('a pod mounts the token of its account, unless it is told not to', async () => {
  const { ask } = cluster({ ca: 'PEM' })
  const made = await ask('create', 'pods', { object: pod('a') })
  const [volume] = made.spec.volumes
  assert.match(volume.name, /^kube-api-access-/)
  assert.deepEqual(
    volume.projected.sources.map((s: Draft) => Object.keys(s)[0]),
    ['serviceAccountToken', 'configMap', 'downwardAPI'],
  )
  assert.deepEqual(made.spec.containers[0].volumeMounts, [
    { name: volume.name, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
  ])
  assert.equal(
    (await ask('create', 'pods', { object: pod('b', { automountServiceAccountToken: false }) })).spec.volumes,
    undefined,
  )
  const status = await failureOf(ask('create', 'pods', { object: pod('c', { serviceAccountName: 'none' }) }))
  assert.equal(
    status.message,
    'pods "c" is forbidden: error looking up service account default/none: serviceaccount "none" not found',
  )
})
test('priority comes from the class', async () => {
  const { ask } = cluster()
  await ask('create', 'scheduling.k8s.io/v1 priorityclasses', {
    object: { metadata: { name: 'high' }, value: 1000, preemptionPolicy: 'Never' } as never,
    namespace: undefined,
  })
  const made = await ask('create', 'pods', { object: pod('a', { priorityClassName: 'high' }) })
  assert.deepEqual([made.spec.priority, made.spec.preemptionPolicy], [1000, 'Never'])
  assert.equal(
    (await failureOf(ask('create', 'pods', { object: pod('b', { priorityClassName: 'none' }) }))).message,
    'pods "b" is forbidden: no PriorityClass with name none was found',
  )
})
test('limit ranges give defaults and bounds', async () => {
  const { ask } = cluster()
  const limits = [
    {
      type: 'Container',
      default: { cpu: '200m' },
      defaultRequest: { cpu: '100m' },
      min: { cpu: '50m' },
      max: { cpu: '1' },
    },
  ]
  await ask('create', 'limitranges', { object: { metadata: { name: 'l' }, spec: { limits } } as never })
  const made = await ask('create', 'pods', { object: pod('a') })
  assert.deepEqual(made.spec.containers[0].resources, { limits: { cpu: '200m' }, requests: { cpu: '100m' } })
  assert.equal(
    made.metadata.annotations['kubernetes.io/limit-ranger'],
    'LimitRanger plugin set: cpu request for container main; cpu limit for container main',
  )
  assert.equal(made.status.qosClass, 'Burstable')
  const big = await failureOf(
    ask('create', 'pods', {
      object: pod('b', container({ resources: { requests: { cpu: '10m' }, limits: { cpu: '2' } } })),
    }),
  )
  assert.equal(
    big.message,
    'pods "b" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, but limit is 2]',
  )
})
test('quotas are charged at once and never overdrawn', async () => {
  const { ask } = cluster()
  await ask('create', 'resourcequotas', {
    object: { metadata: { name: 'q' }, spec: { hard: { pods: '2', 'requests.cpu': '1' } } } as never,
  })
  const create = (name: string, cpu: string) =>
    ask('create', 'pods', { object: pod(name, container({ resources: { requests: { cpu } } })) })
  assert.equal(
    (await failureOf(ask('create', 'pods', { object: pod('x') }))).message,
    'pods "x" is forbidden: failed quota: q: must specify requests.cpu for: main',
  )
  await create('a', '400m')
  assert.deepEqual((await ask('get', 'resourcequotas', { name: 'q' })).status.used, {
    pods: '1',
    'requests.cpu': '400m',
  })
  assert.equal(
    (await failureOf(create('b', '700m'))).message,
    'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=700m, used: requests.cpu=400m, limited: requests.cpu=1',
  )
  await create('b', '600m')
  assert.match(
    (await failureOf(create('c', '0'))).message,
    /exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2/,
  )
  await ask('delete', 'pods', { name: 'a' })
  await create('c', '0')
})
test('pod security: enforced for pods, warned about for workloads', async () => {
  const { ask, api } = cluster()
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await ask('patch', 'namespaces', {
    name: 'default',
    namespace: undefined,
    patch: { type: 'merge', body: { metadata: { labels } } },
  })
  const status = await failureOf(ask('create', 'pods', { object: pod('a', { hostNetwork: true }) }))
  assert.equal(
    status.message,
    'pods "a" is forbidden: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  )
  const securityContext = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  }
  await ask('create', 'pods', { object: pod('b', container({ securityContext })) })
  const answer = await api.handle({
    verb: 'create',
    user: admin,
    group: 'apps',
    version: 'v1',
    resource: 'deployments',
    namespace: 'default',
    object: deployment('d'),
  })
  assert.match(answer.kind === 'object' ? answer.warnings[0]! : '', /^would violate PodSecurity "restricted:latest"/)
})
