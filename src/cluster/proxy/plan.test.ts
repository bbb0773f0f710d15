import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Endpoint, EndpointSlice, Service } from '../../spec/kube/generated/types.ts'
import { staleFlows } from './flows.ts'
import { claimsOf, planService } from './plan.ts'
import { statusOf } from './status.ts'
import { emptyTable, renderChange, renderFrame, tableOf } from './table.ts'

const service = (spec: Service['spec'], name = 'web', status?: Service['status']): Service => ({
  metadata: { name, namespace: 'shop' },
  spec: { clusterIP: '10.96.0.7', ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
  ...(status ? { status } : {}),
})
const endpoint = (address: string, conditions: Endpoint['conditions'] = {}): Endpoint => ({
  addresses: [address],
  conditions,
  targetRef: { kind: 'Pod', uid: `uid-${address}` },
})
const slice = (...endpoints: Endpoint[]): EndpointSlice => ({
  metadata: { name: 'web-x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints,
})
const none = new Set<string>()
const addresses = (conditions: Record<string, Endpoint['conditions']>): string[] =>
  planService(
    service({}),
    [slice(...Object.entries(conditions).map(([a, c]) => endpoint(a, c)))],
    none,
  )[0]!.targets.map(({ address, lastResort }) => address + (lastResort ? ' (last resort)' : ''))

test('targets: ready ones; terminating ones that serve only when nobody is ready', () => {
  const serving = { ready: false, serving: true, terminating: true }
  assert.deepEqual(addresses({ '10.0.0.2': {}, '10.0.0.1': { ready: true }, '10.0.0.3': { ready: false } }), [
    '10.0.0.1',
    '10.0.0.2',
  ])
  assert.deepEqual(addresses({ '10.0.0.1': { ready: true }, '10.0.0.2': serving }), ['10.0.0.1'])
  assert.deepEqual(addresses({ '10.0.0.1': { ready: false }, '10.0.0.2': serving }), ['10.0.0.2 (last resort)'])
  assert.deepEqual(addresses({ '10.0.0.1': { ready: false, serving: false, terminating: true } }), [])
})

test('kinds of service', () => {
  const plan = (spec: Service['spec']) => planService(service(spec), [], new Set(['192.0.2.2']))[0]
  assert.equal(plan({ type: 'ExternalName' }), undefined)
  assert.equal(plan({ clusterIP: 'None' }), undefined)
  const port = { name: 'http', port: 80, nodePort: 30080 }
  assert.deepEqual(plan({ type: 'NodePort', ports: [port] })!.hostPorts, [30080])
  assert.deepEqual(plan({ type: 'LoadBalancer', ports: [port] })!.hostPorts, [30080, 80])
  assert.deepEqual(plan({ type: 'LoadBalancer', loadBalancerClass: 'x/y', ports: [port] })!.hostPorts, [30080])
  const external = plan({ externalIPs: ['192.0.2.2', '198.51.100.1'] })!
  assert.deepEqual([external.virtual, external.hostPorts], [['10.96.0.7', '198.51.100.1'], [80]])
  assert.equal(plan({ sessionAffinity: 'ClientIP' })!.affinity, 10800)
})

test('two services want one host port: the first by name has it', () => {
  const both = ['b', 'a'].flatMap((name) => planService(service({ type: 'LoadBalancer' }, name), [], none))
  const { won, lost } = claimsOf(both)
  assert.deepEqual(
    [won, lost].map((claims) => claims.map(({ plan }) => plan.key)),
    [['shop/a:http/tcp'], ['shop/b:http/tcp']],
  )
})

const stateOf = (spec: Service['spec'], ...endpoints: Endpoint[]) => {
  const plans = planService(service(spec), [slice(...endpoints)], none)
  return { plans, table: tableOf(plans, claimsOf(plans).won, []) }
}

test('transactions hold only what changes', () => {
  const nodePort = { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }] }
  const empty = stateOf(nodePort)
  assert.equal(
    renderChange('t', emptyTable(), empty.table),
    `add element inet t refused { 10.96.0.7 . tcp . 80 : goto refuse }
add element inet t ports { tcp . 30080 }
add element inet t refused_local { tcp . 30080 : goto refuse }
`,
  )
  const one = stateOf(nodePort, endpoint('10.0.0.1'))
  assert.equal(
    renderChange('t', empty.table, one.table),
    `delete element inet t refused { 10.96.0.7 . tcp . 80 : goto refuse }
delete element inet t refused_local { tcp . 30080 : goto refuse }
add chain inet t svc-8d8253c0-shop/web/http/tcp
add rule inet t svc-8d8253c0-shop/web/http/tcp meta l4proto tcp dnat ip to 10.0.0.1:8080
add element inet t services { 10.96.0.7 . tcp . 80 : goto svc-8d8253c0-shop/web/http/tcp }
add element inet t hairpin { 10.0.0.1 . 10.0.0.1 }
add element inet t local { tcp . 30080 : goto svc-8d8253c0-shop/web/http/tcp }
`,
  )
  const two = stateOf(nodePort, endpoint('10.0.0.1'), endpoint('10.0.0.2'))
  assert.equal(
    renderChange('t', one.table, two.table),
    `flush chain inet t svc-8d8253c0-shop/web/http/tcp
add rule inet t svc-8d8253c0-shop/web/http/tcp meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1 . 8080, 1 : 10.0.0.2 . 8080 }
add element inet t hairpin { 10.0.0.2 . 10.0.0.2 }
`,
  )
  assert.equal(renderChange('t', two.table, two.table), '')
  assert.match(
    renderChange('t', one.table, emptyTable()),
    /flush chain inet t svc-8d8253c0-shop\/web\/http\/tcp\ndelete chain inet t svc-8d8253c0-shop\/web\/http\/tcp\n$/,
  )
})

test('affinity: clients of the targets that stay are kept', () => {
  const spec = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }
  const one = stateOf(spec, endpoint('10.0.0.1'))
  const two = stateOf(spec, endpoint('10.0.0.1'), endpoint('10.0.0.2'))
  const grow = renderChange('t', one.table, two.table)
  assert.equal(grow.match(/add set /g)?.length, 1)
  assert.doesNotMatch(grow, /delete set/)
  const shrink = renderChange('t', two.table, one.table)
  assert.match(
    shrink,
    /flush chain inet t target-(\w+)\ndelete chain inet t target-\1\ndelete set inet t clients-\1\n$/,
  )
})

test('the frame names our own table only', () => {
  const text = renderFrame({ table: 'slipway_1a2b_svc', linkPrefix: 'sw1a2b', reserved: ['10.96.0.10'] })
  assert.ok(text.startsWith('table inet slipway_1a2b_svc {\n}\ndelete table inet slipway_1a2b_svc\n'))
  const refusing = renderFrame({ table: 't', linkPrefix: 'sw', reserved: [], serviceCidr: '10.96.0.0/16' })
  const jumps = refusing.split('\n').filter((line) => line.includes('jump unmatched'))
  assert.equal(jumps.length, 2)
  // "ip daddr != …" would be skipped by IPv6 packets, and what follows would refuse all of them.
  for (const line of jumps) assert.equal(line.trim(), 'ip daddr 10.96.0.0/16 jump unmatched')
  assert.match(text, /set reserved \{ type ipv4_addr; elements = \{ 10\.96\.0\.10 \}; \}/)
})

test('what connection tracking forgets', () => {
  const udp = { ports: [{ name: 'http', port: 53, protocol: 'UDP' }] }
  const udpSlice = { ...slice(endpoint('10.0.0.1')), ports: [{ name: 'http', port: 53, protocol: 'UDP' }] }
  const before = planService(service(udp), [], none)
  const after = planService(service(udp), [udpSlice], none)
  assert.deepEqual(staleFlows(before, after), {
    lost: [],
    appeared: [{ protocol: 'udp', address: '10.96.0.7', port: 53 }],
  })
  assert.deepEqual(staleFlows(after, before), {
    lost: [{ protocol: 'udp', address: '10.0.0.1', port: 53 }],
    appeared: [],
  })
})

test('load balancer status: the address at once, or why not', () => {
  const now = '2026-01-01T00:00:00Z'
  const fresh = statusOf(service({ type: 'LoadBalancer' }), [], '192.0.2.2', now)
  assert.deepEqual(fresh, { loadBalancer: { ingress: [{ ip: '192.0.2.2', ipMode: 'VIP' }] } })
  assert.equal(statusOf(service({ type: 'LoadBalancer' }, 'web', fresh), [], '192.0.2.2', now), undefined)
  const taken = statusOf(service({ type: 'LoadBalancer' }, 'web', fresh), ['port 80/tcp in use'], '192.0.2.2', now)
  assert.deepEqual(taken?.loadBalancer, {})
  assert.equal(taken?.conditions?.[0]?.message, 'port 80/tcp in use')
  assert.equal(
    statusOf(service({ type: 'LoadBalancer' }, 'web', taken), ['port 80/tcp in use'], '192.0.2.2', 'later'),
    undefined,
  )
  assert.deepEqual(statusOf(service({ type: 'LoadBalancer' }, 'web', taken), [], '192.0.2.2', now)?.conditions, [])
  assert.equal(statusOf(service({ type: 'ClusterIP' }), [], '192.0.2.2', now), undefined)
})
