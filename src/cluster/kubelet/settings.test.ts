import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ContainerSpec, Image, SandboxSpec } from '../../engine/index.ts'
import type { Container, Pod, PodSpec } from '../../spec/kube/generated/types.ts'
import { containerSpec } from './container-spec.ts'
import { containerEnv, type EnvSources, expand, podField } from './env.ts'
import { container, pod, TestClock } from './fixture.ts'
import { hostResolver } from './host.ts'
import { authsFor, PodImages } from './images.ts'
import { resourceField } from './pod-volumes.ts'
import { writeVersion } from './projected.ts'
import { podRuntime, withContainerRuntime, withPodRuntime } from './runtime.ts'
import { sandboxSpec } from './sandbox-spec.ts'
import { PodTokens } from './tokens.ts'

let dir: string
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kubelet-'))
})
after(() => rm(dir, { recursive: true }))

const sources = (more: Partial<EnvSources> = {}): EnvSources => ({
  configMap: () => undefined,
  secret: () => undefined,
  services: () => [],
  field: (path) => `<${path}>`,
  resource: ({ resource }) => `<${resource}>`,
  ...more,
})

test('expansion', () => {
  const env = new Map([
    ['A', 'a'],
    ['B', '$(A)'],
  ])
  for (const [text, wanted] of [
    ['$(A)-$(B)', 'a-$(A)'],
    ['$$(A) $(NONE) $A $', '$(A) $(NONE) $A $'],
    ['$$$(A) $(A', '$a $(A'],
  ])
    assert.equal(expand(text!, env), wanted)
})

test('environment: later wins, references see what came before', () => {
  const c = container({
    envFrom: [{ configMapRef: { name: 'm' }, prefix: 'P_' }, { secretRef: { name: 'none', optional: true } }],
    env: [
      { name: 'X', value: '$(P_K) $(Y)' },
      { name: 'Y', value: 'y' },
      { name: 'P_K', value: 'own' },
      { name: 'GONE', valueFrom: { configMapKeyRef: { name: 'm', key: 'absent', optional: true } } },
    ],
  })
  const env = containerEnv(pod(), c, sources({ configMap: () => ({ metadata: {}, data: { K: 'v' } }) }))
  assert.deepEqual(Object.fromEntries(env), { P_K: 'own', X: 'v $(Y)', Y: 'y' })
  const missing = container({ env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }] })
  assert.throws(() => containerEnv(pod(), missing, sources()), /secret "s" not found/)
})

test('service links of the namespace', () => {
  const service = {
    metadata: { name: 'my-db', namespace: 'ns' },
    spec: { clusterIP: '10.0.0.9', ports: [{ name: 'sql', port: 5432 }] },
  }
  const links = (more: Partial<PodSpec> = {}) =>
    containerEnv(pod(more), container(), sources({ services: () => [service] }))
  assert.equal(links().get('MY_DB_SERVICE_HOST'), '10.0.0.9')
  assert.equal(links().get('MY_DB_PORT_5432_TCP_ADDR'), '10.0.0.9')
  assert.equal(links().get('MY_DB_SERVICE_PORT_SQL'), '5432')
  assert.equal(links({ enableServiceLinks: false }).size, 0)
})

test('fields and resources', () => {
  const labelled: Pod = { ...pod(), metadata: { name: 'p', labels: { b: '2', a: 'x"y' } } }
  const at = { node: 'n', hostIP: '10.0.0.1', podIP: '10.1.0.2' }
  assert.equal(podField(labelled, 'metadata.labels', at), 'a="x\\"y"\nb="2"')
  assert.equal(podField(labelled, "metadata.labels['b']", at), '2')
  assert.equal(podField(labelled, 'status.podIPs', at), '10.1.0.2')
  const c = container({ resources: { requests: { cpu: '250m', memory: '1Gi' }, limits: { memory: '2Gi' } } })
  const value = (resource: string, divisor?: string): string =>
    resourceField(pod({ containers: [c] }), c, { resource, ...(divisor ? { divisor } : {}) })
  assert.deepEqual(
    [value('requests.cpu'), value('requests.cpu', '1m'), value('limits.memory', '1Mi'), value('requests.memory')],
    ['1', '250', '2048', '1073741824'],
  )
  assert.ok(Number(value('limits.cpu')) >= 1) // the node's
})

test('a projected volume changes as a whole, and not at all when nothing changed', async () => {
  const at = join(dir, 'volume')
  const file = (path: string, text: string, mode = 0o644) => ({ path, data: Buffer.from(text), mode })
  await writeVersion(await made(at), [file('a', '1'), file('sub/b', '2', 0o400)])
  const first = await readlink(join(at, '..data'))
  assert.equal(await readFile(join(at, 'sub/b'), 'utf8'), '2')
  assert.equal((await stat(join(at, 'sub/b'))).mode & 0o777, 0o400)
  await writeVersion(at, [file('sub/b', '2', 0o400), file('a', '1')])
  assert.equal(await readlink(join(at, '..data')), first)
  // What a killed daemon has left does not stop the next version.
  await writeFile(join(at, '..data_tmp'), '')
  await writeVersion(at, [file('c', '3')])
  assert.deepEqual(
    (await readdir(at)).filter((name) => !name.startsWith('..')),
    ['c'],
  )
  assert.equal((await readdir(at)).length, 3) // one version, ..data and c
  await assert.rejects(writeVersion(at, [file('../x', '')]), /must stay inside/)
})
const made = async (path: string): Promise<string> => {
  await (await import('node:fs/promises')).mkdir(path, { recursive: true })
  return path
}

const specOf = (c: Partial<Container>, podSpec: Partial<PodSpec> = {}, config: object = {}): ContainerSpec =>
  containerSpec({
    pod: pod(podSpec),
    container: container(c),
    role: 'main',
    attempt: 2,
    streak: 1,
    target: undefined,
    image: { id: 'sha256:1', config: { config } } as Image,
    env: new Map([['A', 'x']]),
    volumes: new Map([['v', { path: '/vol', readOnly: false, projected: false }]]),
    inVolume: (root, path) => `${root}/${path}`,
    nodeMemoryBytes: 8 * 2 ** 30,
  })

test('container: command, user, groups, limits', () => {
  const spec = specOf(
    {
      command: ['run', '$(A)'],
      args: ['$$(A)'],
      resources: { limits: { cpu: '1500m', memory: '64Mi' }, requests: { cpu: '250m' } },
      securityContext: {
        runAsUser: 5,
        runAsGroup: 6,
        capabilities: { drop: ['ALL'] },
        allowPrivilegeEscalation: false,
      },
      volumeMounts: [{ name: 'v', mountPath: '/m', subPathExpr: '$(A)', readOnly: true }],
    },
    { securityContext: { fsGroup: 7, supplementalGroups: [8], sysctls: [{ name: 'net.core.somaxconn', value: '9' }] } },
  )
  assert.deepEqual([spec.entrypoint, spec.cmd], [['run', 'x'], ['$(A)']])
  assert.deepEqual([spec.user, spec.groups], ['5:6', ['8', '7']])
  assert.deepEqual(spec.resources, { memory: 64 << 20, cpuQuota: 150_000, cpuPeriod: 100_000, cpuShares: 256 })
  assert.deepEqual([spec.security.capDrop, spec.security.noNewPrivileges], [['ALL'], true])
  assert.deepEqual(spec.sysctls, { 'net.core.somaxconn': '9' })
  const [mount] = spec.mounts
  assert.deepEqual(mount, { type: 'bind', source: '/vol/x', target: '/m', readOnly: true, recursive: true })
  assert.equal(spec.name, 'k8s_c_p_ns_uid_2')
})

test('container: who may not run as root does not', () => {
  const strict = { runAsNonRoot: true }
  assert.throws(() => specOf({ securityContext: strict }), /runAsNonRoot and image will run as root/)
  assert.throws(() => specOf({ securityContext: { ...strict, runAsUser: 0 } }), /runAsUser breaks non-root policy/)
  assert.throws(() => specOf({ securityContext: strict }, {}, { User: 'app' }), /non-numeric user \(app\)/)
  assert.equal(specOf({ securityContext: strict }, {}, { User: '1000' }).user, undefined)
  assert.throws(
    () => specOf({ securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'x' } } }),
    /not supported/,
  )
})

test('container: namespaces and the killing order of memory', () => {
  assert.equal(specOf({}, { hostPID: true }).pidMode, 'host')
  assert.equal(specOf({}, { shareProcessNamespace: true }).pidMode, 'sandbox')
  assert.equal(specOf({}).oomScoreAdj, 1000)
  const burstable = pod({ containers: [container({ resources: { requests: { memory: '4Gi' } } })] }).spec!
  assert.equal(specOf(burstable.containers[0]!, burstable).oomScoreAdj, 500)
})

const sandboxOf = (spec: Partial<PodSpec>): SandboxSpec =>
  sandboxSpec(pod(spec), {
    network: 'pods',
    dns: { address: '10.0.0.10', domain: 'cluster.local' },
    host: { servers: ['192.0.2.1'], searches: ['corp.test'], options: [] },
  })

test('sandbox: resolver by policy', () => {
  assert.deepEqual(sandboxOf({}).dns, {
    servers: ['10.0.0.10'],
    searches: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.test'],
    options: ['ndots:5'],
  })
  assert.deepEqual(sandboxOf({ dnsPolicy: 'Default' }).dns.servers, ['192.0.2.1'])
  assert.deepEqual(sandboxOf({ hostNetwork: true }).dns.servers, ['192.0.2.1'])
  assert.deepEqual(sandboxOf({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }).dns.servers, ['10.0.0.10'])
  const own = { nameservers: ['192.0.2.9'], options: [{ name: 'ndots', value: '1' }, { name: 'rotate' }] }
  assert.deepEqual(sandboxOf({ dnsPolicy: 'None', dnsConfig: own }).dns, {
    servers: ['192.0.2.9'],
    searches: [],
    options: ['ndots:1', 'rotate'],
  })
  assert.deepEqual(sandboxOf({ dnsConfig: own }).dns.options, ['ndots:1', 'rotate'])
})

test('sandbox: names, ports', () => {
  const spec = sandboxOf({
    hostname: 'h',
    subdomain: 's',
    setHostnameAsFQDN: true,
    containers: [container({ ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }] })],
  })
  assert.deepEqual([spec.hostname, spec.domainname], ['h.s.ns.svc.cluster.local', 's.ns.svc.cluster.local'])
  assert.deepEqual(spec.ports, [{ hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }])
  assert.equal(sandboxOf({ hostNetwork: true }).network.mode, 'host')
})

test('resolver of the machine: behind a local stub', async () => {
  const stub = join(dir, 'stub')
  const real = join(dir, 'real')
  await writeFile(stub, 'nameserver 127.0.0.53\noptions edns0\n')
  await writeFile(real, '# comment\nnameserver 192.0.2.7\nsearch a.test b.test\n')
  assert.deepEqual(hostResolver(stub, real), { servers: ['192.0.2.7'], searches: ['a.test', 'b.test'], options: [] })
  assert.deepEqual(hostResolver(stub, join(dir, 'none')).servers, ['127.0.0.53'])
  assert.deepEqual(hostResolver(real, stub).servers, ['192.0.2.7'])
})

test('the runtime annotation wins over the specification, and a bad one is told', () => {
  const annotated = (text: string): Pod => ({
    ...pod(),
    metadata: { name: 'p', annotations: { 'slipway.dev/runtime': text } },
  })
  const problems: string[] = []
  for (const text of ['no json', '{"version":2}']) podRuntime(annotated(text), (p) => problems.push(p))
  assert.deepEqual(problems, [
    'annotation slipway.dev/runtime is not JSON',
    'annotation slipway.dev/runtime: version 2 is not known to this node',
  ])
  const runtime = podRuntime(
    annotated(
      JSON.stringify({
        version: 1,
        network: 'none',
        hosts: [{ name: 'gw', address: 'host-gateway' }],
        sysctls: { a: '1' },
        containers: {
          c: {
            user: 'app',
            pidsLimit: 9,
            memorySwap: -1,
            copyUp: ['/m'],
            init: true,
            tmpfs: { '/t': ['exec'] },
            securityOptions: ['systempaths=unconfined'],
          },
        },
      }),
    ),
    assert.fail,
  )!
  const sandbox = withPodRuntime(sandboxOf({}), runtime)
  assert.deepEqual([sandbox.network.mode, sandbox.hosts], ['none', [{ name: 'gw', address: 'host-gateway' }]])
  const spec = withContainerRuntime(
    specOf({ volumeMounts: [{ name: 'v', mountPath: '/m' }] }),
    runtime,
    runtime.containers.c,
  )
  assert.deepEqual([spec.user, spec.init, spec.resources.pidsLimit, spec.sysctls], ['app', true, 9, { a: '1' }])
  assert.deepEqual(
    spec.mounts.map((m) => [m.type, m.target, 'copyUp' in m && m.copyUp]),
    [
      ['bind', '/m', true],
      ['tmpfs', '/t', false],
    ],
  )
  assert.deepEqual(spec.security.maskedPaths, [])
})

test('pulls: one for all who wait, broken off with the last; back-off for each pod', async () => {
  const clock = new TestClock()
  const pulls: { signal: AbortSignal; fail: (error: Error) => void }[] = []
  const images = new PodImages(
    {
      get: async () => undefined,
      pull: (_reference, options) =>
        new Promise((_, reject) => {
          pulls.push({ signal: options!.signal!, fail: reject })
        }),
    },
    clock,
  )
  const events = { pulling: () => {}, pulled: () => {} }
  const wish = (name: string, signal = new AbortController().signal) =>
    images.ensure({ pod: name, reference: 'x', policy: 'IfNotPresent', auths: [], signal }, events)
  const [first, second] = [new AbortController(), new AbortController()]
  const wishes = [wish('a', first.signal), wish('b', second.signal)].map((w) => w.catch((e: unknown) => e))
  await clock.advance(0)
  assert.equal(pulls.length, 1)
  first.abort(new Error('gone'))
  await clock.advance(0)
  assert.equal(pulls[0]!.signal.aborted, false)
  second.abort(new Error('gone'))
  await Promise.all(wishes)
  assert.equal(pulls[0]!.signal.aborted, true)

  pulls[0]!.fail(new Error('broken off'))
  await clock.advance(0)
  const failing = wish('a').catch((e: { details: object }) => e.details)
  await clock.advance(0)
  pulls[1]!.fail(new Error('no route'))
  assert.deepEqual(await failing, { reason: 'ErrImagePull', retryAt: clock.now() + 10_000 })
  await assert.rejects(wish('a'), /^SlipwayError: Back-off pulling image "x": ErrImagePull: no route/)
  const other = wish('b').catch(() => 'tried')
  await clock.advance(0)
  pulls[2]!.fail(new Error('no route'))
  assert.equal(await other, 'tried')
})

test('credentials of pull secrets', () => {
  const config = JSON.stringify({
    auths: {
      'https://index.docker.io/v1/': { auth: Buffer.from('me:pass:word').toString('base64') },
      'registry.test:5000': { username: 'u', password: 'p' },
    },
  })
  assert.deepEqual(authsFor('docker.io', [config, 'no json']), [{ username: 'me', password: 'pass:word' }])
  assert.deepEqual(authsFor('registry.test:5000', [config]), [{ username: 'u', password: 'p' }])
  assert.deepEqual(authsFor('other.test', [config]), [])
})

test('tokens are asked for once, and again at four fifths of their life', async () => {
  const clock = new TestClock()
  let count = 0
  const tokens = new PodTokens(
    { createSubresource: async () => ({ metadata: {}, status: { token: `t${++count}` } }) },
    clock,
  )
  const with_ = pod({ volumes: [{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }] })
  assert.ok(tokens.due(with_)) // of unknown age
  assert.equal(await tokens.get(with_, undefined, 1000), 't1')
  await clock.advance(799_000)
  assert.equal(await tokens.get(with_, undefined, 1000), 't1')
  assert.ok(!tokens.due(with_) && !tokens.due(pod()))
  await clock.advance(1_000)
  assert.ok(tokens.due(with_))
  assert.equal(await tokens.get(with_, undefined, 1000), 't2')
})

test('what this node cannot do is refused, not left out', () => {
  for (const spec of [
    { hostUsers: false },
    { runtimeClassName: 'gvisor' },
    { containers: [container({ volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] })] },
  ])
    assert.throws(() => sandboxOf(spec), /not supported on this node/)
})
