// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { lowerFiles, lowerWeb } from './fixture.ts'

test('which object keeps a service running', async () => {
  const lowered = await lowerFiles(`services:
  stateless: {image: a}
  always: {image: a, restart: always}
  single: {image: a, volumes: ["one:/d"]}
  scaled: {image: a, volumes: ["two:/d"], scale: 2}
  reader: {image: a, volumes: ["three:/d:ro"]}
  shared-a: {image: a, volumes: ["four:/d"]}
  shared-b: {image: a, volumes: ["four:/d"]}
  once: {image: a, restart: "no"}
  retries: {image: a, restart: "on-failure:3"}
  awaited: {image: a}
  waits: {image: a, depends_on: {awaited: {condition: service_completed_successfully}}}
  everywhere: {image: a, deploy: {mode: global}}
  bound: {image: a, volumes: ["/tmp:/d"]}
volumes: {one: , two: , three: , four: }
`)
  const kinds = Object.fromEntries(lowered.waves.flat().map((w) => [w.service, w.workload.kind]))
  assert.deepEqual(kinds, {
    stateless: 'Deployment',
    always: 'Deployment',
    single: 'StatefulSet',
    scaled: 'Deployment',
    reader: 'Deployment',
    'shared-a': 'Deployment',
    'shared-b': 'Deployment',
    once: 'Job',
    retries: 'Job',
    awaited: 'Job',
    waits: 'Deployment',
    everywhere: 'DaemonSet',
    bound: 'Deployment',
  })
  assert.deepEqual([lowered.get('Job', 'once').spec.backoffLimit, lowered.pod('once').restartPolicy], [0, 'Never'])
  assert.deepEqual(
    [lowered.get('Job', 'retries').spec.backoffLimit, lowered.pod('retries').restartPolicy],
    [3, 'OnFailure'],
  )
  const modes = Object.fromEntries(
    lowered.names('PersistentVolumeClaim').map((n) => [n, lowered.get('PersistentVolumeClaim', n).spec.accessModes[0]]),
  )
  assert.deepEqual(modes, { one: 'ReadWriteOnce', two: 'ReadWriteMany', three: 'ReadWriteOnce', four: 'ReadWriteMany' })
})

test('updates: the new before the old, unless the file says otherwise or a port of the node is held', async () => {
  const of = async (yaml: string): Promise<unknown> =>
    (await lowerWeb(yaml)).get('Deployment', 'web').spec.strategy.rollingUpdate
  assert.deepEqual(await of('attach: true'), { maxSurge: 1, maxUnavailable: 0 })
  assert.deepEqual(await of('deploy: {update_config: {order: stop-first, parallelism: 2}}'), {
    maxSurge: 0,
    maxUnavailable: 2,
  })
  assert.deepEqual(await of('deploy: {update_config: {parallelism: 0}}'), { maxSurge: '100%', maxUnavailable: 0 })
  assert.deepEqual(await of('ports: [{target: 80, published: "80", mode: host}]'), { maxSurge: 0, maxUnavailable: 1 })
  const paced = (await lowerWeb('deploy: {update_config: {delay: 2s, monitor: 4500ms, failure_action: rollback}}')).get(
    'Deployment',
    'web',
  )
  assert.deepEqual(
    [paced.spec.minReadySeconds, paced.metadata.annotations?.['slipway.dev/failure-action']],
    [5, 'rollback'],
  )
  const slow = (await lowerWeb('healthcheck: {test: x, start_period: 20m}')).get('Deployment', 'web')
  assert.ok(slow.spec.progressDeadlineSeconds > 1200)
})

test('Services: every port, the published ones, other names', async () => {
  const lowered = await lowerWeb(
    'ports: ["8080:80", "127.0.0.1:5353:53/udp", "90", {target: 443, published: "8443", name: tls, app_protocol: https}]\nexpose: ["70-71"]\nnetworks: {default: {aliases: [www, My_Alias]}}\ncontainer_name: the-web',
    { images: { web: { reference: 'web', config: { ExposedPorts: { '60/tcp': {}, '80/tcp': {} } } } } },
  )
  const ports = (name: string): string[] =>
    lowered
      .get('Service', name)
      .spec.ports.map(
        (p: { name: string; port: number; targetPort: number; protocol: string }) =>
          `${p.name} ${p.port}>${p.targetPort}/${p.protocol}`,
      )
  assert.deepEqual(lowered.names('Service'), [
    'web',
    'www',
    'my-alias',
    'the-web',
    'web-published',
    'web-published-127-0-0-1',
    'web-nodeport',
  ])
  assert.deepEqual(ports('web'), [
    'udp-53 53>53/UDP',
    'tcp-60 60>60/TCP',
    'tcp-70 70>70/TCP',
    'tcp-71 71>71/TCP',
    'tcp-80 80>80/TCP',
    'tcp-90 90>90/TCP',
    'tls 443>443/TCP',
  ])
  assert.deepEqual(ports('www'), ports('web'))
  assert.deepEqual(ports('web-published'), ['tcp-8080 8080>80/TCP', 'tcp-8443 8443>443/TCP'])
  assert.deepEqual(
    [lowered.get('Service', 'web-published').spec.type, lowered.get('Service', 'web-nodeport').spec.type],
    ['LoadBalancer', 'NodePort'],
  )
  assert.equal(
    lowered.get('Service', 'web-published-127-0-0-1').metadata.annotations?.['slipway.dev/host-ip'],
    '127.0.0.1',
  )
  assert.match(lowered.said[0]!, /My_Alias.*my-alias/)
})
test('on a cluster a loopback port is not published, and says so', async () => {
  const lowered = await lowerWeb('ports: ["127.0.0.1:80:80"]', { destination: 'cluster' })
  assert.deepEqual(lowered.names('Service'), ['web'])
  assert.ok(lowered.said.some((s) => /warn services\.web\.ports\.0: 127\.0\.0\.1:80 is for this machine only/.test(s)))
})
test('a service without ports has a name all the same', async () => {
  const { spec } = (await lowerWeb('attach: true')).get('Service', 'web')
  assert.deepEqual([spec.clusterIP, spec.ports], ['None', undefined])
})
test('links and external links', async () => {
  const lowered = await lowerFiles(
    'services:\n  web: {image: w, links: ["db:database"], external_links: ["other-cache-1:cache"]}\n  db: {image: d, expose: ["5432"]}\n',
  )
  assert.deepEqual(lowered.get('Service', 'database').spec.selector['app.kubernetes.io/name'], 'db')
  assert.equal(lowered.get('Service', 'cache').spec.externalName, 'cache.other.svc.cluster.local')
})

test('ingress, autoscaler, disruption budget, spread', async () => {
  const lowered = await lowerWeb(
    'ports: ["80:8080"]\nscale: 2\ncpus: 1\nx-slipway: {host: [a.example, b.example], path: /api, tls: true, autoscale: {min: 2, max: 6, cpu: 70}}',
  )
  const ingress = lowered.get('Ingress', 'web').spec
  assert.deepEqual(ingress.tls, [{ hosts: ['a.example', 'b.example'], secretName: 'web-tls' }])
  assert.deepEqual(ingress.rules[1], {
    host: 'b.example',
    http: {
      paths: [{ path: '/api', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 8080 } } } }],
    },
  })
  assert.equal(lowered.get('Deployment', 'web').spec.replicas, undefined, 'the autoscaler owns the number')
  const hpa = lowered.get('HorizontalPodAutoscaler', 'web').spec
  assert.deepEqual([hpa.minReplicas, hpa.maxReplicas, hpa.metrics[0].resource.target.averageUtilization], [2, 6, 70])
  assert.equal(lowered.get('PodDisruptionBudget', 'web').spec.maxUnavailable, 1)
  assert.equal(lowered.pod('web').topologySpreadConstraints?.[0]?.whenUnsatisfiable, 'ScheduleAnyway')
  assert.match((await lowerWeb('x-slipway: {autoscale: {max: 3}}')).said[0]!, /needs a request/)
})
test('--scale beats the file', async () => {
  assert.equal((await lowerWeb('scale: 2', { scale: { web: 5 } })).get('Deployment', 'web').spec.replicas, 5)
})

test('volumes: named, anonymous, tmpfs, shm, bind, files', async () => {
  const lowered = await lowerWeb(
    'volumes: ["d:/d", "d:/e:nocopy", /anon, "./src:/src", "./f.conf:/f.conf:ro"]\ntmpfs: ["/run:size=1m", "/special:mode=1770,uid=5"]\nshm_size: 64m',
    {
      also: 'volumes: {d: {x-slipway: {size: 5g, storageClass: fast}}}',
      files: { 'src/x': '', 'f.conf': 'conf' },
    },
  )
  const volumes = Object.fromEntries(
    lowered
      .pod('web')
      .volumes!.map(({ name, ...v }) => [name, JSON.stringify(v).replace(/"path":"[^"]*\/shop/, '"path":"')]),
  )
  assert.deepEqual(volumes, {
    'data-d': '{"persistentVolumeClaim":{"claimName":"d"}}',
    'anonymous-web-2': '{"emptyDir":{}}',
    'host-web-3': '{"hostPath":{"path":"/src","type":"DirectoryOrCreate"}}',
    'host-web-4': '{"hostPath":{"path":"/f.conf","type":"File"}}',
    'memory-web-tmpfs-0': '{"emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}',
    'memory-web-shm': '{"emptyDir":{"medium":"Memory","sizeLimit":"64Mi"}}',
  })
  const runtime = lowered.runtime('web').containers.web!
  assert.deepEqual([runtime.copyUp, runtime.tmpfs], [['/d', '/anon'], { '/special': ['mode=1770', 'uid=5'] }])
  const claim = lowered.get('PersistentVolumeClaim', 'd').spec
  assert.deepEqual([claim.resources.requests.storage, claim.storageClassName], ['5Gi', 'fast'])
})
test('on a cluster: a read-only file goes along, other binds are refused', async () => {
  const lowered = await lowerWeb('volumes: ["./src:/src", "./f.conf:/etc/f.conf:ro"]', {
    destination: 'cluster',
    files: { 'src/x': '', 'f.conf': 'conf' },
  })
  assert.deepEqual(
    lowered.container('web').volumeMounts?.map((m) => m.mountPath),
    ['/etc/f.conf'],
  )
  assert.equal(
    (lowered.objects.find((o) => o.kind === 'ConfigMap') as { data?: Record<string, string> }).data?.['f.conf'],
    'conf',
  )
  assert.deepEqual(lowered.said.filter((s) => s.startsWith('refuse')).length, 1)
})
test('a volume that only the image declares is reported', async () => {
  const lowered = await lowerWeb('attach: true', {
    images: { web: { reference: 'w', config: { Volumes: { '/data': {} } } } },
  })
  assert.match(lowered.said[0]!, /the image declares a volume at \/data/)
})
test('external volumes are used by name and not made', async () => {
  const lowered = await lowerWeb('volumes: ["d:/d"]', { also: 'volumes: {d: {external: true, name: precious}}' })
  assert.deepEqual(
    [lowered.names('PersistentVolumeClaim'), lowered.pod('web').volumes?.[0]?.persistentVolumeClaim?.claimName],
    [[], 'precious'],
  )
})
test('nfs volumes', async () => {
  const lowered = await lowerWeb('volumes: ["d:/d"]', {
    destination: 'cluster',
    also: 'volumes: {d: {driver_opts: {type: nfs, o: "addr=10.0.0.1,nolock", device: ":/export"}}}',
  })
  assert.deepEqual(lowered.get('PersistentVolume', 'shop-d').spec.nfs, { server: '10.0.0.1', path: '/export' })
  assert.equal(lowered.get('PersistentVolumeClaim', 'd').spec.volumeName, 'shop-d')
})

test('NetworkPolicies only where networks separate', async () => {
  assert.deepEqual((await lowerWeb('attach: true')).names('NetworkPolicy'), [])
  const lowered = await lowerFiles(`services:
  web: {image: w, ports: ["80:80"], networks: [front, back]}
  db: {image: d, networks: [back]}
networks: {front: , back: {internal: true}}
`)
  assert.deepEqual(lowered.names('NetworkPolicy'), ['network-back', 'network-front', 'published-web'])
  assert.equal(lowered.get('NetworkPolicy', 'network-back').spec.egress.length, 2)
  assert.deepEqual(lowered.get('NetworkPolicy', 'network-front').spec.egress, [{}])
  assert.match(lowered.said[0]!, /warn networks: networks do not separate/)
})

test('depends_on … restart: true: a change of the dependency changes the dependent', async () => {
  const of = async (tag: string) => {
    const lowered = await lowerFiles(
      `services:\n  web: {image: w, depends_on: {db: {condition: service_started, restart: true}}}\n  other: {image: w, depends_on: [db]}\n  db: {image: "d:${tag}"}\n`,
    )
    return ['web', 'other'].map((name) => JSON.stringify(lowered.get('Deployment', name).spec.template))
  }
  const [before, after] = [await of('1'), await of('2')]
  assert.deepEqual([before[0] === after[0], before[1] === after[1]], [false, true])
})

test('names: what Kubernetes cannot say is bent, and collisions are errors', async () => {
  const lowered = await lowerFiles('name: my_shop\nservices: {My_Web: {image: w}, "1st": {image: w}}\n')
  assert.deepEqual([lowered.names('Namespace'), lowered.names('Deployment')], [['my-shop'], ['my-web', 's-1st']])
  await assert.rejects(
    lowerFiles('services: {a_b: {image: w}, a-b: {image: w}}\n'),
    (e) => isError(e, 'conflict') && /both need the name "a-b"/.test(e.message),
  )
})

test('only the named services and what they need', async () => {
  const yaml = 'services:\n  web: {image: w, depends_on: [db]}\n  db: {image: d}\n  other: {image: o}\n'
  const lowered = await lowerFiles(yaml, { services: ['web'] })
  assert.deepEqual(
    lowered.waves.map((w) => w.map((x) => x.service)),
    [['db'], ['web']],
  )
  await assert.rejects(
    lowerFiles(yaml, { services: ['wbe'] }),
    (e) => isError(e, 'not-found') && e.message === 'no such service: wbe' && /web/.test(e.hint!),
  )
})

test('the same project gives the same objects', async () => {
  const yaml = 'services: {web: {image: w, environment: {B: "2", A: "1"}, ports: ["80:80"]}}\n'
  const [one, two] = [await lowerFiles(yaml), await lowerFiles(yaml.replace('B: "2", A: "1"', 'A: "1", B: "2"'))]
  const templates = (l: typeof one): string => JSON.stringify(l.objects.slice(1))
  assert.equal(templates(one), templates(two), 'the order of variables in the file does not matter')
})

test('two services cannot publish one port', async () => {
  const of = async (a: string, b: string): Promise<string[]> =>
    (await lowerFiles(`services: {a: {image: a, ports: ["${a}"]}, b: {image: b, ports: ["${b}"]}}\n`)).said
  assert.deepEqual(await of('80:80', '80:81'), ['refuse services.b.ports.0: port 80/tcp is published by "a" too'])
  assert.equal((await of('80:80', '127.0.0.1:80:81')).length, 1)
  assert.deepEqual(await of('80:80', '80:80/udp'), [])
  assert.deepEqual(await of('127.0.0.1:80:80', '127.0.0.2:80:80'), [])
})

test('keys of build that the builder has no use for are reported', async () => {
  const { said } = await lowerWeb(
    'build: {context: ., cache_from: [a], provenance: true, isolation: process, platforms: [linux/amd64, linux/arm64]}',
  )
  assert.deepEqual(
    said.map((s) => s.split(':')[0]),
    ['warn services.web.build.isolation'],
  )
})
