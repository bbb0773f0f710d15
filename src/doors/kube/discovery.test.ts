import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResourceInfo } from '../../cluster/types.ts'
import { Deployment, HorizontalPodAutoscaler, type Kind, Pod } from '../../spec/kube/kinds.ts'
import { discovery } from './discovery.ts'

const info = (kind: Kind<never>, subresources: ResourceInfo['subresources'] = []): ResourceInfo => ({
  kind: kind as Kind,
  verbs: ['get', 'list'],
  subresources,
  storageVersion: kind.version,
})
const v1 = { ...HorizontalPodAutoscaler, version: 'v1' }
const resources = [
  info(Pod as never, [
    { name: 'eviction', kind: { group: 'policy', version: 'v1', kind: 'Eviction' }, verbs: ['create'] },
  ]),
  info(Deployment as never),
  info(v1 as never),
  info(HorizontalPodAutoscaler as never),
]
const document = (path: string, accept?: string) => {
  const found = discovery(path, accept, resources, 'here:443')
  return found && { ...found, json: JSON.parse(found.body) as never as Record<string, unknown> }
}
const v2 = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
const beta = v2.replace('v=v2', 'v=v2beta1')

test('aggregated discovery, in the version that is asked for first', () => {
  const groups = document('/apis', `${v2},${beta},application/json`)!
  assert.equal(groups.contentType, v2)
  assert.equal(groups.json.apiVersion, 'apidiscovery.k8s.io/v2')
  const items = groups.json.items as { metadata: { name: string }; versions: { version: string }[] }[]
  assert.deepEqual(
    items.map((i) => `${i.metadata.name}: ${i.versions.map((v) => v.version)}`),
    ['apps: v1', 'autoscaling: v2,v1'],
  )
  assert.equal(document('/apis', `${beta},application/json`)!.json.apiVersion, 'apidiscovery.k8s.io/v2beta1')
  const core = document('/api', v2)!.json.items as { versions: { resources: Record<string, unknown>[] }[] }[]
  assert.deepEqual(core[0]!.versions[0]!.resources[0], {
    resource: 'pods',
    responseKind: { group: '', version: 'v1', kind: 'Pod' },
    scope: 'Namespaced',
    singularResource: 'pod',
    verbs: ['get', 'list'],
    shortNames: ['po'],
    categories: ['all'],
    subresources: [
      {
        subresource: 'eviction',
        responseKind: { group: 'policy', version: 'v1', kind: 'Eviction' },
        verbs: ['create'],
      },
    ],
  })
})

test('the plain lists', () => {
  assert.equal(document('/apis', 'application/json')!.json.kind, 'APIGroupList')
  assert.deepEqual(document('/api')!.json.versions, ['v1'])
  const pods = document('/api/v1')!.json.resources as { name: string; group?: string }[]
  assert.deepEqual(
    pods.map((r) => [r.name, r.group]),
    [
      ['pods', undefined],
      ['pods/eviction', 'policy'],
    ],
  )
  assert.deepEqual(document('/apis/autoscaling')!.json.preferredVersion, {
    groupVersion: 'autoscaling/v2',
    version: 'v2',
  })
  assert.equal(document('/apis/autoscaling/v1')!.json.groupVersion, 'autoscaling/v1')
  assert.equal(document('/apis/none'), undefined)
  assert.equal(document('/api/v2'), undefined)
})
