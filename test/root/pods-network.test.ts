import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { freePort } from '../scenarios/kit.ts'
import { type Cluster as Instance, Cluster, eventually, idle, image, shellPod, stateOf } from './pods-kit.ts'

let cluster: Instance
before(async () => {
  cluster = await Cluster.start('pods-net')
})
after(() => cluster?.remove())

const fetchText = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, agent: false, timeout: 3000 }, (res) => {
      let text = ''
      res.on('data', (chunk: Buffer) => (text += chunk.toString()))
      res.on('end', () => resolve(text))
    })
    req.on('error', reject)
    req.end()
  })

const serve = (port: number, text: string, host = ''): string =>
  `mkdir -p /w; echo ${text} > /w/index.html; httpd -f -p ${host}${port} -h /w`

describe('a pod among others', { concurrency: 4 }, () => {
  it('names: host name, subdomain, aliases, resolver', async () => {
    await cluster.apply(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'sub' },
        spec: { clusterIP: 'None', selector: { app: 'named' } },
      },
      shellPod('named', idle, {
        hostname: 'host',
        subdomain: 'sub',
        hostAliases: [{ ip: '10.1.2.3', hostnames: ['elsewhere', 'other'] }],
        dnsConfig: { searches: ['example.test'], options: [{ name: 'ndots', value: '2' }] },
      }),
      shellPod('own-dns', idle, { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.53'] } }),
    )
    const pod = await cluster.ready('named')
    const out = await cluster.sh('named', 'hostname; hostname -f; cat /etc/hosts /etc/resolv.conf')
    assert.match(out, /^host\nhost\.sub\.default\.svc\.cluster\.local\n/)
    assert.match(out, /\n10\.1\.2\.3\s+(elsewhere\s+other|elsewhere\n10\.1\.2\.3\s+other)\n/)
    assert.match(
      out,
      /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local .*example\.test\noptions ndots:2/,
    )
    await eventually('name', async () =>
      (await cluster.sh('named', 'nslookup host.sub.default.svc.cluster.local')).includes(pod.status.podIP),
    )
    await cluster.ready('own-dns')
    assert.match(await cluster.sh('own-dns', 'cat /etc/resolv.conf'), /^nameserver 192\.0\.2\.53\n/)
  })

  it('the namespaces of the machine, and of each other', async () => {
    await cluster.apply(
      shellPod('on-host', idle, { hostNetwork: true, hostPID: true, hostIPC: true }),
      shellPod('together', idle, {
        shareProcessNamespace: true,
        containers: [
          { name: 'c', image, command: ['sh', '-c', idle] },
          { name: 'd', image, command: ['sleep', '4321'] },
        ],
      }),
      shellPod('apart', idle, {
        containers: [
          { name: 'c', image, command: ['sh', '-c', serve(8080, 'shared')] },
          { name: 'd', image, command: ['sleep', '4321'] },
        ],
      }),
    )
    const host = await cluster.ready('on-host')
    assert.equal(host.status.podIP, host.status.hostIP)
    assert.match(await cluster.sh('on-host', 'ip addr'), new RegExp(host.status.hostIP.replaceAll('.', '\\.')))
    assert.ok(Number(await cluster.sh('on-host', 'ls -d /proc/[0-9]* | wc -l')) > 20)
    await cluster.ready('together')
    assert.match(await cluster.sh('together', 'ps'), /sleep 4321/)
    await cluster.ready('apart')
    assert.doesNotMatch(await cluster.sh('apart', 'ps', '-c', 'c'), /sleep 4321/)
    assert.equal(await cluster.sh('apart', 'wget -q -O- http://localhost:8080/', '-c', 'd'), 'shared\n')
  })

  it('a host port leads to the pod', async () => {
    const port = await freePort()
    await cluster.apply(
      shellPod(
        'ported',
        serve(8080, 'ported'),
        {},
        { ports: [{ containerPort: 8080, hostPort: port }], readinessProbe: { tcpSocket: { port: 8080 } } },
      ),
    )
    await cluster.ready('ported')
    assert.equal(await fetchText(port), 'ported\n')
  })

  it('kubectl port-forward reaches what listens on the loopback of the pod only', async () => {
    const port = await freePort()
    await cluster.apply(shellPod('inward', serve(8080, 'inward', '127.0.0.1:')))
    await cluster.ready('inward')
    const child = cluster.start(['kubectl', 'port-forward', 'pod/inward', `${port}:8080`])
    try {
      assert.equal(await eventually('answer', () => fetchText(port)), 'inward\n')
      assert.equal(await fetchText(port), 'inward\n')
    } finally {
      child.kill()
    }
  })

  it('pods reach the API with their token, as who they are', async () => {
    await cluster.apply(shellPod('client', idle))
    await cluster.kubectl(
      'create',
      'clusterrolebinding',
      'readers',
      '--clusterrole=view',
      '--serviceaccount=default:default',
    )
    const { metadata } = await cluster.ready('client')
    const dir = '/var/run/secrets/kubernetes.io/serviceaccount'
    const token = await cluster.sh('client', `cat ${dir}/token`)
    writeFileSync(join(cluster.home, 'ca.crt'), await cluster.sh('client', `cat ${dir}/ca.crt`))
    const service = (await cluster.get('service', 'kubernetes')).spec.clusterIP
    // busybox knows no elliptic curves: curl of this machine, in the pod's network.
    const ask = (path: string): Promise<string> =>
      cluster.must([
        'nsenter',
        `--net=${cluster.home}/run/sandboxes/${metadata.uid}/net`,
        'curl',
        '-sS',
        '-m',
        '5',
        '--cacert',
        join(cluster.home, 'ca.crt'),
        '--resolve',
        `kubernetes.default.svc:443:${service}`,
        '-H',
        `Authorization: Bearer ${token}`,
        `https://kubernetes.default.svc${path}`,
      ])
    assert.match(await ask('/api/v1/namespaces/default/pods/client'), /"name":"client"/)
    assert.match(
      await ask('/api/v1/namespaces/default/secrets'),
      /system:serviceaccount:default:default.* cannot list resource/,
    )
  })

  it('logs: tail, since, timestamps, all containers, previous, and following to the end', async () => {
    await cluster.apply(
      shellPod('talker', 'for i in 1 2 3 4 5; do echo line $i; done; sleep 8; echo end', {
        restartPolicy: 'Never',
        containers: [
          { name: 'c', image, command: ['sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done; sleep 8; echo end'] },
          { name: 'd', image, command: ['sh', '-c', 'echo other >&2'] },
        ],
      }),
    )
    await cluster.until('talker', (p) => stateOf(p)?.state.running && stateOf(p, 'd')?.state.terminated)
    const logs = (...args: string[]): Promise<string> => cluster.kubectl('logs', 'talker', ...args)
    const following = logs('-c', 'c', '-f', '--tail=2')
    assert.equal(await logs('-c', 'c', '--tail=2'), 'line 4\nline 5\n')
    assert.match(await logs('-c', 'c', '--timestamps', '--tail=1'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 5\n$/)
    assert.equal(await logs('-c', 'd'), 'other\n')
    assert.match(await logs('--all-containers', '--prefix'), /\[pod\/talker\/d\] other/)
    assert.equal(await logs('-c', 'c', '--limit-bytes=4'), 'line')
    assert.equal(await following, 'line 4\nline 5\nend\n')
    assert.equal(await logs('-c', 'c', '--since=5s'), 'end\n')
    const { stderr } = await cluster.run(['kubectl', 'logs', 'talker', '-c', 'c', '-p'])
    assert.match(stderr, /previous terminated container "c" in pod "talker" not found/)
  })

  it('exec, cp, attach and run', async () => {
    await cluster.apply(shellPod('worker', idle))
    await cluster.ready('worker')
    const { code } = await cluster.run(['kubectl', 'exec', 'worker', '--', 'sh', '-c', 'exit 7'])
    assert.equal(code, 7)
    const { stdout } = await cluster.run(['kubectl', 'exec', '-i', 'worker', '--', 'cat'], { input: 'through\n' })
    assert.equal(stdout, 'through\n')
    writeFileSync(join(cluster.home, 'copied'), 'copied\n')
    await cluster.kubectl('cp', join(cluster.home, 'copied'), 'worker:/tmp/copied')
    assert.equal(await cluster.sh('worker', 'cat /tmp/copied'), 'copied\n')
    const ran = await cluster.run(
      [
        'kubectl',
        'run',
        'once',
        `--image=${image}`,
        '-i',
        '--rm',
        '--restart=Never',
        '--',
        'sh',
        '-c',
        'read x; echo got $x; exit 0',
      ],
      { input: 'word\n' },
    )
    assert.match(ran.stdout, /got word/)
  })

  it('kubectl top knows nodes and pods, and the node is alive', async () => {
    await cluster.apply(shellPod('busy', 'while true; do :; done', {}, { resources: { limits: { cpu: '200m' } } }))
    await cluster.ready('busy')
    const line = await eventually(
      'top',
      async () => /busy\s+(\d+)m\s+(\d+)Mi/.exec(await cluster.kubectl('top', 'pods')) ?? undefined,
    )
    assert.ok(Number(line[1]) > 0 && Number(line[1]) < 300, line[0])
    assert.match(await cluster.kubectl('top', 'nodes'), /\d+m\s+\d+%\s+\d+Mi/)
    await cluster.kubectl('delete', 'pod', 'busy', '--now')
    const lease = async (): Promise<string> => {
      const { items } = JSON.parse(await cluster.kubectl('get', 'lease', '-n', 'kube-node-lease', '-o', 'json'))
      return items[0].spec.renewTime
    }
    const node = async (): Promise<string> =>
      JSON.parse(await cluster.kubectl('get', 'nodes', '-o', 'json')).items[0].metadata.resourceVersion
    const [first, version] = [await lease(), await node()]
    await eventually('lease renewed', async () => (await lease()) !== first, 12_000)
    assert.equal(await node(), version, 'a heartbeat is no write of the node')
  })
})
