// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lowerFiles, lowerWeb, timing } from './fixture.ts'
import { escapeExpansion } from './names.ts'

test('health check to three probes; sub-second times round up and stay exact here', async () => {
  const lowered = await lowerWeb(
    'healthcheck: {test: "curl -f http://localhost", interval: 1500ms, timeout: 500ms, retries: 4, start_period: 3s, start_interval: 500ms}',
  )
  const container = lowered.container('web')
  assert.deepEqual(container.startupProbe?.exec?.command, ['/bin/sh', '-c', 'curl -f http://localhost'])
  // 3 s of start period and four rounds of 1.5 s are 9 s: nine rounds of a second, eighteen of half a second.
  assert.deepEqual(
    [timing(container.startupProbe), timing(container.readinessProbe), timing(container.livenessProbe)],
    ['1/1/9', '2/1/4', '2/1/4'],
  )
  assert.deepEqual(lowered.runtime('web').containers.web?.probes, {
    startup: { periodMs: 500, timeoutMs: 500, failureThreshold: 18 },
    readiness: { periodMs: 1500, timeoutMs: 500, failureThreshold: 4 },
    liveness: { periodMs: 1500, timeoutMs: 500, failureThreshold: 4 },
    same: true,
  })
})
test("docker's defaults, the image's health check, its shell", async () => {
  const plain = (await lowerWeb('healthcheck: {test: [CMD, x]}')).container('web')
  assert.deepEqual([timing(plain.startupProbe), timing(plain.readinessProbe)], ['5/30/18', '30/30/3'])
  const images = {
    web: {
      reference: 'web',
      config: { Shell: ['/bin/bash', '-c'], Healthcheck: { Test: ['CMD-SHELL', 'check'], Interval: 2e9, Retries: 5 } },
    },
  }
  const inherited = (await lowerWeb('attach: true', { images })).container('web')
  assert.deepEqual(inherited.readinessProbe?.exec?.command, ['/bin/bash', '-c', 'check'])
  assert.equal(timing(inherited.readinessProbe), '2/30/5')
  const mixed = (await lowerWeb('healthcheck: {interval: 7s}', { images })).container('web')
  assert.equal(timing(mixed.readinessProbe), '7/30/5')
  for (const off of ['disable: true', 'test: [NONE]'])
    assert.equal((await lowerWeb(`healthcheck: {${off}}`, { images })).container('web').readinessProbe, undefined)
})
test('no liveness on request, and a health check without a test is reported', async () => {
  const container = (await lowerWeb('healthcheck: {test: [CMD, x]}\nx-slipway: {liveness: false}')).container('web')
  assert.deepEqual([container.livenessProbe, container.readinessProbe?.exec?.command], [undefined, ['x']])
  assert.match(
    (await lowerWeb('healthcheck: {interval: 5s}')).said[0]!,
    /warn services\.web\.healthcheck: .*without a test/,
  )
})

test('nothing is expanded that a shell was meant to expand', async () => {
  assert.equal(escapeExpansion('a $(b) $$ $c $'), 'a $$(b) $$$ $c $')
  const lowered = await lowerWeb(
    `command: ["sh", "-c", "echo $$(hostname) $$$$ $$HOME"]\nhealthcheck: {test: [CMD-SHELL, "test $$(id -u) = $$$$"]}\nenvironment: {"odd key": "$$(x)", PLAIN: "$$(x)"}`,
  )
  const container = lowered.container('web')
  assert.deepEqual(container.args, ['sh', '-c', 'echo $$(hostname) $$$ $HOME'])
  assert.deepEqual(container.readinessProbe?.exec?.command?.at(-1), 'test $$(id -u) = $$$')
  assert.deepEqual(container.env, [{ name: 'odd key', value: '$$(x)' }])
  const map = lowered.objects.find((o) => o.kind === 'ConfigMap') as { data?: Record<string, string> }
  assert.deepEqual(map.data, { PLAIN: '$(x)' })
})
test('emptied entrypoints and commands are written out', async () => {
  const images = { web: { reference: 'web', config: { Entrypoint: ['/entry'], Cmd: ['serve'] } } }
  const of = async (yaml: string): Promise<unknown> => {
    const { command, args } = (await lowerWeb(yaml, { images })).container('web')
    return [command, args]
  }
  assert.deepEqual(await of('command: a b'), [undefined, ['a', 'b']])
  assert.deepEqual(await of('entrypoint: a b'), [['a', 'b'], undefined])
  assert.deepEqual(await of('entrypoint: []'), [['serve'], undefined])
  assert.deepEqual(await of('entrypoint: []\ncommand: x'), [['x'], undefined])
  assert.deepEqual(await of('command: []'), [['/entry'], undefined])
  assert.match((await lowerWeb('command: []')).said[0]!, /refuse services\.web\.command/)
})

test('plain variables in a ConfigMap, secret ones in a Secret, both named after their content', async () => {
  const of = (password: string) =>
    lowerWeb(
      `environment: {HOST: h, DB_PASSWORD: "${password}", PASSWORD_FILE: /run/x, URL: "pg://u:p@h/d", TOKENS: "5"}`,
    )
  const first = await of('a')
  const map = first.objects.find((o) => o.kind === 'ConfigMap') as {
    data?: Record<string, string>
    immutable?: boolean
  }
  const secret = first.objects.find((o) => o.kind === 'Secret') as { data?: Record<string, string> }
  assert.deepEqual([Object.keys(map.data!), map.immutable], [['HOST', 'PASSWORD_FILE', 'TOKENS'], true])
  assert.deepEqual(Object.keys(secret.data!), ['DB_PASSWORD', 'URL'])
  const second = await of('b')
  assert.deepEqual(first.names('ConfigMap'), second.names('ConfigMap'))
  assert.notDeepEqual(first.names('Secret'), second.names('Secret'))
})

test('users: numbers, names, the image; the restricted level where it can be', async () => {
  const context = async (yaml: string, user?: string, destination: 'local' | 'cluster' = 'local') => {
    const lowered = await lowerWeb(yaml, {
      destination,
      images: { web: { reference: 'web', config: { ...(user && { User: user }) } } },
    })
    return {
      security: lowered.container('web').securityContext,
      runtime: destination === 'local' ? lowered.runtime('web').containers.web : undefined,
      said: lowered.said.filter((s) => s.includes('user')),
    }
  }
  const restricted = {
    runAsUser: 1000,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  }
  assert.deepEqual((await context('user: "1000"')).security, restricted)
  assert.deepEqual((await context('attach: true', '1000:50')).security, { ...restricted, runAsGroup: 50 })
  assert.deepEqual((await context('attach: true')).security, { allowPrivilegeEscalation: false })
  const named = await context('user: app:www')
  assert.deepEqual([named.runtime?.user, named.security?.runAsUser, named.said], ['app:www', undefined, []])
  assert.match(
    (await context('user: app', undefined, 'cluster')).said[0]!,
    /refuse services\.web\.user: "app" is a name/,
  )
  assert.deepEqual((await context('attach: true', 'app', 'cluster')).said, [])
  assert.equal((await context('user: root', '1000', 'cluster')).security?.runAsUser, 0)
})
test('capabilities, privileges, no-new-privileges', async () => {
  const of = async (yaml: string) => (await lowerWeb(yaml)).container('web').securityContext
  assert.deepEqual(await of('cap_add: [CAP_NET_ADMIN]\ncap_drop: [chown]'), {
    allowPrivilegeEscalation: false,
    capabilities: { add: ['NET_ADMIN'], drop: ['CHOWN'] },
  })
  assert.deepEqual(await of('cap_add: [SYS_ADMIN]'), { capabilities: { add: ['SYS_ADMIN'] } })
  assert.deepEqual(await of('privileged: true\nread_only: true'), { privileged: true, readOnlyRootFilesystem: true })
  assert.equal(await of('security_opt: ["no-new-privileges:false"]'), undefined)
  assert.deepEqual((await lowerWeb('security_opt: ["seccomp:unconfined"]')).pod('web').securityContext, {
    seccompProfile: { type: 'Unconfined' },
  })
})

test('stopping: grace, drain on a cluster, hooks', async () => {
  const here = await lowerWeb('ports: ["80:80"]\nstop_grace_period: 1500ms\nstop_signal: QUIT')
  assert.deepEqual([here.pod('web').terminationGracePeriodSeconds, here.container('web').lifecycle], [2, undefined])
  assert.deepEqual(
    [here.runtime('web').containers.web?.stopTimeoutMs, here.runtime('web').containers.web?.stopSignal],
    [1500, 'QUIT'],
  )
  const there = await lowerWeb('ports: ["80:80"]', { destination: 'cluster' })
  assert.deepEqual(
    [there.pod('web').terminationGracePeriodSeconds, there.container('web').lifecycle],
    [15, { preStop: { sleep: { seconds: 5 } } }],
  )
  const quiet = await lowerWeb('attach: true', { destination: 'cluster' })
  assert.deepEqual([quiet.pod('web').terminationGracePeriodSeconds, quiet.container('web').lifecycle], [10, undefined])
  const hooks = await lowerWeb(
    'ports: ["80:80"]\npre_stop: [{command: [bye, "x y"], working_dir: /w}]\npost_start: [{command: [hi]}]',
    { destination: 'cluster' },
  )
  assert.deepEqual(hooks.container('web').lifecycle, {
    postStart: { exec: { command: ['hi'] } },
    preStop: { exec: { command: ['/bin/sh', '-c', "sleep 5 && (cd /w && bye 'x y')"] } },
  })
  assert.match((await lowerWeb('pre_stop: [{command: [a], user: root}]')).said[0]!, /refuse services\.web\.pre_stop\.0/)
})

test('resources, and limits that only our nodes know', async () => {
  const lowered = await lowerWeb(
    'cpus: 0.5\nmem_limit: 64m\nmem_reservation: 32m\nmemswap_limit: -1\npids_limit: 50\ncpuset: "0"\nulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}\ncpu_shares: 512',
  )
  assert.deepEqual(lowered.container('web').resources, {
    requests: { cpu: '500m', memory: '32Mi' },
    limits: { cpu: '500m', memory: '64Mi' },
  })
  const { labels: _labels, ...runtime } = lowered.runtime('web').containers.web!
  assert.deepEqual(runtime, {
    memorySwap: -1,
    cpusetCpus: '0',
    cpuShares: 512,
    ulimits: [
      { name: 'nofile', soft: 1, hard: 2 },
      { name: 'nproc', soft: 3, hard: 3 },
    ],
    pidsLimit: 50,
    memoryReservation: 32 * 2 ** 20,
  })
})

test('several services in one pod', async () => {
  const lowered = await lowerFiles(`services:
  web: {image: w, ports: ["80:80"], volumes: ["d:/d"]}
  side: {image: s, network_mode: "service:web", pid: "service:web", expose: ["90"], volumes: ["d:/e:ro"], depends_on: [db]}
  db: {image: d}
volumes: {d: }
`)
  const pod = lowered.pod('web')
  assert.deepEqual(
    pod.containers.map((c) => c.name),
    ['web', 'side'],
  )
  assert.deepEqual([pod.shareProcessNamespace, pod.volumes?.length], [true, 1])
  assert.deepEqual(lowered.get('Service', 'side').spec.selector, lowered.get('Service', 'web').spec.selector)
  assert.deepEqual(
    lowered.waves.map((w) => w.map((x) => `${x.service}:${x.workload.name}:${x.waitsFor.map((d) => d.service)}`)),
    [['db:db:'], ['web:web:db', 'side:web:db']],
  )
})

test('labels show docker whose container it is', async () => {
  const lowered = await lowerWeb('labels: {b: "1", a: "x y", "odd key!": z}')
  assert.deepEqual(lowered.runtime('web').containers.web?.labels, {
    a: 'x y',
    b: '1',
    'com.docker.compose.project': 'shop',
    'com.docker.compose.service': 'web',
    'odd key!': 'z',
  })
  assert.equal(lowered.get('Deployment', 'web').metadata.labels?.['app.kubernetes.io/managed-by'], 'slipway')
})

test('secrets and configs are single files of immutable objects', async () => {
  const lowered = await lowerFiles(
    'services: {web: {image: w, secrets: [{source: s, target: key, mode: 0400, uid: "5"}], configs: [c]}}\nsecrets: {s: {environment: S}}\nconfigs: {c: {content: hello}}\n',
    { environment: { S: 'x' } },
  )
  assert.deepEqual(
    lowered.container('web').volumeMounts?.map((m) => `${m.mountPath} ${m.subPath} ${m.readOnly}`),
    ['/run/secrets/key s true', '/c c true'],
  )
  assert.equal(lowered.pod('web').volumes?.[0]?.secret?.defaultMode, 0o400)
  assert.deepEqual(lowered.runtime('web').containers.web?.fileOwners, { '/run/secrets/key': { uid: 5, gid: 0 } })
  assert.match(lowered.names('Secret')[0]!, /^s-[0-9a-f]{10}$/)
  assert.match(
    (await lowerFiles('services: {web: {image: w, secrets: [s]}}\nsecrets: {s: {environment: GONE}}\n')).said[0]!,
    /refuse services\.web\.secrets\.0: secret "s": the environment variable GONE is not set/,
  )
})
