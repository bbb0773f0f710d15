import type { ApiServer, User } from '../../cluster/types.ts'
import { statusError } from '../../spec/kube/status.ts'

interface ResourceAccess {
  verb: string
  group?: string | undefined
  resource: string
  subresource?: string | undefined
  namespace?: string | undefined
  name?: string | undefined
}

const superuser = 'system:masters'

/** Asks the API server's authoriser (SubjectAccessReview) whether `user` may; members of system:masters always may. */
export const reviewAccess = async (
  api: ApiServer,
  user: User,
  access: ResourceAccess | { verb: string; path: string },
): Promise<{ allowed: boolean; reason: string }> => {
  if (user.groups.includes(superuser)) return { allowed: true, reason: '' }
  const answer = await api.handle({
    verb: 'create',
    user: { name: 'system:apiserver', groups: [superuser, 'system:authenticated'] },
    group: 'authorization.k8s.io',
    version: 'v1',
    resource: 'subjectaccessreviews',
    object: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      metadata: {},
      spec: {
        user: user.name,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        ...('path' in access
          ? { nonResourceAttributes: access }
          : { resourceAttributes: { ...access, group: access.group ?? '', version: '*' } }),
      },
    },
  })
  const status = (answer.kind === 'object' ? answer.object.status : undefined) as
    | { allowed?: boolean; reason?: string }
    | undefined
  return { allowed: status?.allowed === true, reason: status?.reason ?? '' }
}

/** 403 in Kubernetes' words unless `user` may. */
export const requireAccess = async (api: ApiServer, user: User, access: ResourceAccess): Promise<void> => {
  const { allowed, reason } = await reviewAccess(api, user, access)
  if (allowed) return
  const resource = access.subresource ? `${access.resource}/${access.subresource}` : access.resource
  const where = access.namespace ? `in the namespace "${access.namespace}"` : 'at the cluster scope'
  const text = `User "${user.name}" cannot ${access.verb} resource "${resource}" in API group "${access.group ?? ''}" ${where}`
  throw statusError(
    'forbidden',
    `${access.resource}${access.name ? ` "${access.name}"` : ''} is forbidden: ${text}${reason ? `: ${reason}` : ''}`,
    { details: { name: access.name, group: access.group || undefined, kind: access.resource } },
  )
}
