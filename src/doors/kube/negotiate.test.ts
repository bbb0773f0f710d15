import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusOf } from '../../spec/kube/status.ts'
import { negotiate } from './negotiate.ts'
import { parsePath } from './paths.ts'

test('the answer takes the best form that both sides know', () => {
  const table = 'application/json;as=Table;v=v1;g=meta.k8s.io'
  const cases: [accept: string | undefined, as: string, contentType: string][] = [
    [undefined, 'plain', 'application/json'],
    ['*/*', 'plain', 'application/json'],
    ['application/vnd.kubernetes.protobuf,application/json', 'plain', 'application/json'],
    [`${table},application/json`, 'table', 'application/json;as=Table;g=meta.k8s.io;v=v1'],
    ['application/json;as=Table;v=v9;g=meta.k8s.io,application/json', 'plain', 'application/json'],
    [`application/json;q=0.2, ${table};q=0.5`, 'table', 'application/json;as=Table;g=meta.k8s.io;v=v1'],
    [
      'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, */*',
      'plain',
      'application/json',
    ],
    [
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
      'metadata',
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
    ],
    ['application/yaml', 'plain', 'application/yaml'],
  ]
  for (const [accept, as, contentType] of cases) {
    const form = negotiate(accept)
    assert.deepEqual([form.as, form.contentType], [as, contentType], accept)
  }
  for (const accept of ['application/vnd.kubernetes.protobuf', 'text/html', 'application/json;as=Nothing;g=x;v=y']) {
    assert.throws(
      () => negotiate(accept),
      (error) => statusOf(error).code === 406,
    )
  }
})

test('paths name a resource, or something else', () => {
  const shown = (path: string): string => {
    const t = parsePath(path)
    if (t.kind === 'other') return 'other'
    return `${t.group}|${t.version}|${t.namespace ?? ''}|${t.resource}|${t.name ?? ''}|${t.subresource ?? ''}|${t.rest.join('/')}`
  }
  assert.equal(shown('/api/v1/pods'), '|v1||pods|||')
  assert.equal(shown('/api/v1/namespaces'), '|v1||namespaces|||')
  assert.equal(shown('/api/v1/namespaces/a'), '|v1||namespaces|a||')
  assert.equal(shown('/api/v1/namespaces/a/finalize'), '|v1||namespaces|a|finalize|')
  assert.equal(shown('/api/v1/namespaces/a/pods'), '|v1|a|pods|||')
  assert.equal(shown('/api/v1/namespaces/a/pods/b/proxy/x/y'), '|v1|a|pods|b|proxy|x/y')
  assert.equal(shown('/apis/apps/v1/namespaces/a/deployments/b%2Fc/scale'), 'apps|v1|a|deployments|b/c|scale|')
  assert.equal(shown('/api/v1/watch/namespaces/a/pods'), '|v1|a|pods|||')
  for (const other of ['/', '/api', '/api/v1', '/apis', '/apis/apps', '/apis/apps/v1', '/version', '/%zz']) {
    assert.equal(shown(other), 'other', other)
  }
})
