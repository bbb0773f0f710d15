import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  type Cluster as Instance,
  Cluster,
  conditionOf,
  eventually,
  idle,
  image,
  shellPod,
  stateOf,
} from './pods-kit.ts'

let cluster: Instance
before(async () => {
  cluster = await Cluster.start('pods-life')
})
after(() => cluster?.remove())

describe('a pod through its life', { concurrency: 6 }, () => {
  it('runs, is described as Kubernetes would, and is gone soon after kubectl delete', async () => {
    await cluster.apply(shellPod('plain', `echo hello; ${idle}`, { terminationGracePeriodSeconds: 6000 }))
    const pod = await cluster.ready('plain')
    assert.equal(pod.status.phase, 'Running')
    assert.equal(pod.status.qosClass, 'BestEffort')
    for (const type of ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'PodScheduled'])
      assert.equal(conditionOf(pod, type), 'True', type)
    assert.equal(await cluster.kubectl('logs', 'plain'), 'hello\n')
    const described = await cluster.kubectl('describe', 'pod', 'plain')
    for (const line of [
      /Normal\s+Scheduled/,
      /Normal\s+Pulled/,
      /Normal\s+Created/,
      /Normal\s+Started.*Started container c/,
    ])
      assert.match(described, line)
    // It ends when it is told to: nobody waits for as long as it might take.
    await cluster.kubectl('delete', 'pod', 'plain')
  })

  it('counts exits: Completed, Error with its code, and OOMKilled with 137', async () => {
    await cluster.apply(
      shellPod('done', 'exit 0', { restartPolicy: 'Never' }),
      shellPod(
        'failed',
        'echo last words; exit 3',
        { restartPolicy: 'Never' },
        { terminationMessagePolicy: 'FallbackToLogsOnError' },
      ),
      shellPod(
        'message',
        'printf "from the file" > /tmp/why; exit 1',
        { restartPolicy: 'Never' },
        { terminationMessagePath: '/tmp/why' },
      ),
      shellPod('oom', 'tail /dev/zero', { restartPolicy: 'Never' }, { resources: { limits: { memory: '16Mi' } } }),
      shellPod('absent', '', { restartPolicy: 'Never' }, { command: ['/no/such/program'] }),
    )
    const done = await cluster.until('done', (p) => p.status.phase === 'Succeeded')
    assert.equal(stateOf(done).state.terminated.reason, 'Completed')
    assert.equal(done.status.conditions.find((c: { type: string }) => c.type === 'Ready').reason, 'PodCompleted')
    const failed = stateOf(await cluster.until('failed', (p) => p.status.phase === 'Failed')).state.terminated
    assert.deepEqual([failed.exitCode, failed.reason, failed.message], [3, 'Error', 'last words\n'])
    const message = stateOf(await cluster.until('message', (p) => p.status.phase === 'Failed')).state.terminated
    assert.equal(message.message, 'from the file')
    const oom = stateOf(await cluster.until('oom', (p) => p.status.phase === 'Failed')).state.terminated
    assert.deepEqual([oom.exitCode, oom.reason], [137, 'OOMKilled'])
    const absent = stateOf(await cluster.until('absent', (p) => p.status.phase === 'Failed')).state.terminated
    assert.deepEqual([absent.exitCode, absent.reason], [128, 'StartError'])
    assert.match(absent.message, /no such file or directory/)
  })

  it('restarts at once, then backs off 10 s, 20 s', async () => {
    await cluster.apply(shellPod('crash', 'echo try; exit 1'))
    const waiting = await cluster.until(
      'crash',
      (p) => stateOf(p)?.state.waiting?.reason === 'CrashLoopBackOff',
      20_000,
    )
    assert.equal(stateOf(waiting).restartCount, 1)
    assert.match(
      stateOf(waiting).state.waiting.message,
      /^back-off 10s restarting failed container=c pod=crash_default\(/,
    )
    assert.equal(stateOf(waiting).lastState.terminated.exitCode, 1)
    assert.equal(await cluster.kubectl('logs', 'crash', '-p'), 'try\n')
    assert.match(
      await cluster.events('crash'),
      /BackOff\s+pod\/crash\s+Back-off restarting failed container c in pod crash_default/,
    )
    const later = await cluster.until(
      'crash',
      (p) => stateOf(p)?.restartCount === 2 && stateOf(p).state.waiting?.reason === 'CrashLoopBackOff',
      25_000,
    )
    assert.match(stateOf(later).state.waiting.message, /^back-off 20s /)
    assert.equal(later.status.phase, 'Running')
  })

  it('ends a pod at its deadline', async () => {
    await cluster.apply(shellPod('late', idle, { activeDeadlineSeconds: 2 }))
    const pod = await cluster.until('late', (p) => p.status.phase === 'Failed', 15_000)
    assert.equal(pod.status.reason, 'DeadlineExceeded')
    assert.equal(pod.status.message, 'Pod was active on the node longer than the specified deadline')
  })

  it('runs init containers in order, then sidecars beside the main one', async () => {
    const step = (name: string, command: string, more: object = {}): object => ({
      name,
      image,
      command: ['sh', '-c', command],
      volumeMounts: [{ name: 'shared', mountPath: '/s' }],
      ...more,
    })
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'inits' },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 2,
        volumes: [{ name: 'shared', emptyDir: {} }],
        initContainers: [
          step('one', 'sleep 0.5; echo one >> /s/log'),
          step('side', `sleep 0.5; echo side >> /s/log; ${idle}`, {
            restartPolicy: 'Always',
            startupProbe: { exec: { command: ['grep', 'side', '/s/log'] }, periodSeconds: 1 },
          }),
          step('two', 'echo two >> /s/log'),
        ],
        containers: [step('main', 'echo main >> /s/log; sleep 1; cat /s/log')],
      },
    })
    const pod = await cluster.until('inits', (p) => p.status.phase === 'Succeeded')
    assert.equal(await cluster.kubectl('logs', 'inits', '-c', 'main'), 'one\nside\ntwo\nmain\n')
    assert.equal(stateOf(pod, 'side', 'initContainerStatuses').state.terminated.exitCode, 0)
  })

  it('a failing init container is tried again, or fails the pod for good', async () => {
    const init = [{ name: 'i', image, command: ['sh', '-c', 'exit 7'] }]
    await cluster.apply(
      shellPod('init-again', idle, { initContainers: init }),
      shellPod('init-never', idle, { initContainers: init, restartPolicy: 'Never' }),
    )
    const again = await cluster.until(
      'init-again',
      (p) => stateOf(p, 'i', 'initContainerStatuses')?.state.waiting?.reason === 'CrashLoopBackOff',
    )
    assert.equal(again.status.phase, 'Pending')
    assert.equal(stateOf(again).state.waiting.reason, 'PodInitializing')
    assert.match(await cluster.kubectl('get', 'pod', 'init-again'), /Init:CrashLoopBackOff|Init:Error/)
    await cluster.until('init-never', (p) => p.status.phase === 'Failed')
    assert.match(await cluster.kubectl('get', 'pod', 'init-never'), /Init:Error/)
  })

  it('says why an image does not come', async () => {
    const none = (name: string, reference: string, imagePullPolicy: string): object =>
      shellPod(name, idle, {}, { image: reference, imagePullPolicy })
    await cluster.apply(
      none('never', 'absent:local', 'Never'),
      none('invalid', 'Not A Reference', 'IfNotPresent'),
      none('pull', '127.0.0.1:1/absent:1', 'IfNotPresent'),
    )
    await cluster.until('never', (p) => stateOf(p)?.state.waiting?.reason === 'ErrImageNeverPull')
    await cluster.until('invalid', (p) => stateOf(p)?.state.waiting?.reason === 'InvalidImageName')
    const pull = await cluster.until('pull', (p) => stateOf(p)?.state.waiting?.reason === 'ImagePullBackOff', 15_000)
    assert.match(stateOf(pull).state.waiting.message, /^Back-off pulling image "127.0.0.1:1\/absent:1": ErrImagePull: /)
    const { stderr } = await cluster.run(['kubectl', 'logs', 'pull'])
    assert.match(stderr, /is waiting to start: trying and failing to pull image/)
  })

  it('hooks: postStart comes before Running, preStop before SIGTERM, within the grace period', async () => {
    await cluster.apply(
      shellPod(
        'hooks',
        `trap "echo term >> /s/log; exit 0" TERM; while true; do sleep 0.1; done`,
        {
          terminationGracePeriodSeconds: 5,
          volumes: [{ name: 's', hostPath: { path: `${cluster.home}/hooks` } }],
        },
        {
          volumeMounts: [{ name: 's', mountPath: '/s' }],
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', 'sleep 1; echo post >> /s/log'] } },
            preStop: { exec: { command: ['sh', '-c', 'echo pre >> /s/log'] } },
          },
        },
      ),
      shellPod('bad-hook', idle, {}, { lifecycle: { postStart: { exec: { command: ['sh', '-c', 'exit 4'] } } } }),
      shellPod('stubborn', 'trap "" TERM; while true; do sleep 1; done', { terminationGracePeriodSeconds: 1 }),
    )
    await cluster.ready('hooks')
    await cluster.ready('stubborn')
    const log = (): Promise<string> => cluster.must(['cat', `${cluster.home}/hooks/log`])
    assert.equal(await log(), 'post\n')
    await cluster.kubectl('delete', 'pod', 'hooks')
    assert.equal(await log(), 'post\npre\nterm\n')
    const began = Date.now()
    await cluster.kubectl('delete', 'pod', 'stubborn')
    assert.ok(Date.now() - began > 900, 'it was killed before its time')
    await eventually('hook event', async () => /FailedPostStartHook/.test(await cluster.events('bad-hook')))
  })

  it('a forced deletion does not wait, and leaves nothing', async () => {
    await cluster.apply(
      shellPod('forced', 'trap "" TERM; while true; do sleep 1; done', { terminationGracePeriodSeconds: 6000 }),
    )
    const { metadata } = await cluster.ready('forced')
    await cluster.kubectl('delete', 'pod', 'forced', '--force', '--grace-period=0')
    await eventually('its directories are gone', async () => {
      const { code } = await cluster.run(['ls', `${cluster.home}/run/sandboxes/${metadata.uid}`])
      return code !== 0
    })
  })

  it('a container whose image is changed is restarted with the new one', async () => {
    await cluster.must(['docker', 'tag', image, 'busybox:other'])
    await cluster.apply(shellPod('reimage', idle))
    await cluster.ready('reimage')
    await cluster.kubectl('set', 'image', 'pod/reimage', 'c=busybox:other')
    const pod = await cluster.until('reimage', (p) => stateOf(p)?.restartCount === 1 && stateOf(p).state.running)
    assert.equal(stateOf(pod).image, 'busybox:other')
    assert.match(await cluster.events('reimage'), /Container c definition changed, will be restarted/)
  })

  it('probes: startup gates, readiness moves endpoints, liveness restarts', async () => {
    const file = (path: string, more: object = {}): object => ({
      exec: { command: ['test', '-e', path] },
      periodSeconds: 1,
      failureThreshold: 1,
      ...more,
    })
    await cluster.apply(
      shellPod(
        'probed',
        idle,
        {},
        {
          ports: [{ name: 'web', containerPort: 80 }],
          startupProbe: file('/tmp/started', { failureThreshold: 30 }),
          readinessProbe: file('/tmp/ready'),
          livenessProbe: { exec: { command: ['test', '!', '-e', '/tmp/dead'] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'probed' },
        spec: { selector: { app: 'probed' }, ports: [{ port: 80 }] },
      },
    )
    const running = await cluster.until('probed', (p) => stateOf(p)?.state.running)
    assert.equal(stateOf(running).started, false)
    await cluster.sh('probed', 'touch /tmp/started')
    await cluster.until('probed', (p) => stateOf(p).started)
    assert.equal(stateOf(await cluster.pod('probed')).ready, false)
    await cluster.sh('probed', 'touch /tmp/ready')
    await cluster.ready('probed')
    const endpointReady = async (): Promise<boolean> => {
      const list = JSON.parse(
        await cluster.kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=probed', '-o', 'json'),
      )
      return list.items[0].endpoints[0].conditions.ready
    }
    await eventually('endpoint', endpointReady)
    await cluster.sh('probed', 'rm /tmp/ready')
    await eventually('endpoint out', async () => !(await endpointReady()))
    await cluster.sh('probed', 'touch /tmp/dead')
    const restarted = await cluster.until('probed', (p) => stateOf(p).restartCount === 1)
    assert.ok(restarted)
    const events = await cluster.events('probed')
    assert.match(events, /Unhealthy.*Liveness probe failed/)
    assert.match(events, /Killing.*Container c failed liveness probe, will be restarted/)
  })

  it('probes by HTTP, TCP and named port', async () => {
    await cluster.apply(
      shellPod(
        'webby',
        'mkdir -p /w; echo ok > /w/index.html; httpd -f -p 8080 -h /w',
        {},
        {
          ports: [{ name: 'web', containerPort: 8080 }],
          readinessProbe: { httpGet: { path: '/', port: 'web' }, periodSeconds: 1 },
          livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
        },
      ),
      shellPod(
        'notfound',
        'mkdir -p /w; httpd -f -p 8080 -h /w',
        {},
        { readinessProbe: { httpGet: { path: '/absent', port: 8080 }, periodSeconds: 1 } },
      ),
    )
    await cluster.ready('webby')
    await eventually('event', async () =>
      /Readiness probe failed: HTTP probe failed with statuscode: 404/.test(await cluster.events('notfound')),
    )
  })

  it('ephemeral containers see the processes of their target', async () => {
    await cluster.apply(shellPod('patient', idle))
    await cluster.ready('patient')
    await cluster.kubectl(
      'debug',
      'patient',
      `--image=${image}`,
      '--target=c',
      '-c',
      'doctor',
      '--',
      'sh',
      '-c',
      'ps; sleep 20',
    )
    await cluster.until('patient', (p) => stateOf(p, 'doctor', 'ephemeralContainerStatuses')?.state.running)
    const seen = await eventually('output', () => cluster.kubectl('logs', 'patient', '-c', 'doctor'))
    assert.match(seen, /trap "exit 0" TERM/)
  })
})
