import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Deployment as DeploymentObject } from '../../src/spec/kube/generated/types.ts'
import { Deployment, EndpointSlice, Pod, ReplicaSet, Service } from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from './test-cluster.ts'

const deployment = (name: string, replicas: number, image = 'web:1', more: object = {}): DeploymentObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'web', image, ports: [{ name: 'http', containerPort: 8080 }] }] },
    },
    ...more,
  },
})

describe('deployments', () => {
  let c: TestCluster
  before(async () => {
    c = await testCluster({}, ['node-1', 'node-2'])
  })
  after(() => c.close())

  const rolledOut = (name: string, replicas: number) =>
    c.until(`${name} rolled out`, async () => {
      const d = (await c.client.get(Deployment, { namespace: 'default', name }))!
      const { observedGeneration, updatedReplicas, replicas: all = 0, availableReplicas = 0 } = d.status ?? {}
      return (
        observedGeneration === d.metadata.generation &&
        updatedReplicas === replicas &&
        all === replicas &&
        availableReplicas === replicas &&
        d
      )
    })

  test('a Deployment becomes available, and its pods are endpoints of their Service', async () => {
    await c.client.create(Service, {
      metadata: { name: 'web', namespace: 'default' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] },
    })
    await c.client.create(Deployment, deployment('web', 3))
    const done = await rolledOut('web', 3)
    const progress = done.status?.conditions?.find(({ type }) => type === 'Progressing')
    assert.equal(progress?.reason, 'NewReplicaSetAvailable')
    assert.equal(done.metadata.annotations?.['deployment.kubernetes.io/revision'], '1')
    const slice = await c.until('three endpoints', () =>
      c.informers
        .of(EndpointSlice)
        .list('default')
        .find((s) => s.endpoints?.length === 3 && s.endpoints.every((e) => e.conditions?.ready)),
    )
    assert.deepEqual(slice.ports, [{ name: '', port: 8080, protocol: 'TCP' }])
  })

  test('an update never has fewer than wanted nor more than the surge; undo brings the first revision back', async () => {
    const d = (await c.client.get(Deployment, { namespace: 'default', name: 'web' }))!
    const seen = { most: 0, least: 99 }
    const count = (): void => {
      const pods = c.informers
        .of(Pod)
        .list('default')
        .filter((pod) => pod.metadata.labels?.app === 'web' && !pod.metadata.deletionTimestamp)
      const ready = pods.filter((pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      )
      seen.most = Math.max(seen.most, pods.length)
      seen.least = Math.min(seen.least, ready.length)
    }
    const off = c.informers.of(Pod).on(count)
    seen.most = 0
    seen.least = 99
    await c.client.update(Deployment, { ...d, spec: deployment('web', 3, 'web:2').spec })
    await rolledOut('web', 3)
    off()
    assert.deepEqual(seen, { most: 4, least: 3 })
    const sets = c.informers.of(ReplicaSet).list('default')
    assert.deepEqual(
      sets.map((s) => [s.metadata.annotations?.['deployment.kubernetes.io/revision'], s.spec?.replicas]).sort(),
      [
        ['1', 0],
        ['2', 3],
      ],
    )
    const first = sets.find((s) => s.metadata.annotations?.['deployment.kubernetes.io/revision'] === '1')!
    const { 'pod-template-hash': _, ...labels } = first.spec!.template!.metadata!.labels!
    const template = { ...first.spec!.template!, metadata: { labels } }
    const body = [{ op: 'replace', path: '/spec/template', value: template }]
    await c.client.patch(Deployment, { namespace: 'default', name: 'web' }, { type: 'json', body })
    const undone = await rolledOut('web', 3)
    assert.equal(undone.metadata.annotations?.['deployment.kubernetes.io/revision'], '3')
    await c.until(
      'old set empty',
      () =>
        c.informers
          .of(ReplicaSet)
          .list('default')
          .filter((s) => s.spec?.replicas === 0).length === 1,
    )
  })

  test('a pod that fails or is deleted is replaced', async () => {
    const pods = () =>
      c.informers
        .of(Pod)
        .list('default')
        .filter((pod) => pod.metadata.labels?.app === 'web')
    const [one, two] = pods()
    await c.kubelet.finish('default', one!.metadata.name!, 1)
    await c.client.delete(Pod, { namespace: 'default', name: two!.metadata.name! })
    await c.until('two new pods', () => {
      const ready = pods().filter((pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      )
      return (
        ready.length === 3 && !ready.some((pod) => [one!.metadata.uid, two!.metadata.uid].includes(pod.metadata.uid))
      )
    })
  })

  test('a rollout that makes no progress says so after its deadline', async () => {
    c.kubelet.becomesReady = (pod) => pod.metadata.labels?.app !== 'stuck'
    await c.client.create(Deployment, deployment('stuck', 1, 'web:1', { progressDeadlineSeconds: 1 }))
    await c.until('deadline', () => {
      const d = c.informers.of(Deployment).get('default', 'stuck')
      return d?.status?.conditions?.some(
        ({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded',
      )
    })
    c.kubelet.becomesReady = () => true
  })

  test('a pod that matches and has no owner is adopted; a pod that stops matching is let go and replaced', async () => {
    await c.client.create(Deployment, deployment('own', 2))
    await rolledOut('own', 2)
    const mine = () =>
      c.informers
        .of(Pod)
        .list('default')
        .filter((pod) => pod.metadata.labels?.app === 'own')
    const [pod] = mine()
    await c.client.patch(
      Pod,
      { namespace: 'default', name: pod!.metadata.name! },
      { type: 'merge', body: { metadata: { labels: { app: 'free' } } } },
    )
    await c.until('released and replaced', () => {
      const released = c.informers.of(Pod).get('default', pod!.metadata.name!)
      return released?.metadata.ownerReferences === undefined || released.metadata.ownerReferences.length === 0
        ? mine().length === 2
        : false
    })
    await c.client.patch(
      Pod,
      { namespace: 'default', name: pod!.metadata.name! },
      { type: 'merge', body: { metadata: { labels: { app: 'own' } } } },
    )
    await c.until('one of three is removed', () => mine().filter((p) => !p.metadata.deletionTimestamp).length === 2)
  })
})
