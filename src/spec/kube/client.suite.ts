/** What every ObjectClient must do, whatever its body. Run it with `objectClientSuite(name, open)` from a test file. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { isError } from '../../errors.ts'
import type { ObjectClient, WatchEvent } from './client.ts'
import type { ConfigMap as ConfigMapObject, Deployment as DeploymentObject } from './generated/types.ts'
import { ConfigMap, Deployment, Namespace, Pod, ServiceAccount } from './kinds.ts'

export interface OpenClient {
  client: ObjectClient
  close(): Promise<void>
}

const map = (
  namespace: string,
  name: string,
  data: Record<string, string>,
  labels?: Record<string, string>,
): ConfigMapObject => ({
  metadata: { namespace, name, labels },
  data,
})
const deployment = (namespace: string, name: string, replicas = 1): DeploymentObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { namespace, name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'example/app:1' }] } },
  },
})
const texts = (events: WatchEvent<ConfigMapObject>[]): string[] =>
  events.flatMap((e) => (e.type === 'BOOKMARK' ? [] : [`${e.type} ${e.object.metadata.name}`]))

/** Reads a watch until `enough`, then ends it. */
const collect = async (
  client: ObjectClient,
  options: { namespace: string; labels?: string; fields?: string; resourceVersion?: string },
  enough: (events: WatchEvent<ConfigMapObject>[]) => boolean,
  meanwhile: () => Promise<void> = async () => {},
): Promise<WatchEvent<ConfigMapObject>[]> => {
  const stop = new AbortController()
  const timeout = setTimeout(() => stop.abort(), 10_000)
  const events: WatchEvent<ConfigMapObject>[] = []
  const reading = (async () => {
    for await (const event of client.watch(ConfigMap, { ...options, signal: stop.signal })) {
      events.push(event)
      if (enough(events)) stop.abort()
    }
  })()
  await meanwhile()
  await reading.catch((error) => {
    if (!stop.signal.aborted) throw error
  })
  clearTimeout(timeout)
  return events
}

export const objectClientSuite = (name: string, open: () => Promise<OpenClient>): void => {
  describe(`ObjectClient: ${name}`, () => {
    /** Each test has a namespace of its own. */
    const within = (title: string, body: (client: ObjectClient, namespace: string) => Promise<void>): void => {
      test(title, async () => {
        const { client, close } = await open()
        const namespace = `t-${randomBytes(4).toString('hex')}`
        try {
          await client.create(Namespace, { metadata: { name: namespace } })
          // On a real cluster a controller makes it.
          for (let i = 0; i < 100 && !(await client.get(ServiceAccount, { namespace, name: 'default' })); i++)
            await new Promise((done) => setTimeout(done, 50))
          await body(client, namespace)
        } finally {
          await client.delete(Namespace, { name: namespace })
          await close()
        }
      })
    }

    within('get of what is not there is undefined, delete of it too', async (client, namespace) => {
      assert.equal(await client.get(ConfigMap, { namespace, name: 'none' }), undefined)
      assert.equal(await client.delete(ConfigMap, { namespace, name: 'none' }), undefined)
      assert.equal(await client.getScale(Deployment, { namespace, name: 'none' }), undefined)
    })
    within('create gives identity; a second one already exists', async (client, namespace) => {
      const made = await client.create(ConfigMap, map(namespace, 'a', { x: '1' }))
      assert.ok(made.metadata.uid && made.metadata.resourceVersion && made.metadata.creationTimestamp)
      assert.deepEqual(await client.get(ConfigMap, { namespace, name: 'a' }), made)
      await assert.rejects(client.create(ConfigMap, map(namespace, 'a', {})), (e) => isError(e, 'already-exists'))
    })
    within('generateName makes a name', async (client, namespace) => {
      const made = await client.create(ConfigMap, { metadata: { namespace, generateName: 'x-' } })
      assert.match(made.metadata.name!, /^x-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
    })
    within('update with an old resourceVersion conflicts, without change writes nothing', async (client, namespace) => {
      const first = await client.create(ConfigMap, map(namespace, 'a', { x: '1' }))
      const second = await client.update(ConfigMap, { ...first, data: { x: '2' } })
      await assert.rejects(client.update(ConfigMap, { ...first, data: { x: '3' } }), (e) => isError(e, 'conflict'))
      const third = await client.update(ConfigMap, second)
      assert.equal(third.metadata.resourceVersion, second.metadata.resourceVersion)
    })
    within('an invalid object is refused with the field at fault', async (client, namespace) => {
      const bad = deployment(namespace, 'bad')
      bad.spec!.template.spec!.containers[0]!.image = ''
      await assert.rejects(client.create(Deployment, bad), (error) => {
        assert.ok(isError(error, 'invalid'))
        const { details } = error.details as { details: { causes: { field: string; message: string }[] } }
        assert.ok(
          details.causes.some(
            (c) => c.field === 'spec.template.spec.containers[0].image' && c.message === 'Required value',
          ),
        )
        return true
      })
    })
    within('dryRun answers but keeps nothing', async (client, namespace) => {
      const made = await client.create(ConfigMap, map(namespace, 'a', {}), { dryRun: true })
      assert.equal(made.metadata.name, 'a')
      assert.equal(await client.get(ConfigMap, { namespace, name: 'a' }), undefined)
    })
    within('status and spec are written apart; generation counts spec changes', async (client, namespace) => {
      const made = await client.create(Deployment, deployment(namespace, 'd'))
      assert.equal(made.metadata.generation, 1)
      const withStatus = await client.updateStatus(Deployment, {
        ...made,
        spec: { ...made.spec!, replicas: 7 },
        status: { replicas: 3 },
      })
      assert.equal(withStatus.status?.replicas, 3)
      assert.equal(withStatus.spec?.replicas, 1)
      assert.equal(withStatus.metadata.generation, 1)
    })
    within('patches: merge, strategic, json', async (client, namespace) => {
      await client.create(Deployment, deployment(namespace, 'd'))
      const key = { namespace, name: 'd' }
      const merged = await client.patch(Deployment, key, { type: 'merge', body: { metadata: { labels: { a: 'b' } } } })
      assert.equal(merged.metadata.labels?.a, 'b')
      const containers = [
        { name: 'main', env: [{ name: 'X', value: '1' }] },
        { name: 'side', image: 'example/side:1' },
      ]
      const strategic = await client.patch(Deployment, key, {
        type: 'strategic',
        body: { spec: { template: { spec: { containers } } } },
      })
      const shown = strategic.spec!.template.spec!.containers.map(
        (c) => `${c.name} ${c.image} ${c.env?.[0]?.name ?? '-'}`,
      )
      assert.deepEqual(shown.sort(), ['main example/app:1 X', 'side example/side:1 -'])
      const json = await client.patch(Deployment, key, {
        type: 'json',
        body: [{ op: 'replace', path: '/metadata/labels/a', value: 'c' }],
      })
      assert.equal(json.metadata.labels?.a, 'c')
      await assert.rejects(client.patch(Deployment, { namespace, name: 'no' }, { type: 'merge', body: {} }), (e) =>
        isError(e, 'not-found'),
      )
    })
    within('apply: merges, gives up what is left out, conflicts unless forced', async (client, namespace) => {
      const of = (data: Record<string, string>): ConfigMapObject => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { namespace, name: 'a' },
        data,
      })
      await client.apply(ConfigMap, of({ x: '1', y: '1' }), { fieldManager: 'one' })
      await client.apply(ConfigMap, of({ z: '1' }), { fieldManager: 'two' })
      const left = await client.apply(ConfigMap, of({ x: '1' }), { fieldManager: 'one' })
      assert.deepEqual(left.data, { x: '1', z: '1' })
      await assert.rejects(client.apply(ConfigMap, of({ x: '2' }), { fieldManager: 'two' }), (e) =>
        isError(e, 'conflict'),
      )
      const forced = await client.apply(ConfigMap, of({ x: '2' }), { fieldManager: 'two', force: true })
      assert.deepEqual(forced.data, { x: '2' })
    })
    within('list: selectors and pages', async (client, namespace) => {
      for (const [n, app] of [
        ['a', 'web'],
        ['b', 'web'],
        ['c', 'db'],
      ] as const)
        await client.create(ConfigMap, map(namespace, n, {}, { app }))
      const names = async (options: { labels?: string; fields?: string }) =>
        (await client.list(ConfigMap, { namespace, ...options })).items.map((i) => i.metadata.name)
      assert.deepEqual(await names({ labels: 'app=web' }), ['a', 'b'])
      assert.deepEqual(await names({ labels: 'app in (db),app!=web' }), ['c'])
      assert.deepEqual(await names({ fields: 'metadata.name=b' }), ['b'])
      const first = await client.list(ConfigMap, { namespace, labels: 'app', limit: 2 })
      assert.equal(first.items.length, 2)
      const rest = await client.list(ConfigMap, { namespace, labels: 'app', limit: 2, continue: first.continue })
      assert.deepEqual(
        rest.items.map((i) => i.metadata.name),
        ['c'],
      )
      assert.equal(rest.continue, undefined)
    })
    within('watch: from the beginning, from a version, and through a selector', async (client, namespace) => {
      const a = await client.create(ConfigMap, map(namespace, 'a', {}, { app: 'web' }))
      const { resourceVersion } = await client.list(ConfigMap, { namespace })
      const events = await collect(
        client,
        { namespace, labels: 'app=web' },
        (seen) => texts(seen).some((t) => t.startsWith('DELETED b')),
        async () => {
          const b = await client.create(ConfigMap, map(namespace, 'b', {}))
          const entered = await client.update(ConfigMap, { ...b, metadata: { ...b.metadata, labels: { app: 'web' } } })
          await client.update(ConfigMap, { ...entered, metadata: { ...entered.metadata, labels: {} } })
        },
      )
      assert.equal(texts(events)[0], 'ADDED a')
      assert.deepEqual(texts(events).slice(1), ['ADDED b', 'DELETED b'])
      const later = await collect(client, { namespace, resourceVersion }, (seen) => texts(seen).length >= 3)
      assert.deepEqual(texts(later), ['ADDED b', 'MODIFIED b', 'MODIFIED b'])
      void a
    })
    within('scale reads and writes replicas', async (client, namespace) => {
      await client.create(Deployment, deployment(namespace, 'd', 2))
      const key = { namespace, name: 'd' }
      assert.deepEqual(await client.getScale(Deployment, key).then((s) => [s?.replicas, s?.selector]), [2, 'app=d'])
      await client.setScale(Deployment, key, 0)
      assert.equal((await client.get(Deployment, key))?.spec?.replicas, 0)
    })
    within('finalizers hold a deletion; preconditions guard it', async (client, namespace) => {
      const made = await client.create(ConfigMap, {
        metadata: { namespace, name: 'a', finalizers: ['example.com/hold'] },
      })
      const key = { namespace, name: 'a' }
      await assert.rejects(client.delete(ConfigMap, key, { preconditions: { uid: 'other' } }), (e) =>
        isError(e, 'conflict'),
      )
      await client.delete(ConfigMap, key)
      const held = await client.get(ConfigMap, key)
      assert.ok(held?.metadata.deletionTimestamp)
      await client.patch(ConfigMap, key, { type: 'merge', body: { metadata: { finalizers: null } } })
      assert.equal(await client.get(ConfigMap, key), undefined)
      void made
    })
    within('deleteCollection takes what is selected', async (client, namespace) => {
      for (const [n, app] of [
        ['a', 'web'],
        ['b', 'db'],
      ] as const)
        await client.create(ConfigMap, map(namespace, n, {}, { app }))
      await client.deleteCollection(ConfigMap, { namespace, labels: 'app=web' })
      const left = (await client.list(ConfigMap, { namespace, labels: 'app' })).items.map((i) => i.metadata.name)
      assert.deepEqual(left, ['b'])
    })
    within('a token can be requested for a ServiceAccount', async (client, namespace) => {
      const answer = await client.createSubresource(ServiceAccount, { namespace, name: 'default' }, 'token', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: {},
        spec: { expirationSeconds: 600 },
      })
      assert.equal((answer.status as { token: string }).token.split('.').length, 3)
    })
    within('a pod that no node has is gone at once', async (client, namespace) => {
      const spec = { schedulerName: 'nobody', containers: [{ name: 'main', image: 'example/app:1' }] }
      await client.create(Pod, { metadata: { namespace, name: 'p' }, spec })
      await client.delete(Pod, { namespace, name: 'p' })
      assert.equal(await client.get(Pod, { namespace, name: 'p' }), undefined)
    })
  })
}
