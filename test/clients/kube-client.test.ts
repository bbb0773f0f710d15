import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { createHttpClient, loadKubeconfig } from '../../src/clients/kube/index.ts'
import { isError } from '../../src/errors.ts'
import { objectClientSuite } from '../../src/spec/kube/client.suite.ts'
import type { ObjectClient } from '../../src/spec/kube/client.ts'
import { ConfigMap, Deployment, type KubeObject, Namespace } from '../../src/spec/kube/kinds.ts'
import { type KubeSetup, kubeSetup } from './kube-setup.ts'

const setup: KubeSetup = await kubeSetup()
const overTls = createHttpClient(await loadKubeconfig({ path: setup.kubeconfig, env: {} }))
const overSocket = createHttpClient({ socketPath: setup.socket })
before(async () => {
  await setup.runningPod('one')
})
after(async () => {
  overTls.close()
  overSocket.close()
  await setup.close()
})

const map = (name: string, data: Record<string, string>) =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data }) as never

const clientTests = (client: ObjectClient, prefix: string): void => {
  test('objects: create, get, update, patch, apply, list, delete', async () => {
    const name = `${prefix}-map`
    const made = await client.create(ConfigMap, map(name, { a: '1' }))
    assert.equal(made.metadata.name, name)
    assert.equal((await client.get(ConfigMap, { namespace: 'default', name }))?.data?.a, '1')
    assert.equal(await client.get(ConfigMap, { namespace: 'default', name: 'none' }), undefined)
    await assert.rejects(client.create(ConfigMap, map(name, {})), (e) => isError(e, 'already-exists'))
    const updated = await client.update(ConfigMap, { ...made, data: { a: '2' } })
    await assert.rejects(client.update(ConfigMap, { ...made, data: { a: '3' } }), (e) => isError(e, 'conflict'))
    assert.notEqual(updated.metadata.resourceVersion, made.metadata.resourceVersion)
    const patched = await client.patch(
      ConfigMap,
      { namespace: 'default', name },
      { type: 'merge', body: { data: { b: 'x' } } },
    )
    assert.deepEqual(patched.data, { a: '2', b: 'x' })
    const json = [{ op: 'remove', path: '/data/b' }]
    assert.deepEqual((await client.patch(ConfigMap, { name }, { type: 'json', body: json })).data, { a: '2' })
    const dry = await client.create(ConfigMap, map(`${name}-dry`, {}), { dryRun: true })
    assert.equal(dry.metadata.name, `${name}-dry`)
    const list = await client.list(ConfigMap, { namespace: 'default', fields: `metadata.name=${name}` })
    assert.equal(list.items.length, 1)
    assert.equal(list.items[0]!.kind, 'ConfigMap')
    assert.ok(Number(list.resourceVersion) > 0)
    await client.delete(ConfigMap, { namespace: 'default', name })
    assert.equal(await client.delete(ConfigMap, { namespace: 'default', name }), undefined)
    const invalid = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'bad', namespace: 'default' },
      spec: {},
    }
    await assert.rejects(client.create(Deployment, invalid as unknown as KubeObject as never), (e) => {
      assert.ok(isError(e, 'invalid', 'bad-request'))
      assert.equal((e.details as { kind: string }).kind, 'Status')
      return true
    })
    assert.ok((await client.get(Namespace, { name: 'default' }))?.metadata.uid)
  })

  test('watch: from now, resumed, ended by abort', async () => {
    const name = `${prefix}-watched`
    const stop = new AbortController()
    const { resourceVersion } = await client.list(ConfigMap, { namespace: 'default' })
    const seen: string[] = []
    const watching = (async () => {
      const options = { namespace: 'default', resourceVersion, signal: stop.signal }
      for await (const event of client.watch(ConfigMap, options)) {
        if (event.type === 'BOOKMARK') continue
        seen.push(`${event.type} ${event.object.metadata.name}`)
        if (event.type === 'DELETED') stop.abort()
      }
    })()
    await client.create(ConfigMap, map(name, { a: '1' }))
    await client.patch(ConfigMap, { name }, { type: 'merge', body: { data: { a: '2' } } })
    await client.delete(ConfigMap, { name })
    await watching
    assert.deepEqual(seen, [`ADDED ${name}`, `MODIFIED ${name}`, `DELETED ${name}`])
  })

  test('exec: streams, exit codes, errors', async () => {
    const plain = { container: 'app', stdin: true, stdout: true, stderr: true, tty: false }
    const session = await client.exec({ name: 'one' }, { ...plain, command: ['sh', '-c', 'cat; echo err >&2; exit 3'] })
    session.stdin!.end('through')
    assert.equal(await text(session.stdout!), 'through')
    assert.equal(await text(session.stderr!), 'err\n')
    assert.equal((await session.exited).exitCode, 3)
    const fine = await client.exec({ name: 'one' }, { ...plain, stdin: false, command: ['true'] })
    assert.equal((await fine.exited).exitCode, 0)
    await assert.rejects(client.exec({ name: 'none' }, { ...plain, command: ['true'] }), (e) => isError(e, 'not-found'))
    const missing = await client.exec({ name: 'one' }, { ...plain, command: ['/no/such'] })
    await assert.rejects(missing.exited, /executable file not found/)
  })

  test('exec: closing the session ends the program; resizing reaches it', async () => {
    setup.node.calls.length = 0
    setup.node.sizes.length = 0
    const options = { container: 'app', stdin: true, stdout: true, stderr: false, tty: true, command: ['cat'] }
    const session = await client.exec({ name: 'one' }, options)
    session.resize({ width: 120, height: 40 })
    session.stdin!.write('x')
    await once(session.stdout!, 'data')
    session.close()
    await assert.rejects(session.exited, (e) => isError(e, 'unavailable'))
    for (let i = 0; i < 50 && !setup.node.calls.includes('close'); i++) await new Promise((r) => setTimeout(r, 20))
    assert.ok(setup.node.calls.includes('close'))
    assert.deepEqual(setup.node.sizes, [{ width: 120, height: 40 }])
  })

  test('logs, followed and not', async () => {
    const chunks: string[] = []
    for await (const chunk of client.logs({ name: 'one' }, { tailLines: 1 })) chunks.push(chunk.toString())
    assert.equal(chunks.join(''), 'line 10\n')
    const stop = new AbortController()
    let followed = ''
    for await (const chunk of client.logs({ name: 'one' }, { follow: true, tailLines: 0, signal: stop.signal })) {
      followed += chunk.toString()
      stop.abort()
    }
    assert.equal(followed, 'tick 0\n')
  })

  test('port-forward: data both ways, half close, refusal', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.write('hello ')
      socket.pipe(socket)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const stream = await client.portForward({ name: 'one' }, port)
    stream.end('there')
    assert.equal(await text(stream), 'hello there')
    server.close()
    await once(server, 'close')
    const refused = await client.portForward({ name: 'one' }, port)
    await assert.rejects(text(refused), /ECONNREFUSED/)
    await assert.rejects(client.portForward({ name: 'none' }, port), (e) => isError(e, 'not-found'))
  })

  test('version', async () => {
    assert.match((await client.version()).gitVersion, /^v1\.33\./)
  })
}

for (const [name, open] of [
  ['HTTP over TLS', async () => createHttpClient(await loadKubeconfig({ path: setup.kubeconfig, env: {} }))],
  ['HTTP over the unix socket', async () => createHttpClient({ socketPath: setup.socket })],
] as const) {
  objectClientSuite(name, async () => {
    const client = await open()
    return { client, close: async () => client.close() }
  })
}

describe('ObjectClient over TLS', () => clientTests(overTls, 'tls'))
describe('ObjectClient over the unix socket', () => clientTests(overSocket, 'sock'))

test('who may: wrong authority, no certificate, no server', async () => {
  const ca = setup.certificates.ca
  const nobody = createHttpClient({ server: setup.url, ca })
  await assert.rejects(nobody.list(ConfigMap), (e) => isError(e, 'unauthorized'))
  assert.match((await nobody.version()).gitVersion, /slipway/)
  const distrustful = createHttpClient({ server: setup.url })
  await assert.rejects(distrustful.version(), (e) => isError(e, 'unavailable') && /certificate/.test(e.hint ?? ''))
  const lost = createHttpClient({ server: 'https://127.0.0.1:1', ca })
  await assert.rejects(lost.version(), (e) => isError(e, 'unavailable'))
  assert.ok(readFileSync(setup.kubeconfig, 'utf8').includes(setup.url))
})
