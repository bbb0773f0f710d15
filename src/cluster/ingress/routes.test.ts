import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ingress, IngressRule } from '../../spec/kube/generated/types.ts'
import { buildRoutes, findBackend, hostOf, pathOf } from './routes.ts'

const rule = (host: string | undefined, paths: Record<string, string>): IngressRule => ({
  ...(host === undefined ? {} : { host }),
  http: {
    paths: Object.entries(paths).map(([path, name]) => ({
      path: path.replace(/^=/, ''),
      pathType: path.startsWith('=') ? 'Exact' : 'Prefix',
      backend: { service: { name, port: { number: 80 } } },
    })),
  },
})
const ingress = (spec: Ingress['spec']): Ingress => ({ metadata: { name: 'i', namespace: 'shop' }, spec })
const table = buildRoutes([
  ingress({
    rules: [
      rule('a.example', { '/': 'root', '/foo': 'foo', '/foo/bar/': 'bar', '=/foo': 'exact' }),
      rule('*.wild.example', { '/': 'wild' }),
      rule(undefined, { '/any': 'any' }),
    ],
    defaultBackend: { service: { name: 'default', port: { number: 80 } } },
    tls: [{ hosts: ['a.example'], secretName: 'cert' }],
  }),
])
const find = (host: string, path: string) => findBackend(table, hostOf(host), pathOf(path))?.service

test('hosts and paths', () => {
  assert.equal(find('a.example', '/'), 'shop/root')
  assert.equal(find('A.Example:8080', '/foo'), 'shop/exact')
  assert.equal(find('a.example', '/foo/'), 'shop/foo')
  assert.equal(find('a.example', '/foobar'), 'shop/root', 'element-wise')
  assert.equal(find('a.example', '/foo/bar?x=/y'), 'shop/bar')
  assert.equal(find('a.example', '/foo/../other'), 'shop/root')
  assert.equal(find('a.example', '/x/%2e%2e/foo/z'), 'shop/foo')
  assert.equal(find('one.wild.example', '/'), 'shop/wild')
  assert.equal(find('one.two.wild.example', '/'), 'shop/default', 'a wildcard is one label')
  assert.equal(find('other.example', '/any/thing'), 'shop/any')
  assert.equal(find('other.example', '/'), 'shop/default')
  assert.deepEqual([...table.secrets], [['a.example', 'shop/cert']])
})

test('hosts of headers', () => {
  assert.equal(hostOf('[::1]:80'), '::1')
  assert.equal(hostOf('Example.org.'), 'example.org')
  assert.equal(hostOf(undefined), '')
})
