/** Resources that are not stored: reviews of tokens and of access, metrics, and other versions' views of stored kinds. */

import { timestamp } from '../../lib/timestamp.ts'
import type { Kind, KubeObject } from '../../spec/kube/kinds.ts'
import { labelMatcher } from '../../spec/kube/labels.ts'
import { schemaOf } from '../../spec/kube/schema.ts'
import type { ApiRequest, User } from '../types.ts'
import { isMaster, mayAccess, mayVisit, rulesFor } from './authorization.ts'
import { notFound } from './errors.ts'
import { type Context, type Draft, type Registry, type Resource, resourceOf } from './resource.ts'
import { authenticate } from './tokens.ts'
import { autoscalerV1, eventsV1 } from './views.ts'

const kindOf = (
  group: string,
  version: string,
  kind: string,
  plural: string,
  namespaced: boolean,
  more: Partial<Kind> = {},
): Kind => ({
  group,
  version,
  kind,
  plural,
  singular: kind.toLowerCase(),
  shortNames: [],
  categories: [],
  namespaced,
  ...more,
})

const accessOf = (context: Context, user: User, spec: Draft) => {
  const r = spec.resourceAttributes
  const n = spec.nonResourceAttributes
  const decision = r
    ? mayAccess(context, user, {
        verb: r.verb ?? '',
        group: r.group ?? '',
        resource: r.resource ?? '',
        subresource: r.subresource || undefined,
        namespace: r.namespace || undefined,
        name: r.name || undefined,
      })
    : n
      ? mayVisit(context, user, n.verb ?? '', n.path ?? '')
      : { allowed: false, reason: 'no attributes given' }
  return { allowed: decision.allowed, ...(decision.reason ? { reason: decision.reason } : {}) }
}
const named = (spec: Draft): User => ({
  name: spec.user ?? '',
  uid: spec.uid,
  groups: spec.groups ?? [],
  extra: spec.extra,
})

const reviews: Record<string, (context: Context, request: ApiRequest, spec: Draft) => Draft> = {
  TokenReview(context, _request, spec) {
    const found = authenticate(context, spec.token ?? '', spec.audiences)
    if (!found) return { user: {}, error: 'invalid bearer token' }
    const { name, uid, groups, extra } = found.user
    return { authenticated: true, user: { username: name, uid, groups, extra }, audiences: found.audiences }
  },
  SelfSubjectReview: (_context, { user }) => ({
    userInfo: {
      username: user.name,
      groups: user.groups,
      ...(user.uid ? { uid: user.uid } : {}),
      ...(user.extra ? { extra: user.extra } : {}),
    },
  }),
  SelfSubjectAccessReview: (context, { user }, spec) => accessOf(context, user, spec),
  SubjectAccessReview: (context, _request, spec) => accessOf(context, named(spec), spec),
  LocalSubjectAccessReview: (context, _request, spec) => accessOf(context, named(spec), spec),
  SelfSubjectRulesReview(context, { user }, spec) {
    const everything = [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ]
    const { sources, problems } = rulesFor(context, user, spec.namespace)
    const rules: Draft[] = [...(isMaster(user) ? everything : []), ...sources.flatMap((s) => s.rules)]
    return {
      resourceRules: rules
        .filter((r) => r.resources?.length)
        .map(({ verbs, apiGroups, resources, resourceNames }) => ({
          verbs,
          apiGroups,
          resources,
          ...(resourceNames ? { resourceNames } : {}),
        })),
      nonResourceRules: rules
        .filter((r) => r.nonResourceURLs?.length)
        .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete: problems.length > 0,
      ...(problems.length > 0 ? { evaluationError: problems.join(', ') } : {}),
    }
  },
}

const reviewKinds = [
  kindOf('authentication.k8s.io', 'v1', 'SelfSubjectReview', 'selfsubjectreviews', false),
  kindOf('authentication.k8s.io', 'v1', 'TokenReview', 'tokenreviews', false),
  kindOf('authorization.k8s.io', 'v1', 'LocalSubjectAccessReview', 'localsubjectaccessreviews', true),
  kindOf('authorization.k8s.io', 'v1', 'SelfSubjectAccessReview', 'selfsubjectaccessreviews', false),
  kindOf('authorization.k8s.io', 'v1', 'SelfSubjectRulesReview', 'selfsubjectrulesreviews', false),
  kindOf('authorization.k8s.io', 'v1', 'SubjectAccessReview', 'subjectaccessreviews', false),
]
const review = (kind: Kind): Resource =>
  resourceOf(
    kind,
    schemaOf(kind.group, kind.version, kind.kind)!,
    {},
    {
      verbs: ['create'],
      serve(context, request) {
        const given = request.object as Draft
        const spec = given?.spec ?? {}
        return {
          kind: kind.kind,
          apiVersion: `${kind.group}/${kind.version}`,
          metadata: { ...given?.metadata },
          ...(given?.spec ? { spec } : {}),
          status: reviews[kind.kind]!(context, request, spec),
        }
      },
    },
  )

const duration = (ms: number): string => `${Math.round(ms / 100) / 10}s`
const usage = (cpuNanocores: number, memoryBytes: number) => ({
  cpu: `${Math.round(cpuNanocores)}n`,
  memory: `${Math.round(memoryBytes / 1024)}Ki`,
})
type Sample = KubeObject & { metadata: { name: string; namespace?: string; labels?: Record<string, string> } }

const metricsVersion = 'metrics.k8s.io/v1beta1'

const samplesOf = (plural: 'pods' | 'nodes', context: Context): Sample[] =>
  plural === 'pods'
    ? context
        .nodes()
        .podUsage()
        .map((pod) => ({
          kind: 'PodMetrics',
          apiVersion: metricsVersion,
          metadata: {
            name: pod.name,
            namespace: pod.namespace,
            creationTimestamp: timestamp(pod.time),
            labels: pod.labels,
          },
          timestamp: timestamp(pod.time),
          window: duration(pod.window),
          containers: pod.containers.map((c) => ({ name: c.name, usage: usage(c.cpuNanocores, c.memoryBytes) })),
        }))
    : context
        .nodes()
        .nodeUsage()
        .map((node) => ({
          kind: 'NodeMetrics',
          apiVersion: metricsVersion,
          metadata: {
            name: node.name,
            creationTimestamp: timestamp(node.time),
            labels: context.store.get('nodes', '', node.name)?.metadata.labels ?? {},
          },
          timestamp: timestamp(node.time),
          window: duration(node.window),
          usage: usage(node.cpuNanocores, node.memoryBytes),
        }))

const metrics = (plural: 'pods' | 'nodes'): Resource => {
  const kind = kindOf(
    'metrics.k8s.io',
    'v1beta1',
    plural === 'pods' ? 'PodMetrics' : 'NodeMetrics',
    plural,
    plural === 'pods',
    { singular: '' },
  )
  const schema = { type: 'any' } as const
  return {
    ...resourceOf(
      kind,
      schema,
      {},
      {
        verbs: ['get', 'list'],
        serve(context, request) {
          const all = samplesOf(plural, context)
          if (request.verb === 'get') {
            const found = all.find(
              (s) =>
                s.metadata.name === request.name && (plural === 'nodes' || s.metadata.namespace === request.namespace),
            )
            if (!found) throw notFound({ group: kind.group, resource: plural, kind: kind.kind }, request.name!)
            return found
          }
          const matches = labelMatcher(request.labels)
          const items = all.filter(
            (s) => (!request.namespace || s.metadata.namespace === request.namespace) && matches(s.metadata.labels),
          )
          return { kind: `${kind.kind}List`, apiVersion: metricsVersion, metadata: {}, items } as unknown as KubeObject
        },
      },
    ),
  }
}

export const addVirtual = (registry: Registry): void => {
  for (const kind of reviewKinds) registry.add(review(kind))
  registry.add(autoscalerV1(registry))
  registry.add(eventsV1(registry))
  registry.add(metrics('nodes'))
  registry.add(metrics('pods'))
}
