import assert from 'node:assert/strict'
import { test } from 'node:test'
import { humanDuration } from './columns/format.ts'
import { columnsOf } from './columns/tables.ts'
import { cluster, deployment, pod } from './fixture.ts'
import type { Draft } from './resource.ts'

const second = 1000
test('durations as kubectl writes them', () => {
  const cases: [number, string][] = [
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [330, '5m30s'],
    [601, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 60, '3h1m'],
    [9 * 3600, '9h'],
    [47 * 3600, '47h'],
    [50 * 3600, '2d2h'],
    [10 * 86400, '10d'],
    [800 * 86400, '2y70d'],
    [3000 * 86400, '8y'],
    [-5, '<invalid>'],
  ]
  for (const [seconds, text] of cases) assert.equal(humanDuration(seconds * second), text)
})

const now = Date.parse('2026-01-01T01:00:00Z')
const cells = (id: string, object: Draft, wide = false): Record<string, unknown> =>
  Object.fromEntries(
    columnsOf(id)
      .filter((c) => wide || !c.priority)
      .map((c) => [
        c.name,
        c.value({ metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' }, ...object }, now),
      ]),
  )

test('the status of a pod is worked out from its containers', () => {
  const show = (status: Draft, spec: Draft = {}, metadata: Draft = {}): string => {
    const row = cells('pods', {
      metadata: { name: 'x', ...metadata },
      spec: { containers: [{ name: 'a' }, { name: 'b' }], ...spec },
      status,
    })
    return `${row.Ready} ${row.Status} ${row.Restarts}`
  }
  const running = (name: string, restartCount = 0): Draft => ({
    name,
    ready: true,
    restartCount,
    state: { running: {} },
  })
  const waiting = (name: string, reason: string): Draft => ({
    name,
    ready: false,
    restartCount: 2,
    state: { waiting: { reason } },
    lastState: { terminated: { finishedAt: '2026-01-01T00:59:30Z' } },
  })
  const init = { initContainers: [{ name: 'i' }, { name: 'j' }] }
  assert.equal(show({ phase: 'Pending' }), '0/2 Pending 0')
  assert.equal(show({ phase: 'Running', containerStatuses: [running('a'), running('b', 1)] }), '2/2 Running 1')
  assert.equal(
    show({ phase: 'Running', containerStatuses: [running('a'), waiting('b', 'CrashLoopBackOff')] }),
    '1/2 CrashLoopBackOff 2 (30s ago)',
  )
  assert.equal(
    show({ phase: 'Failed', containerStatuses: [{ name: 'a', state: { terminated: { exitCode: 3 } } }] }),
    '0/2 ExitCode:3 0',
  )
  assert.equal(show({ phase: 'Failed', reason: 'Evicted' }), '0/2 Evicted 0')
  assert.equal(
    show({ phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { running: {} } }] }, init),
    '0/2 Init:0/2 0',
  )
  assert.equal(
    show(
      {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', restartCount: 1, state: { terminated: { exitCode: 1, reason: 'Error' } } },
        ],
      },
      init,
    ),
    '0/2 Init:Error 1',
  )
  assert.equal(
    show({ phase: 'Running', containerStatuses: [running('a'), running('b')] }, {}, { deletionTimestamp: 'x' }),
    '2/2 Terminating 0',
  )
  assert.equal(
    show({
      phase: 'Succeeded',
      reason: '',
      containerStatuses: [{ name: 'a', state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
    }),
    '0/2 Completed 0',
  )
  const sidecar = { containers: [{ name: 'a' }], initContainers: [{ name: 's', restartPolicy: 'Always' }] }
  assert.equal(
    show(
      {
        phase: 'Running',
        conditions: [{ type: 'Initialized', status: 'True' }],
        initContainerStatuses: [{ ...running('s'), started: true }],
        containerStatuses: [running('a')],
      },
      sidecar,
    ),
    '2/2 Running 0',
  )
})

test('rows of other kinds', () => {
  assert.deepEqual(
    cells(
      'services',
      {
        spec: {
          type: 'NodePort',
          clusterIP: '10.0.0.1',
          ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }],
          selector: { app: 'x' },
        },
      },
      true,
    ),
    {
      Name: 'x',
      Type: 'NodePort',
      'Cluster-IP': '10.0.0.1',
      'External-IP': '<none>',
      'Port(s)': '80:30080/TCP',
      Age: '60m',
      Selector: 'app=x',
    },
  )
  assert.equal(cells('services', { spec: { type: 'LoadBalancer' } })['External-IP'], '<pending>')
  assert.deepEqual(
    cells('nodes', {
      metadata: { name: 'n', labels: { 'node-role.kubernetes.io/control-plane': '' } },
      spec: { unschedulable: true },
      status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } },
    }),
    {
      Name: 'n',
      Status: 'Ready,SchedulingDisabled',
      Roles: 'control-plane',
      Age: '<unknown>',
      Version: 'v1',
    },
  )
  const job = cells('jobs.batch', {
    spec: { completions: 3, template: { spec: {} } },
    status: { succeeded: 1, startTime: '2026-01-01T00:59:00Z' },
  })
  assert.deepEqual([job.Status, job.Completions, job.Duration], ['Running', '1/3', '60s'])
  assert.equal(
    cells('horizontalpodautoscalers.autoscaling', {
      spec: { metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { averageUtilization: 80 } } }] },
    }).Targets,
    'cpu: <unknown>/80%',
  )
  const endpoints = [1, 2, 3, 4].map((i) => ({ ip: `10.0.0.${i}` }))
  assert.equal(
    cells('endpoints', { subsets: [{ addresses: endpoints, ports: [{ port: 80 }] }] }).Endpoints,
    '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...',
  )
  assert.equal(
    cells('storageclasses.storage.k8s.io', {
      metadata: { name: 's', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    }).Name,
    's (default)',
  )
  assert.equal(
    cells('events', {
      lastTimestamp: '2026-01-01T00:58:00Z',
      involvedObject: { kind: 'Pod', name: 'p' },
      message: ' hi ',
    }).Object,
    'pod/p',
  )
})

test('every resource has a table that can show anything', async () => {
  const { api, ask } = cluster()
  await ask('create', 'pods', { object: pod('p') })
  await ask('create', 'apps/v1 deployments', { object: deployment('d') })
  for (const { kind, verbs } of api.resources()) {
    if (!verbs.includes('list') || kind.group === 'metrics.k8s.io') continue
    for (const column of columnsOf(kind.group ? `${kind.plural}.${kind.group}` : kind.plural))
      column.value({ metadata: { name: 'x' } }, now)
    const table = await ask('list', `${kind.group ? `${kind.group}/${kind.version}` : kind.version} ${kind.plural}`, {
      namespace: undefined,
      table: { includeObject: 'Metadata' },
    })
    assert.equal(table.kind, 'Table')
    for (const row of table.rows) assert.equal(row.cells.length, table.columnDefinitions.length)
  }
})
