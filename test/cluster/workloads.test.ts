import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type {
  Job as JobObject,
  PodSpec,
  StatefulSet as StatefulSetObject,
} from '../../src/spec/kube/generated/types.ts'
import {
  ControllerRevision,
  CronJob,
  DaemonSet,
  Job,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  StatefulSet,
} from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from './test-cluster.ts'

const podSpec = (image = 'app:1', more: Partial<PodSpec> = {}): PodSpec => ({
  containers: [{ name: 'app', image }],
  ...more,
})
const template = (app: string, spec = podSpec()) => ({ metadata: { labels: { app } }, spec })

let c: TestCluster
before(async () => {
  c = await testCluster({}, ['node-1', 'node-2'])
})
after(() => c.close())
const at = (name: string) => ({ namespace: 'default', name })
const podsOf = (app: string) =>
  c.informers
    .of(Pod)
    .list('default')
    .filter((pod) => pod.metadata.labels?.app === app)
const isReady = (name: string): boolean =>
  c.informers
    .of(Pod)
    .get('default', name)
    ?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true

describe('StatefulSets', () => {
  const set = (name: string, replicas: number, image = 'app:1', more: object = {}): StatefulSetObject => ({
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      serviceName: name,
      selector: { matchLabels: { app: name } },
      template: template(name, podSpec(image)),
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
      ...more,
    },
  })

  test('members come one after another, with their names and volumes', async () => {
    const order: string[] = []
    const off = c.informers.of(Pod).on(({ type, object }) => {
      if (type === 'ADDED' && object.metadata.labels?.app === 'db')
        order.push(`${object.metadata.name} ${order.length === 0 || isReady(`db-${order.length - 1}`)}`)
    })
    await c.client.create(StatefulSet, set('db', 3))
    await c.until('three ready', () => isReady('db-2'))
    off()
    assert.deepEqual(order, ['db-0 true', 'db-1 true', 'db-2 true'])
    const pod = c.informers.of(Pod).get('default', 'db-1')!
    assert.equal(pod.spec?.hostname, 'db-1')
    assert.equal(pod.spec?.subdomain, 'db')
    const claim = (await c.client.get(PersistentVolumeClaim, at('data-db-1')))!
    assert.equal(claim.status?.phase, 'Bound')
    assert.equal(claim.status?.capacity?.storage, '1Gi')
    const volume = (await c.client.get(PersistentVolume, { name: claim.spec!.volumeName! }))!
    assert.ok(c.directories.has(volume.spec!.hostPath!.path))
    assert.equal(c.directories.size, 3)
    await c.until(
      'volume bound',
      () => c.informers.of(PersistentVolume).get(undefined, volume.metadata.name!)?.status?.phase === 'Bound',
    )
  })

  test('an update goes from the highest down to the partition; the history follows', async () => {
    const current = (await c.client.get(StatefulSet, at('db')))!
    const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } }
    await c.client.update(StatefulSet, {
      ...current,
      spec: { ...current.spec!, template: set('db', 3, 'app:2').spec!.template, updateStrategy },
    })
    const image = (name: string) => c.informers.of(Pod).get('default', name)?.spec?.containers[0]?.image
    await c.until('two updated', () => image('db-1') === 'app:2' && image('db-2') === 'app:2' && isReady('db-1'))
    assert.equal(image('db-0'), 'app:1')
    const revisions = c.informers
      .of(ControllerRevision)
      .list('default')
      .filter((r) => r.metadata.name?.startsWith('db-'))
    assert.deepEqual(revisions.map((r) => r.revision).sort(), [1, 2])
    const json = [{ op: 'replace', path: '/spec/updateStrategy/rollingUpdate/partition', value: 0 }]
    await c.client.patch(StatefulSet, at('db'), { type: 'json', body: json })
    await c.until('complete', () => {
      const status = c.informers.of(StatefulSet).get('default', 'db')?.status
      return (
        status?.updatedReplicas === 3 && status.readyReplicas === 3 && status.currentRevision === status.updateRevision
      )
    })
  })

  test('scaling down removes the highest and keeps its claim; the claim grows when asked to', async () => {
    await c.client.setScale(StatefulSet, at('db'), 1)
    await c.until('one left', () => podsOf('db').length === 1)
    assert.ok(isReady('db-0'))
    assert.ok(await c.client.get(PersistentVolumeClaim, at('data-db-2')))
    const body = { spec: { resources: { requests: { storage: '3Gi' } } } }
    await c.client.patch(PersistentVolumeClaim, at('data-db-2'), { type: 'merge', body })
    await c.until(
      'grown',
      () => c.informers.of(PersistentVolumeClaim).get('default', 'data-db-2')?.status?.capacity?.storage === '3Gi',
    )
    await c.client.delete(PersistentVolumeClaim, at('data-db-2'))
    await c.until('directory removed', () => c.directories.size === 2)
    await c.until('volume removed', () => c.informers.of(PersistentVolume).list().length === 2)
  })

  test('a claim in use is not removed before its pod is gone', async () => {
    await c.client.delete(PersistentVolumeClaim, at('data-db-0'))
    const claim = (await c.client.get(PersistentVolumeClaim, at('data-db-0')))!
    assert.ok(claim.metadata.deletionTimestamp)
    await c.client.delete(StatefulSet, at('db'))
    await c.until('claim gone', () => !c.informers.of(PersistentVolumeClaim).get('default', 'data-db-0'))
    assert.equal(podsOf('db').length, 0)
  })

  test('Parallel makes all at once; whenDeleted: Delete takes the claims along', async () => {
    c.kubelet.becomesReady = (pod) => pod.metadata.labels?.app !== 'para'
    const persistentVolumeClaimRetentionPolicy = { whenDeleted: 'Delete', whenScaled: 'Retain' }
    await c.client.create(
      StatefulSet,
      set('para', 3, 'app:1', { podManagementPolicy: 'Parallel', persistentVolumeClaimRetentionPolicy }),
    )
    await c.until('three pods', () => podsOf('para').length === 3)
    await c.client.delete(StatefulSet, at('para'))
    await c.until(
      'claims gone',
      () =>
        !c.informers
          .of(PersistentVolumeClaim)
          .list('default')
          .some((p) => p.metadata.name?.startsWith('data-para')),
    )
    c.kubelet.becomesReady = () => true
  })
})

test('a DaemonSet has one pod a node, also on new and cordoned ones, and replaces them on update', async () => {
  await c.client.create(DaemonSet, {
    metadata: { name: 'agent', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent') },
  })
  await c.until('two', () => c.informers.of(DaemonSet).get('default', 'agent')?.status?.numberAvailable === 2)
  await c.client.create(Node, { metadata: { name: 'node-3' }, spec: { unschedulable: true } })
  await c.client.patch(
    Node,
    { name: 'node-3' },
    { type: 'merge', body: { status: { allocatable: { cpu: '1', memory: '1Gi', pods: '10' } } } },
    { subresource: 'status' },
  )
  await c.until('three', () => c.informers.of(DaemonSet).get('default', 'agent')?.status?.numberAvailable === 3)
  assert.deepEqual(
    podsOf('agent')
      .map((pod) => pod.spec?.nodeName)
      .sort(),
    ['node-1', 'node-2', 'node-3'],
  )
  const body = { spec: { template: { spec: { containers: [{ name: 'app', image: 'app:2' }] } } } }
  await c.client.patch(DaemonSet, at('agent'), { type: 'strategic', body })
  await c.until('updated', () => {
    const status = c.informers.of(DaemonSet).get('default', 'agent')?.status
    return (
      status?.updatedNumberScheduled === 3 &&
      status.numberAvailable === 3 &&
      podsOf('agent').every((p) => p.spec?.containers[0]?.image === 'app:2')
    )
  })
  await c.client.delete(Node, { name: 'node-3' })
})

describe('Jobs', () => {
  const job = (name: string, spec: Partial<JobObject['spec'] & object>): JobObject => ({
    metadata: { name, namespace: 'default' },
    spec: { template: template(name, podSpec('app:1', { restartPolicy: 'Never' })), ...spec },
  })
  const finishAll = (app: string, exitCode: (name: string) => number) =>
    c.informers.of(Pod).on(({ type, object: pod }) => {
      const { labels, name } = pod.metadata
      if (type === 'DELETED' || labels?.app !== app || pod.status?.phase !== 'Running') return
      void c.kubelet.finish('default', name!, exitCode(name!))
    })
  const condition = (name: string, type: string) =>
    c.informers
      .of(Job)
      .get('default', name)
      ?.status?.conditions?.find((one) => one.type === type && one.status === 'True')

  test('an Indexed Job runs every index once', async () => {
    const off = finishAll('idx', () => 0)
    await c.client.create(Job, job('idx', { completions: 5, parallelism: 2, completionMode: 'Indexed' }))
    await c.until('complete', () => condition('idx', 'Complete'))
    off()
    const status = c.informers.of(Job).get('default', 'idx')?.status
    assert.equal(status?.succeeded, 5)
    assert.equal(status?.completedIndexes, '0-4')
    assert.ok(status?.completionTime)
    assert.equal(podsOf('idx').length, 5)
    assert.ok(podsOf('idx').every((pod) => !pod.metadata.finalizers?.length))
  })

  test('one failure too many fails the Job', async () => {
    const off = finishAll('bad', () => 1)
    await c.client.create(Job, job('bad', { backoffLimit: 0 }))
    const failed = await c.until('failed', () => condition('bad', 'Failed'))
    off()
    assert.equal(failed.reason, 'BackoffLimitExceeded')
    assert.equal(c.informers.of(Job).get('default', 'bad')?.status?.failed, 1)
  })

  test('a failure policy ends the Job at once', async () => {
    const off = finishAll('policy', () => 42)
    const rules = [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }]
    await c.client.create(Job, job('policy', { backoffLimit: 5, podFailurePolicy: { rules } }))
    const failed = await c.until('failed', () => condition('policy', 'Failed'))
    off()
    assert.equal(failed.reason, 'PodFailurePolicy')
    assert.match(failed.message!, /exit code 42 matching FailJob rule at index 0/)
  })

  test('suspend takes the pods away, resume brings them back, the deadline ends it, TTL removes it', async () => {
    await c.client.create(Job, job('pause', { parallelism: 2, completions: 2, ttlSecondsAfterFinished: 0 }))
    await c.until('running', () => podsOf('pause').filter((pod) => pod.status?.phase === 'Running').length === 2)
    const patch = (spec: object) => c.client.patch(Job, at('pause'), { type: 'merge', body: { spec } })
    await patch({ suspend: true })
    await c.until('suspended', () => condition('pause', 'Suspended') && podsOf('pause').length === 0)
    assert.equal(c.informers.of(Job).get('default', 'pause')?.status?.failed, undefined)
    await patch({ suspend: false })
    await c.until('running again', () => podsOf('pause').filter((pod) => pod.status?.phase === 'Running').length === 2)
    await patch({ activeDeadlineSeconds: 1 })
    await c.until('gone', () => !c.informers.of(Job).get('default', 'pause') && podsOf('pause').length === 0)
  })

  test('a CronJob starts Jobs at its times', async () => {
    await c.client.create(CronJob, {
      metadata: { name: 'tick', namespace: 'default' },
      spec: {
        schedule: '@every 1s',
        jobTemplate: { spec: { template: template('tick', podSpec('app:1', { restartPolicy: 'Never' })) } },
      },
    })
    const started = await c.until('job', () =>
      c.informers
        .of(Job)
        .list('default')
        .find((one) => one.metadata.name?.startsWith('tick-')),
    )
    assert.equal(started.metadata.ownerReferences?.[0]?.kind, 'CronJob')
    await c.client.delete(CronJob, at('tick'))
    await c.until(
      'collected',
      () => !c.informers.of(Job).get('default', started.metadata.name!) && podsOf('tick').length === 0,
    )
  })
})
