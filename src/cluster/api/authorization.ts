/** RBAC: who may do what, from Roles and their bindings. Members of system:masters may do everything. */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { matchesSelector } from '../../spec/kube/label-selector.ts'
import type { ApiRequest, User } from '../types.ts'
import { forbidden } from './errors.ts'
import type { Context, Draft, Resource } from './resource.ts'

interface Attributes {
  verb: string
  group: string
  resource: string
  subresource?: string | undefined
  namespace?: string | undefined
  name?: string | undefined
}
interface Rule {
  verbs?: string[]
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  nonResourceURLs?: string[]
}
interface Decision {
  allowed: boolean
  reason: string
}

const rbac = 'rbac.authorization.k8s.io'
export const isMaster = (user: User): boolean => user.groups.includes('system:masters')
/** Parts of this process (controllers, scheduler, kubelet …) that call in-process; never a ServiceAccount or a stranger. */
const isSystemPart = ({ name }: User): boolean =>
  name.startsWith('system:') && !name.startsWith('system:serviceaccount:') && name !== 'system:anonymous'

const subjectMatches = (subject: Draft, user: User, namespace: string): boolean => {
  switch (subject.kind) {
    case 'User':
      return subject.name === user.name || subject.name === '*'
    case 'Group':
      return user.groups.includes(subject.name)
    case 'ServiceAccount':
      return user.name === `system:serviceaccount:${subject.namespace || namespace}:${subject.name}`
    default:
      return false
  }
}

/** A role's own rules and those it aggregates from ClusterRoles by label: read when asked, so that none is ever stale. */
const rulesOf = (context: Context, role: Draft): Rule[] => {
  const selectors: Draft[] = role.aggregationRule?.clusterRoleSelectors ?? []
  if (selectors.length === 0) return role.rules ?? []
  const others = (context.store.list(`clusterroles.${rbac}`, '') as Draft[]).filter(
    (other) => other !== role && selectors.some((selector) => matchesSelector(selector, other.metadata.labels)),
  )
  return [...(role.rules ?? []), ...others.flatMap((other) => other.rules ?? [])]
}

interface Source {
  rules: Rule[]
  why: string
}
/** The rules that hold for a user: those of the cluster and, with a namespace, those within it. */
export const rulesFor = (
  context: Context,
  user: User,
  namespace: string | undefined,
): { sources: Source[]; problems: string[] } => {
  const { store } = context
  const sources: Source[] = []
  const problems: string[] = []
  const take = (binding: KubeObject, within: string): void => {
    const { roleRef, subjects = [] } = binding as Draft
    const subject = subjects.find((s: Draft) => subjectMatches(s, user, within))
    if (!subject) return
    const kind = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles'
    const role = store.get(`${kind}.${rbac}`, roleRef.kind === 'ClusterRole' ? '' : within, roleRef.name) as Draft
    if (!role) {
      problems.push(`${roleRef.kind.toLowerCase()}.${rbac} ${JSON.stringify(roleRef.name)} not found`)
      return
    }
    const { name, namespace: home } = binding.metadata
    const who = `${subject.kind} "${subject.kind === 'ServiceAccount' ? `${subject.name}/${subject.namespace || within}` : subject.name}"`
    const why = `RBAC: allowed by ${binding.kind} "${home ? `${name}/${home}` : name}" of ${roleRef.kind} "${roleRef.name}" to ${who}`
    sources.push({ rules: rulesOf(context, role), why })
  }
  for (const binding of store.list(`clusterrolebindings.${rbac}`, '')) take(binding, '')
  if (namespace) for (const binding of store.list(`rolebindings.${rbac}`, namespace)) take(binding, namespace)
  return { sources, problems }
}

const has = (list: string[] | undefined, value: string): boolean =>
  !!list && (list.includes(value) || list.includes('*'))
const resourceMatches = (rule: Rule, resource: string, subresource: string | undefined): boolean => {
  const full = subresource ? `${resource}/${subresource}` : resource
  return (rule.resources ?? []).some(
    (r) => r === '*' || r === full || (subresource !== undefined && r === `*/${subresource}`),
  )
}
const ruleAllows = (rule: Rule, a: Attributes): boolean =>
  has(rule.verbs, a.verb) &&
  has(rule.apiGroups, a.group) &&
  resourceMatches(rule, a.resource, a.subresource) &&
  (!rule.resourceNames?.length || (a.name !== undefined && rule.resourceNames.includes(a.name)))
const pathMatches = (pattern: string, path: string): boolean =>
  pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)))

const decide = (
  context: Context,
  user: User,
  namespace: string | undefined,
  allows: (rule: Rule) => boolean,
): Decision => {
  if (isMaster(user)) return { allowed: true, reason: '' }
  const { sources, problems } = rulesFor(context, user, namespace)
  for (const source of sources) if (source.rules.some(allows)) return { allowed: true, reason: source.why }
  return { allowed: false, reason: problems.length > 0 ? `RBAC: ${problems.join(', ')}` : '' }
}
export const mayAccess = (context: Context, user: User, a: Attributes): Decision =>
  decide(context, user, a.namespace, (rule) => ruleAllows(rule, a))
export const mayVisit = (context: Context, user: User, verb: string, path: string): Decision =>
  decide(
    context,
    user,
    undefined,
    (rule) => has(rule.verbs, verb) && (rule.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, path)),
  )

const attributesOf = (request: ApiRequest): Attributes => ({
  verb: request.verb,
  group: request.group,
  resource: request.resource,
  subresource: request.subresource,
  namespace: request.resource === 'namespaces' && request.group === '' ? request.name : request.namespace,
  name: request.name,
})

/** Throws 403 in Kubernetes' words unless the user may. */
export const authorize = (context: Context, resource: Resource, request: ApiRequest, inProcess: boolean): void => {
  const { user } = request
  if (isMaster(user) || (inProcess && isSystemPart(user))) return
  const a = attributesOf(request)
  const { allowed, reason } = mayAccess(context, user, a)
  if (allowed) return
  const what = a.subresource ? `${a.resource}/${a.subresource}` : a.resource
  const where = a.namespace ? `in the namespace ${JSON.stringify(a.namespace)}` : 'at the cluster scope'
  throw forbidden(
    resource,
    request.name ?? '',
    `User ${JSON.stringify(user.name)} cannot ${a.verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(a.group)} ${where}${reason ? `: ${reason}` : ''}`,
  )
}

const shown = (rule: Rule): string => {
  const part = (name: string, list: string[] | undefined): string[] =>
    list?.length ? [`${name}:[${list.map((x) => JSON.stringify(x)).join(' ')}]`] : []
  return `{${[...part('APIGroups', rule.apiGroups), ...part('Resources', rule.resources), ...part('ResourceNames', rule.resourceNames), ...part('NonResourceURLs', rule.nonResourceURLs), ...part('Verbs', rule.verbs)].join(', ')}}`
}
/** One rule as many that name one thing each. */
const atoms = (rule: Rule): Rule[] => {
  const found: Rule[] = []
  for (const verb of rule.verbs ?? []) {
    for (const url of rule.nonResourceURLs ?? []) found.push({ verbs: [verb], nonResourceURLs: [url] })
    for (const group of rule.apiGroups ?? [])
      for (const resource of rule.resources ?? [])
        for (const name of rule.resourceNames?.length ? rule.resourceNames : [undefined])
          found.push({
            verbs: [verb],
            apiGroups: [group],
            resources: [resource],
            ...(name ? { resourceNames: [name] } : {}),
          })
  }
  return found
}
const covers = (own: Rule, atom: Rule): boolean => {
  if (!has(own.verbs, atom.verbs![0]!)) return false
  if (atom.nonResourceURLs)
    return (own.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, atom.nonResourceURLs![0]!))
  const [resource, subresource] = atom.resources![0]!.split('/')
  return (
    has(own.apiGroups, atom.apiGroups![0]!) &&
    resourceMatches(own, resource!, subresource) &&
    (!own.resourceNames?.length || (atom.resourceNames?.every((name) => own.resourceNames!.includes(name)) ?? false))
  )
}

/** Nobody may grant what they do not have, unless they may escalate (roles) or bind (bindings). */
export const checkEscalation = (context: Context, resource: Resource, draft: Draft, user: User): void => {
  if (resource.group !== rbac || isMaster(user) || isSystemPart(user)) return
  const namespace = draft.metadata.namespace as string | undefined
  const isBinding = resource.resource.endsWith('bindings')
  const target = isBinding ? (draft.roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles') : resource.resource
  const name = isBinding ? draft.roleRef.name : draft.metadata.name
  const verb = isBinding ? 'bind' : 'escalate'
  if (mayAccess(context, user, { verb, group: rbac, resource: target, namespace, name }).allowed) return
  const granted: Rule[] = isBinding
    ? rulesOf(
        context,
        (context.store.get(`${target}.${rbac}`, target === 'roles' ? namespace! : '', name) as Draft) ?? {},
      )
    : (draft.rules ?? [])
  const own = rulesFor(context, user, namespace).sources.flatMap((s) => s.rules)
  const missing = granted.flatMap(atoms).filter((atom) => !own.some((rule) => covers(rule, atom)))
  if (missing.length === 0) return
  throw forbidden(
    resource,
    draft.metadata.name,
    `user ${JSON.stringify(user.name)} (groups=[${user.groups.map((g) => JSON.stringify(g)).join(' ')}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(shown).join('\n')}`,
  )
}
