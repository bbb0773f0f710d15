/** What users do to workloads with kubectl, against the real controllers and a kubelet that only says so. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Deployment } from '../../src/spec/kube/kinds.ts'
import { type TestCluster, testCluster } from '../cluster/test-cluster.ts'
import { type KubeSetup, kubeSetup } from './kube-setup.ts'
import { type Kubectl, kubectl, kubectls } from './kubectl-run.ts'

let setup: KubeSetup
let cluster: TestCluster
before(async () => {
  setup = await kubeSetup()
  cluster = await testCluster({}, ['node-1', 'node-2'], setup.api)
})
after(async () => {
  await cluster?.close()
  await setup?.close()
})

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: db
  replicas: 2
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      containers: [{ name: db, image: "db:1", volumeMounts: [{ name: data, mountPath: /data }] }]
  volumeClaimTemplates:
    - metadata: { name: data }
      spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
`
const daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec: { containers: [{ name: agent, image: "agent:1" }] }
`
const job = `
apiVersion: batch/v1
kind: Job
metadata: { name: once }
spec: { template: { spec: { restartPolicy: Never, containers: [{ name: once, image: "once:1" }] } } }
`

for (const { name, path } of kubectls()) {
  describe(name, { concurrency: false }, () => {
    const namespace = name.replaceAll('.', '-')
    let k: Kubectl
    before(async () => {
      const plain = kubectl(path, setup.kubeconfig, setup.directory)
      await plain.ok('create', 'namespace', namespace)
      await plain.ok('config', 'set-context', '--current', `--namespace=${namespace}`)
      k = plain
    })

    test('rollout: status, history, undo, pause, restart', async () => {
      await k.ok('create', 'deployment', 'web', '--image=web:1', '--replicas=3')
      assert.match(await k.ok('rollout', 'status', 'deployment/web', '--timeout=10s'), /successfully rolled out/)
      await k.ok('set', 'image', 'deployment/web', 'web=web:2')
      await k.ok('rollout', 'status', 'deployment/web', '--timeout=10s')
      assert.match(await k.ok('rollout', 'history', 'deployment/web'), /1 +<none>\n2 +<none>/)
      assert.match(await k.ok('rollout', 'history', 'deployment/web', '--revision=1'), /Image:\s+web:1/)
      await k.ok('rollout', 'undo', 'deployment/web')
      await k.ok('rollout', 'status', 'deployment/web', '--timeout=10s')
      assert.equal(
        await k.ok('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.containers[0].image}'),
        'web:1 web:1 web:1',
      )
      assert.match(await k.ok('rollout', 'history', 'deployment/web'), /2 +<none>\n3 +<none>/)
      await k.ok('rollout', 'pause', 'deployment/web')
      await k.ok('set', 'image', 'deployment/web', 'web=web:3')
      // Older clients cannot wait for such a path.
      await cluster.until('paused', () =>
        cluster.informers
          .of(Deployment)
          .get(namespace, 'web')
          ?.status?.conditions?.some(({ reason }) => reason === 'DeploymentPaused'),
      )
      await k.ok('rollout', 'resume', 'deployment/web')
      await k.ok('rollout', 'restart', 'deployment/web')
      await k.ok('rollout', 'status', 'deployment/web', '--timeout=10s')
      const described = await k.ok('describe', 'deployment', 'web')
      assert.match(described, /NewReplicaSet: +web-\w+ \(3\/3 replicas created\)/)
      assert.match(described, /ScalingReplicaSet +.*Scaled up replica set web-\w+ from 0 to 3/)
    })

    test('scale, expose, endpoints, autoscale', async () => {
      await k.ok('scale', 'deployment/web', '--replicas=2')
      await k.ok('rollout', 'status', 'deployment/web', '--timeout=10s')
      await k.ok('expose', 'deployment', 'web', '--port=80')
      await k.ok(
        'wait',
        '--for=jsonpath={.endpoints[1].conditions.ready}=true',
        'endpointslice',
        '-l',
        'kubernetes.io/service-name=web',
        '--timeout=5s',
      )
      assert.match(await k.ok('describe', 'service', 'web'), /Endpoints: +[\d.]+:80,[\d.]+:80/)
      await k.ok('autoscale', 'deployment', 'web', '--min=3', '--max=4', '--cpu-percent=50')
      await k.ok('wait', '--for=jsonpath={.spec.replicas}=3', 'deployment/web', '--timeout=5s')
      await k.ok('delete', 'hpa', 'web')
    })

    test('StatefulSets and DaemonSets: status, undo', async () => {
      assert.equal((await k.input(statefulSet + '---' + daemonSet, 'apply', '-f', '-')).stderr, '')
      for (const what of ['statefulset/db', 'daemonset/agent']) {
        await k.ok('rollout', 'status', what, '--timeout=10s')
        const container = what.split('/')[1]!
        await k.ok('set', 'image', what, `${container}=new:2`)
        await k.ok('rollout', 'status', what, '--timeout=10s')
        assert.match(await k.ok('rollout', 'history', what), /\n1 +<none>\n2 +<none>/)
        await k.ok('rollout', 'undo', what)
        await k.ok('rollout', 'status', what, '--timeout=10s')
        assert.match(
          await k.ok('get', 'pods', '-l', `app=${container}`, '-o', 'jsonpath={.items[*].spec.containers[0].image}'),
          new RegExp(`^${container}:1 ${container}:1$`),
        )
      }
      assert.match(await k.ok('get', 'pvc'), /data-db-0 +Bound +pvc-\S+ +1Gi +RWO +local/)
    })

    test('a job is waited for; drain respects the budget', async () => {
      const off = cluster.kubelet
      assert.equal((await k.input(job, 'apply', '-f', '-')).stderr, '')
      await k.ok('wait', '--for=jsonpath={.status.active}=1', 'job/once', '--timeout=5s')
      const pod = await k.ok('get', 'pods', '-l', 'job-name=once', '-o', 'jsonpath={.items[0].metadata.name}')
      await k.ok('wait', '--for=jsonpath={.status.phase}=Running', `pod/${pod}`, '--timeout=5s')
      await off.finish(namespace, pod, 0)
      await k.ok('wait', '--for=condition=Complete', 'job/once', '--timeout=5s')
      await k.ok('create', 'pdb', 'web', '--selector=app=web', '--min-available=2')
      await k.ok('drain', 'node-1', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=20s')
      const left = await k.ok('get', 'pods', '-l', 'app in (web,db)', '-o', 'jsonpath={.items[*].spec.nodeName}')
      assert.ok(!left.includes('node-1'), left)
      await k.ok('uncordon', 'node-1')
    })

    test('a namespace goes with all that is in it', async () => {
      await k.ok('delete', 'namespace', namespace, '--timeout=20s')
      assert.equal(await k.ok('get', 'all', '-n', namespace, '--ignore-not-found'), '')
    })
  })
}
