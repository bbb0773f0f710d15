import assert from 'node:assert/strict'
import { test } from 'node:test'
import { admin, cluster, failureOf, jane } from './fixture.ts'
import type { Draft } from './resource.ts'

const rbac = 'rbac.authorization.k8s.io/v1'
const apiGroup = 'rbac.authorization.k8s.io'
const role = (name: string, ...rules: Draft[]): never => ({ metadata: { name }, rules }) as never
const bindTo = (user: string, name: string, kind = 'Role'): never =>
  ({
    metadata: { name: `${name}-${user}` },
    roleRef: { apiGroup, kind, name },
    subjects: [{ kind: 'User', name: user }],
  }) as never
const pods = { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }

test('who has no role may not; who has one may just that', async () => {
  const { ask } = cluster()
  const refused = await failureOf(ask('list', 'pods', { user: jane }))
  assert.deepEqual(
    [refused.code, refused.message],
    [403, 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'],
  )
  await ask('create', `${rbac} roles`, { object: role('reader', pods) })
  await ask('create', `${rbac} rolebindings`, { object: bindTo('jane', 'reader') })
  await ask('list', 'pods', { user: jane })
  assert.equal(
    (await failureOf(ask('list', 'pods', { user: jane, namespace: undefined }))).message,
    'pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope',
  )
  assert.match(
    (await failureOf(ask('delete', 'pods', { user: jane, name: 'x' }))).message,
    /^pods "x" is forbidden: User "jane" cannot delete resource "pods"/,
  )
  assert.equal((await failureOf(ask('get', 'pods/status', { user: jane, name: 'x' }))).code, 403)
})
test('resourceNames, groups, ServiceAccounts, wildcards', async () => {
  const { ask } = cluster()
  await ask('create', 'configmaps', { object: { metadata: { name: 'a' } } as never })
  await ask('create', `${rbac} roles`, {
    object: role('one', { apiGroups: [''], resources: ['configmaps'], resourceNames: ['a'], verbs: ['*'] }),
  })
  const subjects = [
    { kind: 'Group', name: 'team' },
    { kind: 'ServiceAccount', name: 'bot' },
  ]
  await ask('create', `${rbac} rolebindings`, {
    object: { metadata: { name: 'b' }, roleRef: { apiGroup, kind: 'Role', name: 'one' }, subjects } as never,
  })
  for (const user of [
    { name: 'x', groups: ['team'] },
    { name: 'system:serviceaccount:default:bot', groups: [] },
  ]) {
    await ask('get', 'configmaps', { user, name: 'a' })
    assert.equal((await failureOf(ask('get', 'configmaps', { user, name: 'b' }))).code, 403)
    assert.equal((await failureOf(ask('list', 'configmaps', { user }))).code, 403)
  }
})
test('nobody grants what they do not have', async () => {
  const { ask } = cluster()
  await ask('create', `${rbac} roles`, {
    object: role('reader', pods, { apiGroups: [apiGroup], resources: ['roles', 'rolebindings'], verbs: ['create'] }),
  })
  await ask('create', `${rbac} rolebindings`, { object: bindTo('jane', 'reader') })
  await ask('create', `${rbac} roles`, { user: jane, object: role('less', { ...pods, verbs: ['get'] }) })
  const more = await failureOf(
    ask('create', `${rbac} roles`, {
      user: jane,
      object: role('more', { apiGroups: [''], resources: ['secrets'], verbs: ['get'] }),
    }),
  )
  assert.match(
    more.message,
    /^roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get"\]\}$/,
  )
  assert.equal(
    (
      await failureOf(
        ask('create', `${rbac} rolebindings`, { user: jane, object: bindTo('joe', 'cluster-admin', 'ClusterRole') }),
      )
    ).code,
    403,
  )
})
test('roles aggregate others by label', async () => {
  const { ask } = cluster()
  await ask('create', `${rbac} rolebindings`, { object: bindTo('jane', 'view', 'ClusterRole') })
  assert.equal((await failureOf(ask('list', 'secrets', { user: jane }))).code, 403)
  const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' }
  const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['list'] }]
  await ask('create', `${rbac} clusterroles`, {
    namespace: undefined,
    object: { metadata: { name: 'more', labels }, rules } as never,
  })
  await ask('list', 'secrets', { user: jane })
})
test('reviews', async () => {
  const { ask } = cluster()
  const none = { namespace: undefined }
  const can = async (verb: string, resource: string, user = jane) =>
    (
      await ask('create', 'authorization.k8s.io/v1 selfsubjectaccessreviews', {
        user,
        ...none,
        object: { spec: { resourceAttributes: { verb, resource, namespace: 'default' } } } as never,
      })
    ).status.allowed
  assert.equal(await can('get', 'pods'), false)
  await ask('create', `${rbac} rolebindings`, { object: bindTo('jane', 'view', 'ClusterRole') })
  assert.deepEqual(
    [
      await can('get', 'pods'),
      await can('get', 'secrets'),
      await can('delete', 'pods'),
      await can('delete', 'nodes', admin),
    ],
    [true, false, false, true],
  )
  const rules = await ask('create', 'authorization.k8s.io/v1 selfsubjectrulesreviews', {
    user: jane,
    ...none,
    object: { spec: { namespace: 'default' } } as never,
  })
  assert.ok(rules.status.resourceRules.some((r: Draft) => r.resources.includes('pods')))
  const path = {
    user: 'jane',
    groups: ['system:authenticated'],
    nonResourceAttributes: { verb: 'get', path: '/healthz' },
  }
  assert.equal(
    (await ask('create', 'authorization.k8s.io/v1 subjectaccessreviews', { ...none, object: { spec: path } as never }))
      .status.allowed,
    true,
  )
  assert.equal(
    (await ask('create', 'authentication.k8s.io/v1 selfsubjectreviews', { user: jane, ...none, object: {} as never }))
      .status.userInfo.username,
    'jane',
  )
})
test('parts of this process need no role; the same name over the wire does', async () => {
  const { api, ask } = cluster()
  const part = { name: 'system:kube-scheduler', groups: [] }
  const pod = {
    group: '',
    version: 'v1',
    kind: 'Pod',
    plural: 'pods',
    singular: 'pod',
    shortNames: [],
    categories: [],
    namespaced: true,
  }
  assert.deepEqual((await api.client(part).list(pod)).items, [])
  assert.equal((await failureOf(ask('list', 'pods', { user: part }))).code, 403)
  const account = { name: 'system:serviceaccount:default:default', groups: [] }
  assert.equal((await failureOf(api.client(account).list(pod))).code, 403)
})
