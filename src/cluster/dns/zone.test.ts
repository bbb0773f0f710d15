import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndpointSlice, Service } from '../../spec/kube/generated/types.ts'
import { answerZone, type ZoneView } from './zone.ts'

const services: Record<string, Service['spec']> = {
  'shop/web': { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80 }] },
  'shop/db': { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] },
  'shop/away': { type: 'ExternalName', externalName: 'example.org' },
}
const slice: EndpointSlice = {
  metadata: { name: 'db-x' },
  addressType: 'IPv4',
  ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
  endpoints: [
    { addresses: ['10.0.0.1'], hostname: 'db-0' },
    { addresses: ['10.0.0.2'] },
    { addresses: ['10.0.0.3'], hostname: 'db-2', conditions: { ready: false } },
  ],
}
const view: ZoneView = {
  service: (namespace, name) => {
    const spec = services[`${namespace}/${name}`]
    return spec && { metadata: { namespace, name }, spec }
  },
  slices: (_namespace, name) => (name === 'db' ? [slice] : []),
  hasNamespace: (name) => name === 'shop',
  pointer: (address) => (address === '10.96.0.7' ? 'web.shop.svc.cluster.local' : undefined),
}
const ask = (name: string, type = 'A'): string => {
  const answer = answerZone(view, 'cluster.local', name, type)
  if (!answer) return 'elsewhere'
  if ('alias' in answer) return `alias ${answer.alias}`
  const shown = answer.answers.map((record) => {
    const { data } = record as { data: unknown }
    const srv = data as { target: string; port: number }
    return record.type === 'SRV' ? `${srv.target}:${srv.port}` : String(data)
  })
  return answer.rcode === 'NXDOMAIN' ? 'NXDOMAIN' : shown.join(' ') || 'nothing'
}

test('services', () => {
  assert.equal(ask('web.shop.svc.cluster.local'), '10.96.0.7')
  assert.equal(ask('Web.Shop.SVC.Cluster.Local'), '10.96.0.7')
  assert.equal(ask('web.shop.svc.cluster.local', 'AAAA'), 'nothing')
  assert.equal(ask('_http._tcp.web.shop.svc.cluster.local', 'SRV'), 'web.shop.svc.cluster.local:80')
  assert.equal(ask('_http._udp.web.shop.svc.cluster.local', 'SRV'), 'NXDOMAIN')
  assert.equal(ask('away.shop.svc.cluster.local'), 'alias example.org')
  assert.equal(ask('7.0.96.10.in-addr.arpa', 'PTR'), 'web.shop.svc.cluster.local')
  assert.equal(ask('8.8.8.8.in-addr.arpa', 'PTR'), 'elsewhere')
})

test('headless services', () => {
  assert.equal(ask('db.shop.svc.cluster.local'), '10.0.0.1 10.0.0.2')
  assert.equal(ask('db-0.db.shop.svc.cluster.local'), '10.0.0.1')
  assert.equal(ask('10-0-0-2.db.shop.svc.cluster.local'), '10.0.0.2')
  assert.equal(ask('db-2.db.shop.svc.cluster.local'), 'NXDOMAIN', 'not ready')
  assert.equal(
    ask('_sql._tcp.db.shop.svc.cluster.local', 'SRV'),
    'db-0.db.shop.svc.cluster.local:5432 10-0-0-2.db.shop.svc.cluster.local:5432',
  )
  const answer = answerZone(view, 'cluster.local', '_sql._tcp.db.shop.svc.cluster.local', 'SRV')
  assert.equal(answer && 'additionals' in answer && answer.additionals?.length, 2)
})

test('names that do not exist are known not to, and those above existing ones are empty', () => {
  assert.equal(ask('nope.shop.svc.cluster.local'), 'NXDOMAIN')
  assert.equal(ask('example.org.shop.svc.cluster.local'), 'NXDOMAIN')
  assert.equal(ask('web.nope.svc.cluster.local'), 'NXDOMAIN')
  assert.equal(ask('shop.svc.cluster.local'), 'nothing')
  assert.equal(ask('svc.cluster.local'), 'nothing')
  assert.equal(ask('example.org'), 'elsewhere')
  assert.equal(ask('notcluster.local'), 'elsewhere')
  const answer = answerZone(view, 'cluster.local', 'nope.shop.svc.cluster.local', 'A')
  assert.equal(answer && 'authorities' in answer && answer.authorities?.[0]?.type, 'SOA')
})

test('pods by their address', () => {
  assert.equal(ask('10-0-0-9.shop.pod.cluster.local'), '10.0.0.9')
  assert.equal(ask('web.shop.pod.cluster.local'), 'NXDOMAIN')
})
