/** kubectl against the API server and door, where no kubelet or controller is needed. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Node } from '../../src/spec/kube/kinds.ts'
import { type KubeSetup, kubeSetup } from './kube-setup.ts'
import { type Kubectl, kubectl, kubectls } from './kubectl-run.ts'

const setup: KubeSetup = await kubeSetup()
after(() => setup.close())
before(async () => {
  const labels = { 'kubernetes.io/hostname': 'node' }
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node', labels } }
  const made = await setup.client.create(Node, node as never)
  const capacity = { cpu: '2', memory: '4Gi', pods: '110' }
  await setup.client.updateStatus(Node, { ...made, status: { capacity, allocatable: capacity } } as never)
  await setup.runningPod('measured')
  const containers = [{ name: 'app', cpuNanocores: 12_000_000, memoryBytes: 34 * 1024 * 1024 }]
  const sample = {
    namespace: 'default',
    name: 'measured',
    labels: { app: 'measured' },
    time: Date.now(),
    window: 15_000,
  }
  setup.node.usage = [{ ...sample, containers }]
})

const manifest = (image: string): string => `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: ${image}, ports: [{containerPort: 80}]}
`

/** kubectl within a namespace of its own. */
const objectTests = (run: Kubectl, version: string): void => {
  const ns = `t${version.replace(/\D/g, '') || '0'}`
  const inside = (...args: string[]) => run.ok('-n', ns, ...args)
  const file = join(setup.directory, `${ns}.yaml`)
  const put = (text: string): string => {
    writeFileSync(file, text)
    return file
  }

  test('version and discovery', async () => {
    assert.match(await run.ok('version'), /v1\.33\.\d+\+slipway/)
    const resources = await run.ok('api-resources')
    for (const line of [/^configmaps +cm +v1 +true +ConfigMap$/m, /^deployments +deploy +apps\/v1 +true/m]) {
      assert.match(resources, line)
    }
    assert.match(await run.ok('api-versions'), /^networking.k8s.io\/v1$/m)
    assert.match(await run.ok('cluster-info'), /Kubernetes control plane.* is running at/)
    assert.equal(await run.ok('get', '--raw', '/readyz'), 'ok')
  })

  test('create: the typed objects, protobuf where the client sends it', async () => {
    await run.ok('create', 'namespace', ns)
    const made = [
      ['configmap', 'c', '--from-literal=a=b'],
      ['secret', 'generic', 's', '--from-literal=user=me'],
      ['serviceaccount', 'sa'],
      ['deployment', 'd', '--image=img', '--replicas=3', '--port=80'],
      ['job', 'j', '--image=img', '--', 'sh', '-c', 'true'],
      ['cronjob', 'cj', '--image=img', '--schedule=*/5 * * * *', '--', 'date'],
      ['role', 'r', '--verb=get,list', '--resource=pods'],
      ['rolebinding', 'rb', '--role=r', `--serviceaccount=${ns}:sa`],
      ['service', 'clusterip', 'svc', '--tcp=80:8080'],
      ['service', 'nodeport', 'np', '--tcp=80'],
      ['ingress', 'ing', '--rule=example.com/*=svc:80'],
      ['poddisruptionbudget', 'pdb', '--selector=app=d', '--min-available=1'],
      ['quota', 'q', '--hard=pods=100'],
    ]
    for (const args of made) await inside('create', ...args)
    await run.ok('create', 'clusterrole', `${ns}-cr`, '--verb=get', '--resource=nodes')
    await run.ok('create', 'priorityclass', `${ns}-pc`, '--value=10')
    await inside('autoscale', 'deployment', 'd', '--min=1', '--max=5', '--cpu-percent=80')
    await inside('expose', 'deployment', 'd', '--port=80', '--name=exposed')
    await inside('run', 'single', '--image=img', '--restart=Never', '--labels=app=single', '--env=A=b')
    assert.equal(await inside('get', 'cm', 'c', '-o', 'jsonpath={.data.a}'), 'b')
    assert.equal(await inside('get', 'secret', 's', '-o', 'jsonpath={.data.user}'), 'bWU=')
    assert.equal(
      await inside(
        'get',
        'deploy',
        'd',
        '-o',
        'jsonpath={.spec.replicas} {.spec.template.spec.containers[0].ports[0].containerPort}',
      ),
      '3 80',
    )
    assert.equal(await inside('get', 'svc', 'svc', '-o', 'jsonpath={.spec.ports[0].targetPort}'), '8080')
    assert.equal(
      await inside('get', 'ing', 'ing', '-o', 'jsonpath={.spec.rules[0].http.paths[0].backend.service.port.number}'),
      '80',
    )
    assert.equal(await inside('get', 'pdb', 'pdb', '-o', 'jsonpath={.spec.minAvailable}'), '1')
    assert.equal(
      await inside('get', 'cj', 'cj', '-o', 'jsonpath={.spec.jobTemplate.spec.template.spec.restartPolicy}'),
      'OnFailure',
    )
    assert.match((await run('-n', ns, 'create', 'configmap', 'c')).stderr, /configmaps "c" already exists/)
    const dry = await inside('create', 'deployment', 'dry', '--image=img', '--dry-run=server', '-o', 'name')
    assert.equal(dry, 'deployment.apps/dry\n')
    assert.match((await run('-n', ns, 'get', 'deploy', 'dry')).stderr, /deployments.apps "dry" not found/)
  })

  test('get: tables, wide, selectors, sorting, all, custom columns', async () => {
    assert.match(await inside('get', 'deploy', 'd'), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nd +0\/3 +0 +0 +\d/)
    assert.match(await inside('get', 'deploy', 'd', '-o', 'wide'), /CONTAINERS +IMAGES +SELECTOR/)
    assert.match(
      await run.ok('get', 'pods', '-n', 'default', '--show-labels'),
      /measured +1\/1 +Running +0 +.*app=measured/,
    )
    assert.equal(
      await inside('get', 'svc', '--sort-by=.metadata.name', '-o', 'name'),
      'service/exposed\nservice/np\nservice/svc\n',
    )
    assert.match(await inside('get', 'svc', '--sort-by=.metadata.name'), /exposed[\s\S]*np[\s\S]*svc/)
    assert.equal(await run.ok('get', 'pods', '-A', '-l', 'app=measured', '-o', 'name'), 'pod/measured\n')
    assert.match(
      await inside('get', 'all'),
      /deployment.apps\/d[\s\S]*cronjob.batch\/cj|cronjob.batch\/cj[\s\S]*deployment.apps\/d/,
    )
    assert.equal(await inside('get', 'cm', 'c', '-o', 'custom-columns=N:.metadata.name', '--no-headers'), 'c\n')
    assert.match((await run('get', 'nonsense')).stderr, /the server doesn't have a resource type "nonsense"/)
  })

  test('apply: create, unchanged, changed, pruned fields; server side; conflicts', async () => {
    put(manifest('one'))
    assert.equal(await inside('apply', '-f', file), 'service/web created\ndeployment.apps/web created\n')
    assert.equal(await inside('apply', '-f', file), 'service/web unchanged\ndeployment.apps/web unchanged\n')
    put(manifest('two').replace('replicas: 2', 'replicas: 4'))
    assert.match((await run('-n', ns, 'diff', '-f', file)).stdout, /^-.*image: one\n\+.*image: two$/m)
    assert.equal(await inside('apply', '-f', file), 'service/web unchanged\ndeployment.apps/web configured\n')
    assert.equal(
      await inside('get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}'),
      'two',
    )
    const server = ['apply', '--server-side', '--field-manager=mine', '-f']
    const map = (a: string): string =>
      put(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: '${a}'}\n`)
    assert.equal(await inside(...server, map('1')), 'configmap/ssa serverside-applied\n')
    const other = await run('-n', ns, 'apply', '--server-side', '--field-manager=other', '-f', map('2'))
    assert.match(other.stderr, /conflict with "mine"[\s\S]*\.data\.a/)
    await inside('apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', file)
    assert.equal(await inside('get', 'cm', 'ssa', '-o', 'jsonpath={.data.a}'), '2')
  })

  test('strict validation: unknown fields and wrong values', async () => {
    const unknown = put('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndta: {a: b}\n')
    assert.match((await run('-n', ns, 'apply', '-f', unknown)).stderr, /unknown field "dta"/)
    const wrong = put(
      manifest('x').replace('containerPort: 80', 'containerPort: 99999').replaceAll('name: web', 'name: wrong'),
    )
    assert.match(
      (await run('-n', ns, 'apply', '-f', wrong)).stderr,
      /containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 99999/,
    )
  })

  test('patch, label, annotate, scale, set image, taint, replace', async () => {
    await inside('patch', 'deploy', 'web', '-p', '{"spec":{"minReadySeconds":3}}')
    await inside(
      'patch',
      'deploy',
      'web',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/minReadySeconds","value":4}]',
    )
    await inside('patch', 'deploy', 'web', '--type=merge', '-p', '{"metadata":{"annotations":{"x":"y"}}}')
    await inside('label', 'deploy', 'web', 'tier=front')
    await inside('annotate', 'deploy', 'web', 'x-')
    await inside('scale', 'deploy', 'web', '--replicas=7')
    await inside('set', 'image', 'deploy/web', 'web=three')
    await inside('set', 'env', 'deploy/web', 'A=1')
    const path =
      'jsonpath={.spec.minReadySeconds} {.metadata.labels.tier} {.metadata.annotations.x} {.spec.replicas} {.spec.template.spec.containers[0].image}'
    assert.equal(await inside('get', 'deploy', 'web', '-o', path), '4 front  7 three')
    await run.ok('taint', 'node', 'node', `${ns}=1:NoSchedule`)
    await run.ok('taint', 'node', 'node', `${ns}-`)
    await run.ok('cordon', 'node')
    await run.ok('uncordon', 'node')
    const got = await inside('get', 'cm', 'c', '-o', 'yaml')
    await inside('replace', '-f', put(got.replace('a: b', 'a: replaced')))
    assert.equal(await inside('get', 'cm', 'c', '-o', 'jsonpath={.data.a}'), 'replaced')
  })

  test('wait, watch and rollout on what others change', async () => {
    const waiting = run('-n', ns, 'wait', '--for=jsonpath={.data.done}=yes', 'cm/c', '--timeout=10s')
    const gone = run('-n', ns, 'wait', '--for=delete', 'cm/ssa', '--timeout=10s')
    await new Promise((resolve) => setTimeout(resolve, 300))
    await inside('patch', 'cm', 'c', '-p', '{"data":{"done":"yes"}}')
    await inside('delete', 'cm', 'ssa')
    assert.equal((await waiting).code, 0, (await waiting).stderr)
    assert.equal((await gone).code, 0, (await gone).stderr)
    const watching = run.start('-n', ns, 'get', 'cm', '-w', '-o', 'name')
    let seen = ''
    watching.stdout!.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
    try {
      await new Promise((resolve) => setTimeout(resolve, 500))
      await inside('create', 'configmap', 'late')
      for (let i = 0; i < 50 && !seen.includes('configmap/late'); i++) await new Promise((r) => setTimeout(r, 50))
      assert.match(seen, /configmap\/late/)
    } finally {
      watching.kill('SIGKILL')
    }
    await inside('rollout', 'restart', 'deploy/web')
    await inside('rollout', 'pause', 'deploy/web')
    await inside('rollout', 'resume', 'deploy/web')
    const status = await run('-n', ns, 'rollout', 'status', 'deploy/web', '--timeout=1s')
    assert.match(status.stdout + status.stderr, /Waiting for deployment|timed out/)
  })

  test('explain, from OpenAPI v3', async () => {
    const explained = await run.ok('explain', 'deployment.spec.strategy')
    assert.match(explained, /rollingUpdate/)
    assert.match(await run.ok('explain', 'pods.spec.containers.ports'), /containerPort/)
  })

  test('describe, events, top', async () => {
    assert.match(await inside('describe', 'deploy', 'web'), /Replicas: +7 desired/)
    assert.match(await run.ok('describe', 'node', 'node'), /Capacity:[\s\S]*cpu: +2/)
    assert.match(await run.ok('describe', 'pod', 'measured'), /Status: +Running/)
    const events = await run('-n', ns, 'events')
    assert.match(events.stdout + events.stderr, /No events found|LAST SEEN/)
    assert.match(await run.ok('top', 'pods'), /measured +12m +34Mi/)
    assert.match(await run.ok('top', 'pods', '--containers', '-l', 'app=measured'), /measured +app +12m +34Mi/)
    assert.match(await run.ok('top', 'nodes'), /node +250m +12% +512Mi +12%/)
  })

  test('auth: can-i, whoami, impersonation, tokens', async () => {
    assert.equal(await run.ok('auth', 'can-i', 'create', 'pods'), 'yes\n')
    const account = `system:serviceaccount:${ns}:sa`
    assert.equal(await inside('auth', 'can-i', 'list', 'pods', '--as', account), 'yes\n')
    assert.match((await run('-n', ns, 'auth', 'can-i', 'delete', 'pods', '--as', account)).stdout, /^no/)
    const denied = await run('-n', ns, 'get', 'secrets', '--as', account)
    assert.match(
      denied.stderr,
      new RegExp(
        `secrets is forbidden: User "${account}" cannot list resource "secrets" in API group "" in the namespace "${ns}"`,
      ),
    )
    const execDenied = await run('exec', 'measured', '--as', account, '--', 'true')
    assert.match(execDenied.stderr, /forbidden/)
    assert.match(await inside('auth', 'can-i', '--list', '--as', account), /pods +\[\] +\[\] +\[get list\]/)
    if (!version.endsWith('1.27')) assert.match(await run.ok('auth', 'whoami'), /kubernetes-admin/)
    const token = (await inside('create', 'token', 'sa')).trim()
    const bare = ['--kubeconfig=/dev/null', `--server=${setup.url}`, '--insecure-skip-tls-verify', `--token=${token}`]
    assert.match((await run(...bare, '-n', ns, 'get', 'pods')).stdout, /single/)
    assert.match((await run(...bare, '-n', ns, 'get', 'cm')).stderr, /forbidden/)
    const stranger = [
      '--kubeconfig=/dev/null',
      `--server=${setup.url}`,
      '--insecure-skip-tls-verify',
      '--token=nonsense',
    ]
    assert.match((await run(...stranger, 'get', 'pods')).stderr, /must be logged in|Unauthorized/)
  })

  test('delete: by name, by file, by label, the namespace', async () => {
    assert.match(await inside('delete', 'cm', 'c'), /^configmap "c" deleted/)
    await inside('delete', 'deploy', 'd', '--cascade=orphan', '--wait=false')
    await inside('delete', 'svc', '-l', 'app=d')
    assert.match((await run('-n', ns, 'delete', 'cm', 'c')).stderr, /configmaps "c" not found/)
    await inside('delete', 'cm', '--all')
    await inside('delete', '-f', put(manifest('x')), '--wait=false')
    await run.ok('delete', 'ns', ns, '--wait=false')
  })
}

for (const { name, path } of kubectls()) {
  const run = kubectl(path, setup.kubeconfig, join(setup.directory, name))
  describe(`${name}: objects`, () => objectTests(run, name))
}
