import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Deployment, Event, HorizontalPodAutoscaler, Pod } from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from './test-cluster.ts'

let c: TestCluster
before(async () => {
  c = await testCluster({ autoscalerInterval: 30 })
})
after(() => c.close())
const key = { namespace: 'default', name: 'web' }
const hpa = () => c.informers.of(HorizontalPodAutoscaler).get('default', 'web')
const condition = (type: string) => hpa()?.status?.conditions?.find((one) => one.type === type)
const replicas = async () => (await c.client.get(Deployment, key))?.spec?.replicas
const use = (milli: number): void => {
  c.cpu.clear()
  for (const pod of c.informers.of(Pod).list('default')) c.cpu.set(pod.metadata.name!, milli)
}

test('grows with the load, says when metrics are missing, and shrinks when it is over', async () => {
  await c.client.create(Deployment, {
    metadata: key,
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'a', image: 'a', resources: { requests: { cpu: '100m' } } }] },
      },
    },
  })
  const target = { type: 'Utilization', averageUtilization: 50 }
  await c.client.create(HorizontalPodAutoscaler, {
    metadata: key,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      minReplicas: 1,
      maxReplicas: 4,
      metrics: [{ type: 'Resource', resource: { name: 'cpu', target } }],
      behavior: {
        scaleDown: { stabilizationWindowSeconds: 0, policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }] },
      },
    },
  })
  const words =
    'the HPA was unable to compute the replica count: failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)'
  const inactive = await c.until(
    'no metrics',
    () => condition('ScalingActive')?.message === words && condition('ScalingActive'),
  )
  assert.deepEqual([inactive.status, inactive.reason], ['False', 'FailedGetResourceMetric'])
  await c.until('pod', () => c.informers.of(Pod).list('default').length === 1)
  use(150)
  await c.until('three', async () => (await replicas()) === 3)
  await c.until('three pods', () => c.informers.of(Pod).list('default').length === 3)
  use(50)
  await c.until(
    'steady',
    () =>
      condition('ScalingActive')?.reason === 'ValidMetricFound' &&
      hpa()?.status?.currentMetrics?.[0]?.resource?.current.averageUtilization === 50,
  )
  assert.equal(await replicas(), 3)
  use(10)
  await c.until('one', async () => (await replicas()) === 1)
  const messages = c.informers
    .of(Event)
    .list('default')
    .filter((e) => e.reason === 'SuccessfulRescale')
    .map((e) => e.message)
  assert.ok(messages.includes('New size: 3; reason: cpu resource utilization (percentage of request) above target'))
  assert.ok(messages.includes('New size: 1; reason: All metrics below target'))
})
