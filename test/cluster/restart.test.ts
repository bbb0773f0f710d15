import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { after, before, test } from 'node:test'
import { Deployment, Job, Pod, ReplicaSet, StatefulSet } from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from './test-cluster.ts'

let c: TestCluster
before(async () => {
  c = await testCluster()
})
after(() => c.close())
const at = (name: string) => ({ namespace: 'default', name })
const template = (app: string, image: string, restartPolicy = 'Always') => ({
  metadata: { labels: { app } },
  spec: { restartPolicy, containers: [{ name: 'a', image }] },
})

test('controllers that are stopped and started over and over do everything exactly once', async () => {
  const off = c.informers.of(Pod).on(({ type, object: pod }) => {
    if (type !== 'DELETED' && pod.metadata.labels?.app === 'count' && pod.status?.phase === 'Running') {
      void c.kubelet.finish('default', pod.metadata.name!, 0)
    }
  })
  const selector = (app: string) => ({ matchLabels: { app } })
  await c.client.create(Deployment, {
    metadata: at('web'),
    spec: { replicas: 6, selector: selector('web'), template: template('web', 'web:1') },
  })
  await c.client.create(StatefulSet, {
    metadata: at('db'),
    spec: { replicas: 3, serviceName: 'db', selector: selector('db'), template: template('db', 'db:1') },
  })
  await c.client.create(Job, {
    metadata: at('count'),
    spec: { completions: 20, parallelism: 3, template: template('count', 'c:1', 'Never') },
  })
  for (let i = 0; i < 25; i++) {
    await wait(4 + (i % 5))
    await c.restart()
    if (i % 6 === 3) {
      const body = { spec: { template: { spec: { containers: [{ name: 'a', image: `web:${i}` }] } } } }
      await c.client.patch(Deployment, at('web'), { type: 'strategic', body })
    }
  }
  const job = await c.until('job complete', () => {
    const found = c.informers.of(Job).get('default', 'count')
    return found?.status?.conditions?.some(({ type }) => type === 'Complete') && found
  })
  off()
  assert.equal(job.status?.succeeded, 20)
  assert.equal(job.status?.failed, undefined)
  const pods = (app: string) =>
    c.informers
      .of(Pod)
      .list('default')
      .filter((pod) => pod.metadata.labels?.app === app)
  assert.equal(pods('count').filter((pod) => pod.status?.phase === 'Succeeded').length, 20)
  await c.until('rolled out', () => {
    const status = c.informers.of(Deployment).get('default', 'web')?.status
    return status?.availableReplicas === 6 && status.updatedReplicas === 6 && status.replicas === 6
  })
  assert.ok(pods('web').every((pod) => pod.spec?.containers[0]?.image === 'web:21'))
  const sets = c.informers.of(ReplicaSet).list('default')
  assert.equal(new Set(sets.map((set) => set.spec?.template?.spec?.containers[0]?.image)).size, sets.length)
  await c.until('members', () => c.informers.of(StatefulSet).get('default', 'db')?.status?.availableReplicas === 3)
})
