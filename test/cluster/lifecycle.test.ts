import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ConfigMap as ConfigMapObject, PodSpec } from '../../src/spec/kube/generated/types.ts'
import {
  ConfigMap,
  Deployment,
  Endpoints,
  EndpointSlice,
  Event,
  Lease,
  Namespace,
  Node,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  PriorityClass,
  ReplicaSet,
  ResourceQuota,
  Service,
  ServiceAccount,
} from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from './test-cluster.ts'

let c: TestCluster
before(async () => {
  c = await testCluster({}, ['node-1', 'node-2'])
})
after(() => c.close())
const at = (name: string, namespace = 'default') => ({ namespace, name })
const podSpec = (more: Partial<PodSpec> = {}): PodSpec => ({ containers: [{ name: 'app', image: 'app:1' }], ...more })
const deploy = (name: string, replicas: number, namespace = 'default') =>
  c.client.create(Deployment, {
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: podSpec() },
    },
  })
const podsOf = (app: string, namespace = 'default') =>
  c.informers
    .of(Pod)
    .list(namespace)
    .filter((pod) => pod.metadata.labels?.app === app)
const allReady = (app: string, count: number, namespace = 'default') =>
  c.until(`${count} ready of ${app}`, () => {
    const ready = podsOf(app, namespace).filter((pod) =>
      pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    )
    return ready.length === count && ready
  })

describe('garbage collection', () => {
  test('background: the Deployment goes at once, what it owned follows', async () => {
    await deploy('bg', 2)
    await allReady('bg', 2)
    await c.client.delete(Deployment, at('bg'), { propagation: 'Background' })
    assert.equal(await c.client.get(Deployment, at('bg')), undefined)
    await c.until(
      'pods gone',
      () =>
        podsOf('bg').length === 0 &&
        !c.informers
          .of(ReplicaSet)
          .list()
          .some((rs) => rs.metadata.labels?.app === 'bg'),
    )
  })

  test('foreground: the Deployment stays until what it owned is gone', async () => {
    await deploy('fg', 2)
    await allReady('fg', 2)
    const order: string[] = []
    const offs = [Deployment, ReplicaSet, Pod].map((kind) =>
      c.informers.of(kind as typeof Pod).on(({ type, object }) => {
        if (type === 'DELETED' && object.metadata.name?.startsWith('fg')) order.push(kind.kind)
      }),
    )
    await c.client.delete(Deployment, at('fg'), { propagation: 'Foreground' })
    await c.until('gone', () => order.includes('Deployment'))
    for (const off of offs) off()
    assert.deepEqual(order, ['Pod', 'Pod', 'ReplicaSet', 'Deployment'])
  })

  test('orphan: what it owned stays, without an owner', async () => {
    await deploy('or', 1)
    await allReady('or', 1)
    await c.client.delete(Deployment, at('or'), { propagation: 'Orphan' })
    await c.until('deployment gone', () => !c.informers.of(Deployment).get('default', 'or'))
    const set = c.informers
      .of(ReplicaSet)
      .list()
      .find((rs) => rs.metadata.labels?.app === 'or')!
    assert.ok(!set.metadata.ownerReferences?.length)
    assert.equal(podsOf('or').length, 1)
    await c.client.delete(ReplicaSet, at(set.metadata.name!))
  })

  test('an object whose owner does not exist is removed; with a second owner it only loses the reference', async () => {
    const owner = await c.client.create(ConfigMap, { metadata: { name: 'owner', namespace: 'default' } })
    const ref = (name: string, uid: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid })
    const make = (name: string, ...ownerReferences: ReturnType<typeof ref>[]): Promise<ConfigMapObject> =>
      c.client.create(ConfigMap, { metadata: { name, namespace: 'default', ownerReferences } })
    await make('stray', ref('nobody', 'no-such-uid'))
    await make('shared', ref('nobody', 'no-such-uid'), ref('owner', owner.metadata.uid!))
    await c.until('stray removed', () => !c.informers.of(ConfigMap).get('default', 'stray'))
    await c.until(
      'shared kept',
      () => c.informers.of(ConfigMap).get('default', 'shared')?.metadata.ownerReferences?.length === 1,
    )
  })
})

describe('namespaces', () => {
  test('a new one has its service account and the authority; a deleted one is emptied and goes', async () => {
    await c.client.create(Namespace, { metadata: { name: 'team' } })
    await c.until('service account', () => c.informers.of(ServiceAccount).get('team', 'default'))
    const ca = await c.until('root ca', () => c.informers.of(ConfigMap).get('team', 'kube-root-ca.crt'))
    assert.equal(ca.data?.['ca.crt'], 'test authority')
    await c.client.delete(ServiceAccount, at('default', 'team'))
    await c.until('service account again', async () => c.client.get(ServiceAccount, at('default', 'team')))
    await deploy('web', 2, 'team')
    await allReady('web', 2, 'team')
    await c.client.delete(Namespace, { name: 'team' })
    await c.until('gone', async () => (await c.client.get(Namespace, { name: 'team' })) === undefined)
    assert.deepEqual((await c.client.list(Pod, { namespace: 'team' })).items, [])
    assert.deepEqual((await c.client.list(ConfigMap, { namespace: 'team' })).items, [])
  })
})

describe('endpoints', () => {
  test('unready and terminating pods say so; a named port may differ; legacy Endpoints agree', async () => {
    c.kubelet.becomesReady = (pod) => pod.metadata.name !== 'ep-2'
    for (const [name, port] of [
      ['ep-1', 8080],
      ['ep-2', 8080],
      ['ep-3', 9090],
    ] as const) {
      const containers = [{ name: 'app', image: 'a', ports: [{ name: 'http', containerPort: port }] }]
      await c.client.create(Pod, {
        metadata: { name, namespace: 'default', labels: { app: 'ep' } },
        spec: { containers },
      })
    }
    const spec = { selector: { app: 'ep' }, ports: [{ name: 'web', port: 80, targetPort: 'http' }] }
    await c.client.create(Service, { metadata: { name: 'ep', namespace: 'default' }, spec })
    const slices = () =>
      c.informers
        .of(EndpointSlice)
        .list('default')
        .filter((s) => s.metadata.labels?.['kubernetes.io/service-name'] === 'ep')
    const view = () =>
      slices()
        .flatMap((s) =>
          (s.endpoints ?? []).map(
            (e) =>
              `${e.targetRef?.name}:${s.ports?.[0]?.port} ${e.conditions?.ready ? 'ready' : 'not'}${e.conditions?.terminating ? ' terminating' : ''}`,
          ),
        )
        .sort()
        .join(', ')
    await c.until('endpoints', () => view() === 'ep-1:8080 ready, ep-2:8080 not, ep-3:9090 ready')
    const legacy = await c.until(
      'legacy',
      () =>
        c.informers.of(Endpoints).get('default', 'ep')?.subsets?.length === 2 &&
        c.informers.of(Endpoints).get('default', 'ep'),
    )
    assert.deepEqual(
      legacy.subsets?.map((s) => [s.addresses?.length, s.notReadyAddresses?.length, s.ports?.[0]?.port]),
      [
        [1, 1, 8080],
        [1, undefined, 9090],
      ],
    )
    c.kubelet.letsGo = () => false
    await c.client.delete(Pod, at('ep-3'))
    await c.until('terminating', () => view() === 'ep-1:8080 ready, ep-2:8080 not, ep-3:9090 not terminating')
    await c.client.delete(Pod, at('ep-3'), { gracePeriodSeconds: 0 })
    await c.until('gone', () => view() === 'ep-1:8080 ready, ep-2:8080 not')
    c.kubelet.letsGo = () => true
    c.kubelet.becomesReady = () => true
  })
})

describe('scheduling', () => {
  const events = (name: string) =>
    c.informers
      .of(Event)
      .list('default')
      .filter((e) => e.involvedObject.name === name && e.reason === 'FailedScheduling')
      .map((e) => e.message)

  test('says in Kubernetes’ words why a pod does not fit, and binds it once it does', async () => {
    const resources = { requests: { cpu: '3' } }
    const big = (name: string, more: Partial<PodSpec> = {}) =>
      c.client.create(Pod, {
        metadata: { name, namespace: 'default' },
        spec: { containers: [{ name: 'a', image: 'a', resources }], ...more },
      })
    await big('big-1')
    await big('big-2')
    await c.until('both bound', () =>
      ['big-1', 'big-2'].every((name) => c.informers.of(Pod).get('default', name)?.spec?.nodeName),
    )
    await big('big-3')
    await c.until('refused', () => events('big-3').length > 0)
    assert.deepEqual(events('big-3'), [
      '0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.',
    ])
    await big('picky', { nodeSelector: { disk: 'ssd' } })
    await c.until('refused', () => events('picky').length > 0)
    assert.deepEqual(events('picky'), [
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    ])
    await c.client.delete(Pod, at('big-1'))
    await c.until('bound', () => c.informers.of(Pod).get('default', 'big-3')?.spec?.nodeName)
    await Promise.all(['big-2', 'big-3', 'picky'].map((name) => c.client.delete(Pod, at(name))))
  })

  test('a cordoned node takes nothing, and the pods of a Deployment spread over the others', async () => {
    await c.client.patch(Node, { name: 'node-2' }, { type: 'merge', body: { spec: { unschedulable: true } } })
    await deploy('one', 4)
    const ready = await allReady('one', 4)
    assert.ok(ready.every((pod) => pod.spec?.nodeName === 'node-1'))
    await c.client.patch(Node, { name: 'node-2' }, { type: 'merge', body: { spec: { unschedulable: false } } })
    await deploy('both', 4)
    const spread = await allReady('both', 4)
    assert.deepEqual(
      Object.fromEntries(
        Object.entries(Object.groupBy(spread, (pod) => pod.spec!.nodeName!)).map(([k, v]) => [k, v!.length]),
      ),
      { 'node-1': 2, 'node-2': 2 },
    )
  })

  test('an important pod makes room for itself', async () => {
    for (const [name, value] of [
      ['low', 1],
      ['high', 1000],
    ] as const)
      await c.client.create(PriorityClass, { metadata: { name }, value })
    const pod = (name: string, priorityClassName: string, node: string) =>
      c.client.create(Pod, {
        metadata: { name, namespace: 'default' },
        spec: {
          priorityClassName,
          nodeSelector: { 'kubernetes.io/hostname': node },
          containers: [{ name: 'a', image: 'a', resources: { requests: { cpu: '3' } } }],
        },
      })
    await pod('unimportant', 'low', 'node-1')
    await c.until('bound', () => c.informers.of(Pod).get('default', 'unimportant')?.spec?.nodeName)
    await pod('important', 'high', 'node-1')
    await c.until('bound', () => c.informers.of(Pod).get('default', 'important')?.spec?.nodeName)
    assert.equal(c.informers.of(Pod).get('default', 'unimportant'), undefined)
    await c.client.delete(Pod, at('important'))
  })

  test('a claim waits for its first consumer; a missing claim holds the pod', async () => {
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'late' } }]
    await c.client.create(Pod, { metadata: { name: 'wants', namespace: 'default' }, spec: podSpec({ volumes }) })
    await c.until('refused', () => events('wants')[0]?.includes('persistentvolumeclaim "late" not found'))
    await c.client.create(PersistentVolumeClaim, {
      metadata: { name: 'late', namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
    })
    await c.until('bound', () => c.informers.of(Pod).get('default', 'wants')?.spec?.nodeName)
    assert.equal(c.informers.of(PersistentVolumeClaim).get('default', 'late')?.status?.phase, 'Bound')
  })
})

test('a PodDisruptionBudget counts, a ResourceQuota adds up', async () => {
  await deploy('safe', 3)
  await c.client.create(PodDisruptionBudget, {
    metadata: { name: 'safe', namespace: 'default' },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'safe' } } },
  })
  await c.until(
    'one allowed',
    () => c.informers.of(PodDisruptionBudget).get('default', 'safe')?.status?.disruptionsAllowed === 1,
  )
  await c.client.create(Namespace, { metadata: { name: 'small' } })
  await c.client.create(ResourceQuota, {
    metadata: { name: 'q', namespace: 'small' },
    spec: { hard: { pods: '5', 'requests.cpu': '2', 'limits.memory': '1Gi', services: '3', 'count/configmaps': '9' } },
  })
  const resources = { requests: { cpu: '250m' }, limits: { memory: '256Mi', cpu: '1' } }
  await c.client.create(Pod, {
    metadata: { name: 'p', namespace: 'small' },
    spec: { containers: [{ name: 'a', image: 'a', resources }] },
  })
  const used = await c.until('used', () => {
    const status = c.informers.of(ResourceQuota).get('small', 'q')?.status
    return status?.used?.pods === '1' && status.used
  })
  assert.deepEqual(used, {
    pods: '1',
    'requests.cpu': '250m',
    'limits.memory': '256Mi',
    services: '0',
    'count/configmaps': '1',
  })
})

test('a quota that is used up shows in the Deployment, is not hammered at, and is tried again when it has room', async () => {
  await c.client.create(Namespace, { metadata: { name: 'tight' } })
  await c.client.create(ResourceQuota, { metadata: { name: 'q', namespace: 'tight' }, spec: { hard: { pods: '1' } } })
  let writes = 0
  const off = c.informers.of(ReplicaSet).on(({ object }) => {
    if (object.metadata.namespace === 'tight') writes++
  })
  await deploy('web', 2, 'tight')
  const failure = await c.until('failure', () =>
    c.informers
      .of(Deployment)
      .get('tight', 'web')
      ?.status?.conditions?.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True'),
  )
  assert.match(failure.message!, /exceeded quota: q/)
  await new Promise((resolve) => setTimeout(resolve, 300))
  off()
  assert.ok(writes < 12, `${writes} writes`)
  await c.client.patch(ResourceQuota, at('q', 'tight'), { type: 'merge', body: { spec: { hard: { pods: '2' } } } })
  await allReady('web', 2, 'tight')
  await c.until(
    'no failure',
    () =>
      !c.informers
        .of(Deployment)
        .get('tight', 'web')
        ?.status?.conditions?.some(({ type }) => type === 'ReplicaFailure'),
  )
})

test('a node that falls silent loses its traffic and, in time, its pods; one that comes back is as before', async () => {
  const own = await testCluster({ nodeGrace: 400 }, ['lost'])
  try {
    const renew = async (): Promise<void> => {
      const spec = {
        holderIdentity: 'lost',
        leaseDurationSeconds: 1,
        renewTime: new Date().toISOString().replace('Z', '000Z'),
      }
      const metadata = { namespace: 'kube-node-lease', name: 'lost' }
      await own.client.apply(
        Lease,
        { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec },
        { fieldManager: 'kubelet', force: true },
      )
    }
    await renew()
    for (const [name, seconds] of [
      ['stays', 300],
      ['goes', 0],
    ] as const) {
      const tolerations = [
        { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: seconds },
      ]
      await own.client.create(Pod, { metadata: { name, namespace: 'default' }, spec: podSpec({ tolerations }) })
    }
    const ready = () =>
      own.informers
        .of(Pod)
        .get('default', 'stays')
        ?.status?.conditions?.find(({ type }) => type === 'Ready')
    const node = () => own.informers.of(Node).get(undefined, 'lost')
    await own.until('ready', () => ready()?.status === 'True')
    await own.until(
      'unknown',
      () => node()?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'Unknown',
    )
    await own.until('not ready', () => ready()?.status === 'False')
    await own.until('evicted', () => !own.informers.of(Pod).get('default', 'goes'))
    assert.deepEqual(
      node()?.spec?.taints?.map(({ effect }) => effect),
      ['NoSchedule', 'NoExecute'],
    )
    await renew()
    await own.until('back', () => ready()?.status === 'True' && !node()?.spec?.taints?.length)
  } finally {
    await own.close()
  }
})
