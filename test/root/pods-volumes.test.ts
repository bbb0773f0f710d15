import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Cluster as Instance, Cluster, eventually, idle, image, shellPod, stateOf } from './pods-kit.ts'

let cluster: Instance
before(async () => {
  cluster = await Cluster.start('pods-vol')
})
after(() => cluster?.remove())

const object = (kind: string, name: string, more: object): object => ({
  apiVersion: 'v1',
  kind,
  metadata: { name },
  ...more,
})
const claim = (name: string): object =>
  object('PersistentVolumeClaim', name, {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  })

describe('what a container is given', { concurrency: 4 }, () => {
  it('environment: values, references, expansion, ConfigMaps, Secrets, fields, resources', async () => {
    await cluster.apply(
      object('ConfigMap', 'settings', { data: { COLOR: 'red', SIZE: 'big' } }),
      object('Secret', 'keys', { stringData: { KEY: 's3cret' } }),
      shellPod(
        'env',
        idle,
        {},
        {
          command: ['sh', '-c', `echo '$(GREETING) $(ABSENT) $$(GREETING)'; env | sort; ${idle}`],
          resources: { requests: { cpu: '250m', memory: '32Mi' }, limits: { memory: '64Mi' } },
          envFrom: [
            { configMapRef: { name: 'settings' }, prefix: 'CM_' },
            { secretRef: { name: 'absent', optional: true } },
          ],
          env: [
            { name: 'NAME', value: 'world' },
            { name: 'GREETING', value: 'hello $(NAME) $$(NAME) $(NOPE) $(CM_COLOR)' },
            { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'KEY' } } },
            { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: 'NODE_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'requests.cpu', divisor: '1m' } } },
            { name: 'MEM', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            { name: 'CORES', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
          ],
        },
      ),
      shellPod(
        'env-missing',
        idle,
        {},
        { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'later', key: 'x' } } }] },
      ),
    )
    const pod = await cluster.ready('env')
    const log = await cluster.kubectl('logs', 'env')
    assert.match(log, /^hello world \$\(NAME\) \$\(NOPE\) red \$\(ABSENT\) \$\(GREETING\)\n/)
    for (const line of [
      'CM_SIZE=big',
      'KEY=s3cret',
      'POD=env',
      'APP=env',
      `IP=${pod.status.podIP}`,
      'CPU=250',
      'MEM=64',
      `NODE_IP=${pod.status.hostIP}`,
    ])
      assert.ok(log.includes(`\n${line}\n`), line)
    assert.match(log, /\nCORES=[1-9]\d*\n/)
    assert.match(log, /\nKUBERNETES_SERVICE_HOST=\d/)
    const waiting = await cluster.until(
      'env-missing',
      (p) => stateOf(p)?.state.waiting?.reason === 'CreateContainerConfigError',
    )
    assert.equal(stateOf(waiting).state.waiting.message, 'configmap "later" not found')
    await cluster.apply(object('ConfigMap', 'later', { data: { x: '1' } }))
    await cluster.ready('env-missing')
  })

  it('projected files: modes, items, links swapped when they change', async () => {
    await cluster.apply(
      object('ConfigMap', 'files', { data: { 'a.conf': 'one', 'b.conf': 'two' } }),
      object('Secret', 'hidden', { stringData: { token: 'abc' } }),
      shellPod(
        'files',
        idle,
        {
          volumes: [
            { name: 'cm', configMap: { name: 'files', items: [{ key: 'a.conf', path: 'sub/renamed', mode: 0o400 }] } },
            { name: 'all', configMap: { name: 'files' } },
            { name: 'sec', secret: { secretName: 'hidden', defaultMode: 0o440 } },
            { name: 'none', configMap: { name: 'absent', optional: true } },
            {
              name: 'info',
              downwardAPI: {
                items: [
                  { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
                  { path: 'mem', resourceFieldRef: { containerName: 'c', resource: 'limits.memory' } },
                ],
              },
            },
          ],
        },
        {
          resources: { limits: { memory: '64Mi' } },
          volumeMounts: [
            { name: 'cm', mountPath: '/cm' },
            { name: 'all', mountPath: '/all' },
            { name: 'all', mountPath: '/etc/one.conf', subPath: 'a.conf' },
            { name: 'sec', mountPath: '/sec' },
            { name: 'none', mountPath: '/none' },
            { name: 'info', mountPath: '/info' },
          ],
        },
      ),
    )
    await cluster.ready('files')
    const out = await cluster.sh(
      'files',
      'stat -L -c %a /cm/sub/renamed /all/a.conf /sec/token; cat /cm/sub/renamed /all/b.conf /sec/token /etc/one.conf; echo; ls /none | wc -l; cat /info/labels; echo; cat /info/mem; echo; touch /all/x 2>&1 || true',
    )
    assert.match(out, /^400\n644\n440\nonetwoabcone\n0\napp="files"\n67108864\n.*Read-only file system\n$/)
    await cluster.apply(object('ConfigMap', 'files', { data: { 'a.conf': 'new', 'c.conf': 'three' } }))
    await cluster.kubectl('label', 'pod', 'files', 'colour=blue')
    await eventually(
      'files follow',
      async () => (await cluster.sh('files', 'cat /all/a.conf /all/c.conf; ls /all')) === 'newthreea.conf\nc.conf\n',
    )
    await eventually('labels follow', async () =>
      (await cluster.sh('files', 'cat /info/labels')).includes('colour="blue"'),
    )
    assert.equal(await cluster.sh('files', 'cat /etc/one.conf'), 'one') // a sub-path never follows
  })

  it('a missing ConfigMap keeps the pod waiting, and lets it go on', async () => {
    await cluster.apply(
      shellPod(
        'waits',
        idle,
        { volumes: [{ name: 'v', configMap: { name: 'coming' } }] },
        { volumeMounts: [{ name: 'v', mountPath: '/v' }] },
      ),
    )
    await eventually('event', async () =>
      /FailedMount.*MountVolume.SetUp failed for volume "v" : configmap "coming" not found/.test(
        await cluster.events('waits'),
      ),
    )
    await cluster.apply(object('ConfigMap', 'coming', { data: { k: 'v' } }))
    await cluster.ready('waits')
  })

  it('emptyDir on disk and in memory, sub-paths, fsGroup; kept over restarts of a container', async () => {
    await cluster.apply(
      claim('owned'),
      shellPod(
        'dirs',
        'echo run >> /disk/log; trap "exit 0" TERM; while [ ! -e /disk/die ]; do sleep 0.1; done; rm /disk/die; exit 1',
        {
          securityContext: { fsGroup: 2000, runAsUser: 1000, runAsGroup: 3000 },
          volumes: [
            { name: 'disk', emptyDir: {} },
            { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
            { name: 'pvc', persistentVolumeClaim: { claimName: 'owned' } },
            { name: 'host', hostPath: { path: `${cluster.home}/host/made`, type: 'DirectoryOrCreate' } },
          ],
        },
        {
          volumeMounts: [
            { name: 'disk', mountPath: '/disk' },
            { name: 'disk', mountPath: '/part', subPathExpr: 'parts/$(WHO)' },
            { name: 'mem', mountPath: '/mem' },
            { name: 'pvc', mountPath: '/pvc' },
            { name: 'host', mountPath: '/host', readOnly: true },
          ],
          env: [{ name: 'WHO', value: 'me' }],
        },
      ),
      shellPod(
        'wrong-type',
        idle,
        { volumes: [{ name: 'h', hostPath: { path: '/etc', type: 'File' } }] },
        { volumeMounts: [{ name: 'h', mountPath: '/h' }] },
      ),
    )
    await cluster.ready('dirs')
    const out = await cluster.sh(
      'dirs',
      'id; touch /disk/f /mem/f /pvc/f /part/f; stat -c "%u:%g" /disk/f /mem/f /pvc/f /part/f; ls /disk/parts/me; mount | grep -c " /mem type tmpfs"; touch /host/f 2>&1; dd if=/dev/zero of=/mem/big bs=1M count=2 2>&1 | head -1',
    )
    assert.match(out, /^uid=1000\(app\) gid=3000 groups=2000/)
    assert.match(out, /\n1000:2000\n1000:2000\n1000:2000\n1000:2000\nf\n1\n.*Read-only file system\n.*No space left/)
    await cluster.sh('dirs', 'touch /disk/die')
    await cluster.until('dirs', (p) => stateOf(p).restartCount === 1 && stateOf(p).state.running)
    assert.equal(await cluster.sh('dirs', 'cat /disk/log'), 'run\nrun\n')
    await eventually('type', async () =>
      /hostPath type check failed: \/etc is not a file/.test(await cluster.events('wrong-type')),
    )
  })

  it('claims keep their data from pod to pod', async () => {
    const user = (name: string, command: string): object =>
      shellPod(
        name,
        command,
        { restartPolicy: 'Never', volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'data' } }] },
        { volumeMounts: [{ name: 'd', mountPath: '/d' }] },
      )
    await cluster.apply(claim('data'), user('writer', 'echo kept > /d/f'))
    await cluster.until('writer', (p) => p.status.phase === 'Succeeded')
    await cluster.apply(user('reader', 'cat /d/f'))
    await cluster.until('reader', (p) => p.status.phase === 'Succeeded')
    assert.equal(await cluster.kubectl('logs', 'reader'), 'kept\n')
  })

  it('the runtime annotation: copy-up into an empty claim, owners of single files', async () => {
    const runtime = {
      version: 1,
      containers: {
        c: {
          copyUp: ['/data'],
          fileOwners: { '/run/key': { uid: 1000, gid: 1000 } },
          ulimits: [{ name: 'nofile', soft: 1234, hard: 2345 }],
        },
      },
    }
    const pod = shellPod(
      'annotated',
      idle,
      {
        volumes: [
          { name: 'd', persistentVolumeClaim: { claimName: 'copied' } },
          { name: 'k', secret: { secretName: 'key', defaultMode: 0o400 } },
        ],
      },
      {
        volumeMounts: [
          { name: 'd', mountPath: '/data' },
          { name: 'k', mountPath: '/run/key', subPath: 'key' },
        ],
      },
    ) as { metadata: object }
    await cluster.apply(claim('copied'), object('Secret', 'key', { stringData: { key: 'k' } }), {
      ...pod,
      metadata: { ...pod.metadata, annotations: { 'slipway.dev/runtime': JSON.stringify(runtime) } },
    })
    await cluster.ready('annotated')
    assert.equal(
      await cluster.sh('annotated', 'cat /data/from-image; stat -c "%u:%g %a" /run/key; ulimit -n'),
      'kept\n1000:1000 400\n1234\n',
    )
  })

  it('security contexts', async () => {
    await cluster.apply(
      shellPod(
        'secure',
        idle,
        {
          securityContext: {
            runAsUser: 1000,
            runAsNonRoot: true,
            sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '100' }],
          },
        },
        {
          securityContext: {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
          },
        },
      ),
      shellPod('rootless', idle, { securityContext: { runAsNonRoot: true } }),
      shellPod('mighty', idle, {}, { securityContext: { privileged: true } }),
    )
    await cluster.ready('secure')
    const out = await cluster.sh(
      'secure',
      'touch /x 2>&1; grep -E "CapBnd|NoNewPrivs|Seccomp:" /proc/1/status; cat /proc/sys/net/ipv4/ip_unprivileged_port_start',
    )
    assert.match(out, /Read-only file system\nCapBnd:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n100\n/)
    const refused = await cluster.until(
      'rootless',
      (p) => stateOf(p)?.state.waiting?.reason === 'CreateContainerConfigError',
    )
    assert.match(stateOf(refused).state.waiting.message, /^container has runAsNonRoot and image will run as root/)
    await cluster.ready('mighty')
    assert.match(
      await cluster.sh('mighty', 'ls /dev/kmsg /dev/mem 2>/dev/null | wc -l; grep Seccomp: /proc/1/status'),
      /^[12]\nSeccomp:\t0/,
    )
  })

  it('resources become limits of the cgroup', async () => {
    await cluster.apply(
      shellPod(
        'limited',
        idle,
        {},
        { resources: { requests: { cpu: '100m' }, limits: { cpu: '500m', memory: '64Mi' } } },
      ),
    )
    const pod = await cluster.ready('limited')
    assert.equal(pod.status.qosClass, 'Burstable')
    const id = stateOf(pod).containerID.replace('slipway://', '')
    const inspected = JSON.parse(await cluster.must(['docker', 'inspect', id]))[0].HostConfig
    assert.deepEqual([inspected.Memory, inspected.CpuQuota, inspected.CpuShares], [64 << 20, 50_000, 102])
  })

  it('a StatefulSet gives each pod a claim of its own', async () => {
    await cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'db' },
        spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ port: 80 }] },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: { name: 'db' },
        spec: {
          serviceName: 'db',
          replicas: 2,
          selector: { matchLabels: { app: 'db' } },
          template: {
            metadata: { labels: { app: 'db' } },
            spec: {
              terminationGracePeriodSeconds: 1,
              containers: [
                {
                  name: 'c',
                  image,
                  command: ['sh', '-c', `hostname >> /data/names; ${idle}`],
                  volumeMounts: [{ name: 'data', mountPath: '/data' }],
                },
              ],
            },
          },
          volumeClaimTemplates: [
            {
              metadata: { name: 'data' },
              spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
            },
          ],
        },
      },
    )
    await cluster.kubectl('rollout', 'status', 'statefulset/db', '--timeout=30s')
    await cluster.kubectl('delete', 'pod', 'db-1')
    await cluster.kubectl('rollout', 'status', 'statefulset/db', '--timeout=30s')
    await cluster.ready('db-1')
    assert.equal(await cluster.sh('db-1', 'cat /data/names'), 'db-1\ndb-1\n')
    assert.match(await cluster.sh('db-0', 'nslookup db-1.db.default.svc.cluster.local'), /Address: 10\./)
  })
})
