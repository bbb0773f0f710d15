import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf, cluster, deployment, failureOf, pod } from './fixture.ts'
import type { Draft } from './resource.ts'

const createPod = (spec: Draft): Promise<string[]> =>
  causesOf(cluster().ask('create', 'pods', { object: pod('p', spec) }))
const container = (more: Draft): Draft => ({ containers: [{ name: 'main', image: 'x', ...more }] })

test('pods: what is wrong is said field by field', async () => {
  const cases: [Draft, string[]][] = [
    [{ containers: [] }, ['spec.containers: Required value']],
    [container({ image: undefined }), ['spec.containers[0].image: Required value']],
    [
      {
        containers: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      },
      ['spec.containers[1].name: Duplicate value: "a"'],
    ],
    [
      container({ volumeMounts: [{ name: 'none', mountPath: '/x' }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "none"'],
    ],
    [
      container({ resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }),
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    [
      container({ env: [{ name: 'A=B' }] }),
      [
        "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '=', and must not be empty (regex used for validation is '[ -<>-~]+')",
      ],
    ],
    [
      container({ livenessProbe: {} }),
      ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    ],
    [
      container({ livenessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 1 } } }),
      ['spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
    ],
    [
      { restartPolicy: 'Sometimes' },
      ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ],
    [
      { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] },
      ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    ],
    [
      container({
        ports: [
          { containerPort: 80, name: 'a' },
          { containerPort: 81, name: 'a' },
        ],
      }),
      ['spec.containers[0].ports[1].name: Duplicate value: "a"'],
    ],
  ]
  for (const [spec, expected] of cases) assert.deepEqual(await createPod(spec), expected)
})

test('pods: only images, deadlines and tolerations may change', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'pods', { object: pod('p') })
  const change = (patch: object) => ask('patch', 'pods', { name: 'p', patch: { type: 'strategic', body: patch } })
  const image = await change({ spec: { containers: [{ name: 'main', image: 'y' }] } })
  assert.equal(image.spec.containers[0].image, 'y')
  const [cause] = await causesOf(change({ spec: { containers: [{ name: 'main', env: [{ name: 'A', value: 'b' }] }] } }))
  assert.match(cause!, /^spec: Forbidden: pod updates may not change fields other than/)
  assert.match(
    (await causesOf(change({ spec: { containers: [{ name: 'z', image: 'x' }] } })))[0]!,
    /^spec.containers: Forbidden: pod updates may not add or remove containers/,
  )
  void made
})

test('deployments: selector and template', async () => {
  const { ask } = cluster()
  const create = (object: Draft) => ask('create', 'apps/v1 deployments', { object })
  const mismatch = deployment('d') as Draft
  mismatch.spec.template.metadata.labels = { other: 'x' }
  assert.deepEqual(await causesOf(create(mismatch)), [
    'spec.template.metadata.labels: Invalid value: {"other":"x"}: `selector` does not match template `labels`',
  ])
  assert.deepEqual(await causesOf(create(deployment('d', { selector: undefined }))), ['spec.selector: Required value'])
  assert.deepEqual(await causesOf(create(deployment('d', {}, { restartPolicy: 'Never' }))), [
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ])
  const made = await create(deployment('d'))
  const moved = {
    ...made,
    spec: {
      ...made.spec,
      selector: { matchLabels: { app: 'e' } },
      template: { ...made.spec.template, metadata: { labels: { app: 'e' } } },
    },
  }
  const status = await failureOf(ask('update', 'apps/v1 deployments', { name: 'd', object: moved }))
  assert.equal(
    status.message,
    'Deployment.apps "d" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"e"}}: field is immutable',
  )
})

test('stateful sets: only some fields may change', async () => {
  const { ask } = cluster()
  const { spec } = deployment('s') as Draft
  const object = { metadata: { name: 's' }, spec: { ...spec, serviceName: 's' } } as never
  const made = await ask('create', 'apps/v1 statefulsets', { object })
  assert.equal(made.spec.podManagementPolicy, 'OrderedReady')
  const [cause] = await causesOf(
    ask('update', 'apps/v1 statefulsets', { name: 's', object: { ...made, spec: { ...made.spec, serviceName: 't' } } }),
  )
  assert.match(
    cause!,
    /^spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'/,
  )
  assert.equal(
    (
      await ask('update', 'apps/v1 statefulsets', {
        name: 's',
        object: { ...made, spec: { ...made.spec, replicas: 4 } },
      })
    ).spec.replicas,
    4,
  )
})

test('jobs own their selector; the template is fixed', async () => {
  const { ask } = cluster()
  const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'x' }] } }
  const made = await ask('create', 'batch/v1 jobs', {
    object: { metadata: { name: 'j' }, spec: { template } } as never,
  })
  assert.deepEqual(made.spec.selector.matchLabels, { 'batch.kubernetes.io/controller-uid': made.metadata.uid })
  assert.equal(made.spec.template.metadata.labels['job-name'], 'j')
  assert.deepEqual([made.spec.completions, made.spec.parallelism, made.spec.backoffLimit], [1, 1, 6])
  const changed = structuredClone(made)
  changed.spec.template.spec.containers[0].image = 'y'
  assert.match(
    (await causesOf(ask('update', 'batch/v1 jobs', { name: 'j', object: changed })))[0]!,
    /^spec.template: Invalid value: .*: field is immutable$/,
  )
  const always = { ...template, spec: { ...template.spec, restartPolicy: 'Always' } }
  assert.deepEqual(
    await causesOf(
      ask('create', 'batch/v1 jobs', { object: { metadata: { name: 'k' }, spec: { template: always } } as never }),
    ),
    ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
  )
})

test('cron jobs: schedules and time zones', async () => {
  const { ask } = cluster()
  const jobTemplate = {
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'x' }] } } },
  }
  const create = (spec: Draft) =>
    ask('create', 'batch/v1 cronjobs', { object: { metadata: { name: 'c' }, spec: { jobTemplate, ...spec } } as never })
  assert.match((await causesOf(create({ schedule: '* * *' })))[0]!, /expected exactly 5 fields, found 3/)
  assert.match((await causesOf(create({ schedule: '99 * * * *' })))[0]!, /above maximum/)
  assert.match(
    (await causesOf(create({ schedule: '@daily', timeZone: 'Moon/Base' })))[0]!,
    /unknown time zone Moon\/Base/,
  )
  const made = await create({ schedule: '*/5 0-3 1,15 jan-mar mon', timeZone: 'Europe/Berlin' })
  assert.deepEqual([made.spec.concurrencyPolicy, made.spec.successfulJobsHistoryLimit], ['Allow', 3])
})

test('immutable ConfigMaps and Secrets; stringData; base64', async () => {
  const { ask } = cluster()
  const map = await ask('create', 'configmaps', {
    object: { metadata: { name: 'm' }, data: { a: '1' }, immutable: true } as never,
  })
  assert.deepEqual(await causesOf(ask('update', 'configmaps', { name: 'm', object: { ...map, data: { a: '2' } } })), [
    'data: Forbidden: field is immutable when `immutable` is set',
  ])
  const secret = await ask('create', 'secrets', {
    object: { metadata: { name: 's' }, stringData: { a: 'b' } } as never,
  })
  assert.deepEqual([secret.data, secret.stringData, secret.type], [{ a: 'Yg==' }, undefined, 'Opaque'])
  assert.match(
    (await causesOf(ask('create', 'secrets', { object: { metadata: { name: 't' }, data: { a: '!' } } as never })))[0]!,
    /illegal base64/,
  )
  assert.deepEqual(
    await causesOf(
      ask('create', 'secrets', { object: { metadata: { name: 't' }, type: 'kubernetes.io/tls', data: {} } as never }),
    ),
    ['data[tls.crt]: Required value', 'data[tls.key]: Required value'],
  )
})

test('claims grow only where their class allows it', async () => {
  const { ask } = cluster()
  const object = {
    metadata: { name: 'c' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  } as never
  const made = await ask('create', 'persistentvolumeclaims', { object })
  assert.deepEqual(
    [made.spec.storageClassName, made.spec.volumeMode, made.metadata.finalizers],
    ['local', 'Filesystem', ['kubernetes.io/pvc-protection']],
  )
  const bound = await ask('update', 'persistentvolumeclaims/status', {
    name: 'c',
    object: { ...made, status: { phase: 'Bound', capacity: { storage: '1Gi' } } },
  })
  const resize = (storage: string) =>
    ask('update', 'persistentvolumeclaims', {
      name: 'c',
      object: { ...bound, spec: { ...bound.spec, resources: { requests: { storage } } } },
    })
  assert.deepEqual(await causesOf(resize('500Mi')), [
    'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
  ])
  assert.equal((await resize('2Gi')).spec.resources.requests.storage, '2Gi')
})

test('ingresses, network policies, autoscalers', async () => {
  const { ask } = cluster()
  const rule = { http: { paths: [{ path: 'x', pathType: 'Prefix', backend: { service: { name: 's', port: {} } } }] } }
  assert.deepEqual(
    await causesOf(
      ask('create', 'networking.k8s.io/v1 ingresses', {
        object: { metadata: { name: 'i' }, spec: { rules: [rule] } } as never,
      }),
    ),
    [
      'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
      'spec.rules[0].http.paths[0].backend: Required value: port name or number is required',
    ],
  )
  const policy = await ask('create', 'networking.k8s.io/v1 networkpolicies', {
    object: { metadata: { name: 'n' }, spec: { egress: [{ ports: [{ port: 53 }] }] } } as never,
  })
  assert.deepEqual([policy.spec.policyTypes, policy.spec.egress[0].ports[0].protocol], [['Ingress', 'Egress'], 'TCP'])
  const hpa = await causesOf(
    ask('create', 'autoscaling/v2 horizontalpodautoscalers', {
      object: {
        metadata: { name: 'h' },
        spec: { maxReplicas: 1, minReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd' } },
      } as never,
    }),
  )
  assert.deepEqual(hpa, ['spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`'])
})
