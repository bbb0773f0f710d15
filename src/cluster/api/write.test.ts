import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf, cluster, deployment, failureOf, pod } from './fixture.ts'

const apps = 'apps/v1 deployments'

test('pods get the defaults of Kubernetes', async () => {
  const { ask } = cluster()
  const spec = {
    containers: [
      {
        name: 'a',
        image: 'nginx',
        ports: [{ containerPort: 80 }],
        readinessProbe: { httpGet: { port: 80 } },
        resources: { limits: { cpu: '1' } },
      },
      { name: 'b', image: 'nginx:1', env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] },
      { name: 'c', image: 'localhost:5000/nginx@sha256:abc' },
    ],
    volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 'x' } }],
  }
  const made = await ask('create', 'pods', { object: pod('p', spec) })
  const [a, b, c] = made.spec.containers
  assert.deepEqual(
    [a.imagePullPolicy, b.imagePullPolicy, c.imagePullPolicy],
    ['Always', 'IfNotPresent', 'IfNotPresent'],
  )
  assert.deepEqual(a.readinessProbe, {
    httpGet: { port: 80, path: '/', scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  })
  assert.deepEqual(a.resources, { limits: { cpu: '1' }, requests: { cpu: '1' } })
  assert.equal(a.ports[0].protocol, 'TCP')
  assert.equal(b.env[0].valueFrom.fieldRef.apiVersion, 'v1')
  assert.deepEqual(made.spec.volumes.slice(0, 2), [
    { name: 'v', emptyDir: {} },
    { name: 's', secret: { secretName: 'x', defaultMode: 420 } },
  ])
  const {
    restartPolicy,
    dnsPolicy,
    terminationGracePeriodSeconds,
    schedulerName,
    enableServiceLinks,
    serviceAccountName,
    priority,
    preemptionPolicy,
  } = made.spec
  assert.deepEqual(
    {
      restartPolicy,
      dnsPolicy,
      terminationGracePeriodSeconds,
      schedulerName,
      enableServiceLinks,
      serviceAccountName,
      priority,
      preemptionPolicy,
    },
    {
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      terminationGracePeriodSeconds: 30,
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
      serviceAccountName: 'default',
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
    },
  )
  assert.deepEqual(made.status, { phase: 'Pending', qosClass: 'Burstable' })
  assert.equal(made.spec.tolerations.length, 2)
})

test('the status a client sends is not taken, nor its resourceVersion', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'pods', { object: { ...pod('p'), status: { phase: 'Running' } } })
  assert.equal(made.status.phase, 'Pending')
  const status = await failureOf(ask('create', 'pods', { object: pod('q', {}, { resourceVersion: '5' }) }))
  assert.equal(status.message, 'resourceVersion should not be set on objects to be created')
})

test('generation counts changes of the spec only', async () => {
  const { ask } = cluster()
  const made = await ask('create', apps, { object: deployment('d') })
  assert.equal(made.metadata.generation, 1)
  const labelled = await ask('update', apps, {
    name: 'd',
    object: { ...made, metadata: { ...made.metadata, labels: { a: 'b' } } },
  })
  assert.equal(labelled.metadata.generation, 1)
  const scaled = await ask('update', apps, {
    name: 'd',
    object: { ...labelled, spec: { ...labelled.spec, replicas: 3 } },
  })
  assert.equal(scaled.metadata.generation, 2)
  const same = await ask('update', apps, { name: 'd', object: scaled })
  assert.equal(same.metadata.resourceVersion, scaled.metadata.resourceVersion)
})

test("a conflict is told in Kubernetes' words", async () => {
  const { ask } = cluster()
  const made = await ask('create', apps, { object: deployment('d') })
  await ask('update', apps, { name: 'd', object: { ...made, spec: { ...made.spec, replicas: 3 } } })
  const status = await failureOf(
    ask('update', apps, { name: 'd', object: { ...made, spec: { ...made.spec, replicas: 4 } } }),
  )
  assert.equal(status.code, 409)
  assert.equal(
    status.message,
    'Operation cannot be fulfilled on deployments.apps "d": the object has been modified; please apply your changes to the latest version and try again',
  )
  const other = await failureOf(
    ask('update', apps, {
      name: 'd',
      object: { ...made, metadata: { ...made.metadata, resourceVersion: undefined, uid: 'x' } } as never,
    }),
  )
  assert.match(other.message, /Precondition failed: UID in precondition: x/)
})

test('unknown fields: Strict refuses, Warn warns, Ignore is silent; none is kept', async () => {
  const { api, ask } = cluster()
  const object = { ...deployment('d'), spec: { ...(deployment('d').spec as object), replica: 2 } }
  const strict = await failureOf(ask('create', apps, { object, fieldValidation: 'Strict' }))
  assert.equal(
    strict.message,
    'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica"',
  )
  const warned = await api.handle({
    verb: 'create',
    user: { name: 'a', groups: ['system:masters'] },
    group: 'apps',
    version: 'v1',
    resource: 'deployments',
    namespace: 'default',
    object,
    fieldValidation: 'Warn',
  })
  assert.deepEqual(warned.kind === 'object' && warned.warnings, ['unknown field "spec.replica"'])
  assert.equal((await ask('get', apps, { name: 'd' })).spec.replica, undefined)
})

test('dryRun shows what would be, allocates and keeps nothing', async () => {
  const { ask, api } = cluster()
  const before = (await ask('list', 'services')).metadata.resourceVersion
  const object = { metadata: { name: 's' }, spec: { type: 'NodePort', ports: [{ port: 80 }] } }
  const shown = await ask('create', 'services', { object: object as never, dryRun: true })
  assert.ok(shown.spec.clusterIP && shown.spec.ports[0].nodePort)
  assert.equal((await ask('list', 'services')).metadata.resourceVersion, before)
  void api
})

test('generateName, and names that are none', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'configmaps', { object: { metadata: { generateName: 'x-' } } as never })
  assert.match(made.metadata.name, /^x-.{5}$/)
  assert.deepEqual(await causesOf(ask('create', 'configmaps', { object: { metadata: {} } as never })), [
    'metadata.name: Required value: name or generateName is required',
  ])
  const [cause] = await causesOf(
    ask('create', 'services', { object: { metadata: { name: '1a' }, spec: { ports: [{ port: 1 }] } } as never }),
  )
  assert.match(cause!, /^metadata.name: Invalid value: "1a": a DNS-1035 label/)
})

test('the finalizer list may only shrink once the object is being deleted; the last one lets it go', async () => {
  const { ask } = cluster()
  const object = { metadata: { name: 'a', finalizers: ['example.com/x', 'example.com/y'] } } as never
  await ask('create', 'configmaps', { object })
  const deleted = await ask('delete', 'configmaps', { name: 'a' })
  assert.ok(deleted.metadata.deletionTimestamp)
  const again = await ask('delete', 'configmaps', { name: 'a' })
  assert.equal(again.metadata.resourceVersion, deleted.metadata.resourceVersion)
  const patch = (finalizers: string[]) =>
    ask('patch', 'configmaps', { name: 'a', patch: { type: 'merge', body: { metadata: { finalizers } } } })
  assert.match(
    (await causesOf(patch(['example.com/x', 'example.com/z'])))[0]!,
    /^metadata.finalizers: Forbidden: no new finalizers/,
  )
  await patch(['example.com/x'])
  await patch([])
  assert.equal((await failureOf(ask('get', 'configmaps', { name: 'a' }))).code, 404)
})

test('status is written through its own door', async () => {
  const { ask } = cluster()
  const made = await ask('create', apps, { object: deployment('d') })
  const object = {
    ...made,
    metadata: { ...made.metadata, labels: { x: 'y' } },
    spec: { ...made.spec, replicas: 9 },
    status: { replicas: 2 },
  }
  const after = await ask('update', 'apps/v1 deployments/status', { name: 'd', object })
  assert.deepEqual(
    [after.status.replicas, after.spec.replicas, after.metadata.labels, after.metadata.generation],
    [2, 1, undefined, 1],
  )
  const spec = await ask('update', apps, { name: 'd', object: { ...after, status: { replicas: 7 } } })
  assert.equal(spec.status.replicas, 2)
})
