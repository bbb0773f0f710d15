import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Cluster as Instance, Cluster, eventually, idle, image, type Json, shellPod } from './pods-kit.ts'

let cluster: Instance
before(async () => {
  cluster = await Cluster.start('pods-work')
})
after(() => cluster?.remove())

const template = (app: string, command: string, more: Json = {}, own: Json = {}): object => ({
  metadata: { labels: { app } },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'c', image, command: ['sh', '-c', command], ...own }],
    ...more,
  },
})
const list = async (kind: string, ...more: string[]): Promise<Json[]> =>
  JSON.parse(await cluster.kubectl('get', kind, '-o', 'json', ...more)).items

describe('workloads on real containers', { concurrency: 4 }, () => {
  it('a HorizontalPodAutoscaler follows the load out and back', async () => {
    await cluster.apply(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'load' },
        spec: {
          selector: { matchLabels: { app: 'load' } },
          template: template(
            'load',
            'trap "exit 0" TERM; while true; do [ -e /tmp/quiet ] && sleep 0.2; done',
            {},
            {
              resources: { requests: { cpu: '50m' }, limits: { cpu: '100m' } },
            },
          ),
        },
      },
      {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name: 'load' },
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'load' },
          minReplicas: 1,
          maxReplicas: 3,
          metrics: [
            { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } },
          ],
          behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
        },
      },
    )
    const replicas = async (): Promise<number> => (await cluster.get('deployment', 'load')).spec.replicas
    await eventually('out', async () => (await replicas()) === 3, 70_000)
    await cluster.kubectl('rollout', 'status', 'deployment/load', '--timeout=20s')
    for (const pod of await list('pods', '-l', 'app=load')) await cluster.sh(pod.metadata.name, 'touch /tmp/quiet')
    await eventually('back', async () => (await replicas()) < 3, 70_000)
  })

  it('Jobs: completions in parallel, a back-off limit, sidecars that do not keep them from ending', async () => {
    const job = (name: string, spec: Json, command: string, more: Json = {}): object => ({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name },
      spec: { ...spec, template: template(name, command, { restartPolicy: 'Never', ...more }) },
    })
    await cluster.apply(
      job('indexed', { completions: 3, parallelism: 2, completionMode: 'Indexed' }, 'echo index $JOB_COMPLETION_INDEX'),
      job('hopeless', { backoffLimit: 1 }, 'exit 1'),
      job('with-sidecar', {}, 'sleep 0.5', {
        initContainers: [{ name: 's', image, command: ['sh', '-c', idle], restartPolicy: 'Always' }],
      }),
    )
    await cluster.kubectl('wait', '--for=condition=complete', 'job/indexed', 'job/with-sidecar', '--timeout=30s')
    const logs = await cluster.kubectl('logs', '-l', 'job-name=indexed')
    assert.deepEqual(logs.trim().split('\n').sort(), ['index 0', 'index 1', 'index 2'])
    await cluster.kubectl('wait', '--for=condition=failed', 'job/hopeless', '--timeout=40s')
    assert.equal((await list('pods', '-l', 'job-name=hopeless')).length, 2)
  })

  it('a CronJob makes a Job at the minute', async () => {
    await cluster.apply({
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'minutely' },
      spec: {
        schedule: '* * * * *',
        jobTemplate: { spec: { template: template('minutely', 'echo tick', { restartPolicy: 'Never' }) } },
      },
    })
    await eventually(
      'a run',
      async () => (await list('pods', '-l', 'app=minutely')).some((p) => p.status.phase === 'Succeeded'),
      75_000,
    )
    await cluster.kubectl('delete', 'cronjob', 'minutely')
  })

  it('a DaemonSet runs one pod here, and a rolling update replaces pods without a gap', async () => {
    const daemonSet = (colour: string): object => ({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'agent' },
      spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent', `echo ${colour}; ${idle}`) },
    })
    await cluster.apply(daemonSet('red'))
    await cluster.kubectl('rollout', 'status', 'daemonset/agent', '--timeout=20s')
    await cluster.apply(daemonSet('blue'))
    await cluster.kubectl('rollout', 'status', 'daemonset/agent', '--timeout=20s')
    const pods = (await list('pods', '-l', 'app=agent')).filter((p) => !p.metadata.deletionTimestamp)
    assert.equal(pods.length, 1)
    assert.equal(await cluster.kubectl('logs', pods[0].metadata.name), 'blue\n')
  })

  it('a namespace goes with all that runs in it', async () => {
    await cluster.kubectl('create', 'namespace', 'doomed')
    await eventually('account', () => cluster.kubectl('get', 'serviceaccount', 'default', '-n', 'doomed'))
    await cluster.must(['kubectl', 'apply', '-n', 'doomed', '-f', '-'], {
      input: JSON.stringify(shellPod('inside', idle)),
    })
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/inside', '-n', 'doomed', '--timeout=20s')
    await cluster.kubectl('delete', 'namespace', 'doomed', '--timeout=20s')
  })

  it('a custom object takes what it owns with it', async () => {
    await cluster.apply({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'owners.example.test' },
      spec: {
        group: 'example.test',
        scope: 'Namespaced',
        names: { plural: 'owners', singular: 'owner', kind: 'Owner' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    })
    await cluster.kubectl('wait', '--for=condition=Established', 'crd/owners.example.test', '--timeout=10s')
    await cluster.apply({ apiVersion: 'example.test/v1', kind: 'Owner', metadata: { name: 'o' } })
    const { uid } = (await cluster.get('owner', 'o')).metadata
    const pod = shellPod('owned', idle) as { metadata: object }
    await cluster.apply({
      ...pod,
      metadata: {
        ...pod.metadata,
        ownerReferences: [{ apiVersion: 'example.test/v1', kind: 'Owner', name: 'o', uid }],
      },
    })
    await cluster.ready('owned')
    await cluster.kubectl('delete', 'owner', 'o')
    await cluster.kubectl('wait', '--for=delete', 'pod/owned', '--timeout=20s')
  })
})

it('drain empties the node but for its DaemonSets; uncordon brings the pods back', async () => {
  const [node] = await list('nodes')
  await cluster.apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'moved' },
    spec: { replicas: 2, selector: { matchLabels: { app: 'moved' } }, template: template('moved', idle) },
  })
  await cluster.kubectl('rollout', 'status', 'deployment/moved', '--timeout=20s')
  await cluster.kubectl(
    'drain',
    node.metadata.name,
    '--ignore-daemonsets',
    '--force',
    '--delete-emptydir-data',
    '--timeout=40s',
  )
  const running = (await list('pods')).filter((p) => p.status.phase === 'Running')
  assert.deepEqual(
    running.map((p) => p.metadata.labels.app),
    ['agent'],
  )
  assert.match(await cluster.kubectl('get', 'nodes'), /Ready,SchedulingDisabled/)
  await cluster.kubectl('uncordon', node.metadata.name)
  await cluster.kubectl('rollout', 'status', 'deployment/moved', '--timeout=20s')
})
