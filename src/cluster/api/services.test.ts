import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf, cluster } from './fixture.ts'
import type { Draft } from './resource.ts'

const service = (name: string, spec: Draft): never =>
  ({ metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } }) as never

test('addresses come from the range, are never given twice and can be asked for', async () => {
  const { ask } = cluster({ serviceCidr: '10.99.0.0/29', clusterDnsAddress: '10.99.0.2' })
  const kubernetes = await ask('get', 'services', { name: 'kubernetes' })
  assert.equal(kubernetes.spec.clusterIP, '10.99.0.1')
  const dns = await ask('create', 'services', {
    object: service('dns', { clusterIP: '10.99.0.2' }),
    namespace: 'kube-system',
  })
  const given = [dns.spec.clusterIP]
  for (const name of ['a', 'b', 'c', 'd'])
    given.push((await ask('create', 'services', { object: service(name, {}) })).spec.clusterIP)
  assert.equal(new Set(given).size, 5)
  assert.match((await causesOf(ask('create', 'services', { object: service('full', {}) })))[0]!, /range is full/)
  assert.match(
    (await causesOf(ask('create', 'services', { object: service('e', { clusterIP: '10.99.0.2' }) })))[0]!,
    /provided IP is already allocated/,
  )
  assert.match(
    (await causesOf(ask('create', 'services', { object: service('e', { clusterIP: '10.1.0.2' }) })))[0]!,
    /not in the valid range/,
  )
  await ask('delete', 'services', { name: 'a' })
  assert.ok((await ask('create', 'services', { object: service('e', {}) })).spec.clusterIP)
})

test('node ports: given, asked for, kept over updates, dropped with the type', async () => {
  const { ask } = cluster({ nodePortRange: [30000, 30001] })
  const made = await ask('create', 'services', {
    object: service('a', { type: 'NodePort', ports: [{ port: 80, nodePort: 30001 }] }),
  })
  assert.equal(
    (await ask('create', 'services', { object: service('b', { type: 'NodePort' }) })).spec.ports[0].nodePort,
    30000,
  )
  assert.deepEqual(
    await causesOf(
      ask('create', 'services', { object: service('c', { type: 'NodePort', ports: [{ port: 80, nodePort: 30001 }] }) }),
    ),
    ['spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated'],
  )
  assert.match(
    (
      await causesOf(
        ask('create', 'services', { object: service('c', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }) }),
      )
    )[0]!,
    /The range of valid ports is 30000-30001/,
  )
  const bare = { ...made, spec: { type: 'NodePort', selector: { a: 'b' }, ports: [{ port: 80 }] } }
  const updated = await ask('update', 'services', { name: 'a', object: bare })
  assert.deepEqual([updated.spec.ports[0].nodePort, updated.spec.clusterIP], [30001, made.spec.clusterIP])
  const plain = await ask('patch', 'services', {
    name: 'a',
    patch: { type: 'merge', body: { spec: { type: 'ClusterIP' } } },
  })
  assert.deepEqual([plain.spec.ports[0].nodePort, plain.spec.externalTrafficPolicy], [undefined, undefined])
})

test('kinds of services', async () => {
  const { ask } = cluster()
  const headless = await ask('create', 'services', { object: service('h', { clusterIP: 'None' }) })
  assert.deepEqual(headless.spec.clusterIPs, ['None'])
  const external = await ask('create', 'services', {
    object: service('x', { type: 'ExternalName', externalName: 'example.com', ports: undefined }),
  })
  assert.equal(external.spec.clusterIP, undefined)
  const balanced = await ask('create', 'services', {
    object: service('l', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }),
  })
  assert.ok(balanced.spec.ports[0].nodePort && balanced.spec.healthCheckNodePort)
  assert.equal(balanced.spec.allocateLoadBalancerNodePorts, true)
  assert.deepEqual(
    await causesOf(ask('create', 'services', { object: service('m', { ports: [{ port: 1 }, { port: 2 }] }) })),
    ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value'],
  )
  assert.match(
    (
      await causesOf(
        ask('create', 'services', {
          object: service('m', {
            ports: [
              { name: 'a', port: 1 },
              { name: 'b', port: 1 },
            ],
          }),
        }),
      )
    )[0]!,
    /^spec.ports\[1\]: Duplicate value/,
  )
  const changed = await causesOf(
    ask('patch', 'services', { name: 'l', patch: { type: 'merge', body: { spec: { clusterIP: '10.96.1.2' } } } }),
  )
  assert.match(changed[0]!, /^spec.clusterIPs\[0\]: Invalid value: "10.96.1.2": field is immutable/)
})
