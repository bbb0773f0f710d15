import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SandboxSpec } from '../types.ts'
import { renderHosts, renderResolvConf, withoutAddress } from './files.ts'

const spec: SandboxSpec = {
  id: 'x',
  hostname: 'web',
  domainname: 'example.org',
  network: { mode: 'none' },
  ports: [],
  dns: { servers: [], searches: [], options: [] },
  hosts: [
    { name: 'db', address: '10.9.9.9' },
    { name: 'host.docker.internal', address: 'host-gateway' },
  ],
  sysctls: {},
  labels: {},
}
const host = { servers: ['127.0.0.53', '192.0.2.1'], searches: ['lan'], options: ['edns0'] }

test('hosts', () => {
  const text = renderHosts(spec, ['172.17.0.2'], ['172.17.0.1'])
  assert.match(text, /^127\.0\.0\.1\tlocalhost\n/)
  assert.ok(text.endsWith('10.9.9.9\tdb\n172.17.0.1\thost.docker.internal\n172.17.0.2\tweb.example.org web\n'))
  assert.ok(!withoutAddress(text, '172.17.0.2').includes('example.org'))
  assert.ok(withoutAddress(text, '172.17.0.2').includes('172.17.0.1\t'))
})

test('resolv.conf', () => {
  const render = (resolver: string | undefined, dns = spec.dns, hostNetwork = false) =>
    renderResolvConf({ spec: { dns }, host, resolver, hostNetwork })
  assert.equal(render('127.0.0.11'), 'nameserver 127.0.0.11\nsearch lan\noptions edns0 ndots:0\n')
  assert.equal(render(undefined), 'nameserver 192.0.2.1\nsearch lan\noptions edns0\n')
  assert.equal(
    render(undefined, spec.dns, true),
    'nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch lan\noptions edns0\n',
  )
  const dns = { servers: ['10.96.0.10'], searches: ['.'], options: ['ndots:5'] }
  assert.equal(render(undefined, dns), 'nameserver 10.96.0.10\noptions ndots:5\n')
})
