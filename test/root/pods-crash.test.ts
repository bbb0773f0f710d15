import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { instanceOf } from '../../src/instance.ts'
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
  cluster = await Cluster.start('pods-crash')
})
after(() => cluster?.remove())

const killDaemon = async (): Promise<void> => {
  process.kill(await cluster.daemonPid(), 'SIGKILL')
}
const startDaemon = (): Promise<unknown> => cluster.slipway('daemon', 'start')

/** Everything of the instance's that the kernel and the disk hold for pods. */
const holdings = async () => {
  const { id, linkPrefix } = instanceOf({ SLIPWAY_HOME: cluster.home })
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${cluster.home}/`))
  const links = JSON.parse(await cluster.must(['ip', '-j', 'link'])) as { ifname: string }[]
  const in_ = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : [])
  return {
    sandboxMounts: mounts.filter((m) => /\/(sandboxes|pods|containers)\//.test(m)),
    podLinks: links.map((l) => l.ifname).filter((name) => name.startsWith(`${linkPrefix}p`)),
    containers: (await cluster.must(['docker', 'ps', '-aq'])).split('\n').filter(Boolean),
    cgroups: ['memory', 'pids', 'unified', ''].flatMap((c) =>
      in_(join('/sys/fs/cgroup', c, `slipway-${id}`)).filter((name) => /^[0-9a-f]{64}$/.test(name)),
    ),
    directories: ['lib/pods', 'run/pods', 'run/sandboxes', 'lib/sandboxes', 'run/containers', 'lib/containers'].flatMap(
      (d) => in_(join(cluster.home, d)).map((name) => `${d}/${name}`),
    ),
  }
}
const nothing = { sandboxMounts: [], podLinks: [], containers: [], cgroups: [], directories: [] }

const flaps = (events: string): number => events.match(/Unhealthy/g)?.length ?? 0

it('a killed daemon takes its pods over: nothing restarts, readiness is kept, no probe flaps', async () => {
  await cluster.apply(
    shellPod(
      'server',
      'mkdir -p /w; httpd -f -p 8080 -h /w',
      {},
      {
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
        livenessProbe: { exec: { command: ['true'] }, periodSeconds: 1, failureThreshold: 1 },
      },
    ),
    shellPod(
      'crashed-once',
      'test -e /d/x && sleep 1000; touch /d/x; exit 1',
      { volumes: [{ name: 'd', emptyDir: {} }] },
      { volumeMounts: [{ name: 'd', mountPath: '/d' }] },
    ),
    shellPod('leaver', idle),
    shellPod('crashing', 'exit 1'),
  )
  const before_ = await cluster.ready('server')
  // It may have been asked once before it listened.
  const early = flaps(await cluster.events('server'))
  await cluster.ready('leaver')
  await cluster.until('crashed-once', (p) => stateOf(p)?.restartCount === 1 && stateOf(p).state.running)
  await cluster.until(
    'crashing',
    (p) => stateOf(p)?.state.waiting?.reason === 'CrashLoopBackOff' && stateOf(p).restartCount === 1,
  )
  const leaver = stateOf(await cluster.pod('leaver')).containerID.replace('slipway://', '')
  const pid = Number(await cluster.must(['docker', 'inspect', '-f', '{{.State.Pid}}', leaver]))
  await killDaemon()
  process.kill(pid, 'SIGKILL') // one program ends while nobody looks
  await startDaemon()
  const after_ = await cluster.pod('server')
  assert.equal(stateOf(after_).restartCount, 0)
  assert.equal(stateOf(after_).containerID, stateOf(before_).containerID)
  assert.equal(conditionOf(after_, 'Ready'), 'True')
  assert.equal(
    after_.status.conditions.find((c: { type: string }) => c.type === 'Ready').lastTransitionTime,
    before_.status.conditions.find((c: { type: string }) => c.type === 'Ready').lastTransitionTime,
  )
  assert.equal(stateOf(await cluster.pod('crashed-once')).restartCount, 1)
  const left = await cluster.until('leaver', (p) => stateOf(p).restartCount === 1 && stateOf(p).state.running)
  assert.equal(stateOf(left).lastState.terminated.exitCode, 137)
  const backoff = await cluster.until(
    'crashing',
    (p) => stateOf(p).restartCount === 2 && stateOf(p).state.waiting,
    15_000,
  )
  assert.match(stateOf(backoff).state.waiting.message, /^back-off 20s /)
  assert.equal(flaps(await cluster.events('server')), early)
  assert.equal(await cluster.sh('server', 'echo in'), 'in\n')
  await cluster.kubectl('delete', 'pod', '--all', '--now')
})

it('a pod being deleted when the daemon is killed is gone after the next start', async () => {
  await cluster.apply(
    shellPod('half', 'trap "" TERM; while true; do sleep 1; done', { terminationGracePeriodSeconds: 3 }),
  )
  await cluster.ready('half')
  await cluster.kubectl('delete', 'pod', 'half', '--wait=false')
  await killDaemon()
  await startDaemon()
  await cluster.kubectl('wait', '--for=delete', 'pod/half', '--timeout=10s')
})

it('kill -9 at any moment of starting and stopping leaks nothing', async () => {
  const deployment = (replicas: number): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'churn' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'churn' } },
      template: {
        metadata: { labels: { app: 'churn' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          volumes: [{ name: 'm', emptyDir: { medium: 'Memory' } }],
          initContainers: [{ name: 'i', image, command: ['true'] }],
          containers: [
            { name: 'c', image, command: ['sh', '-c', idle], volumeMounts: [{ name: 'm', mountPath: '/m' }] },
          ],
        },
      },
    },
  })
  for (let round = 0; round < 10; round++) {
    await cluster.apply(deployment(round % 2 ? 0 : 4))
    await new Promise((go) => setTimeout(go, 40 + round * 90))
    await killDaemon()
    await startDaemon()
  }
  await cluster.apply(deployment(2))
  await cluster.kubectl('rollout', 'status', 'deployment/churn', '--timeout=30s')
  await eventually('two pods are left', async () => (await holdings()).podLinks.length === 2)
  for (const [what, held] of Object.entries(await holdings())) assert.ok(held.length > 0, `${what} would be seen`)
  await cluster.kubectl('delete', 'deployment', 'churn')
  await cluster.kubectl('wait', '--for=delete', 'pod', '-l', 'app=churn', '--timeout=20s')
  let last: unknown
  await eventually(
    'all is gone',
    async () => {
      last = await holdings()
      assert.deepEqual(last, nothing)
      return true
    },
    10_000,
  ).catch(() => assert.deepEqual(last, nothing))
})
