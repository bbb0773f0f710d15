import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { ApiServer, User } from '../../cluster/types.ts'
import type { Clock } from '../../lib/clock.ts'
import { statusError } from '../../spec/kube/status.ts'
import { reviewAccess } from './access.ts'
import { socketOf } from './exchange.ts'
import { badRequest, unauthorized } from './refusals.ts'

/** Says whose bearer token it is; undefined: nobody's. */
export type TokenVerifier = (token: string, signal?: AbortSignal) => Promise<User | undefined>

const systemAdmin: User = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }
/** Who the door is when it asks the API server on its own behalf. */
export const doorUser: User = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] }
const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] }
/** Paths that need no identity (the ClusterRole system:public-info-viewer). */
const publicPaths = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/'])

/** Asks the API server itself: TokenReview. */
export const tokenReviewer =
  (api: ApiServer): TokenVerifier =>
  async (token, signal) => {
    const answer = await api.handle({
      verb: 'create',
      user: doorUser,
      group: 'authentication.k8s.io',
      version: 'v1',
      resource: 'tokenreviews',
      object: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {}, spec: { token } },
      signal,
    })
    if (answer.kind !== 'object') return undefined
    const status = answer.object.status as
      | {
          authenticated?: boolean
          user?: { username?: string; uid?: string; groups?: string[]; extra?: User['extra'] }
        }
      | undefined
    if (!status?.authenticated || !status.user?.username) return undefined
    const { username, uid, groups = [], extra } = status.user
    return { name: username, uid, groups: [...new Set([...groups, 'system:authenticated'])], extra }
  }

/** Remembers who a token belongs to for a few seconds, as Kubernetes does; at most 1000 tokens. */
export const cachedVerifier = (verify: TokenVerifier, clock: Clock, lifetime = 10_000): TokenVerifier => {
  const known = new Map<string, { user: User; until: number }>()
  return async (token, signal) => {
    const hit = known.get(token)
    if (hit && hit.until > clock.now()) return hit.user
    known.delete(token)
    const user = await verify(token, signal)
    if (user) {
      if (known.size >= 1000) known.delete(known.keys().next().value!)
      known.set(token, { user, until: clock.now() + lifetime })
    }
    return user
  }
}

const certificateUsers = new WeakMap<object, User>()
/** CN is the name, O the groups. Asked once per connection. */
const userOfCertificate = (socket: TLSSocket): User | undefined => {
  if (!socket.authorized) return undefined
  const known = certificateUsers.get(socket)
  if (known) return known
  const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined
  if (!subject?.CN) return undefined
  const user = { name: subject.CN, groups: [...[subject.O ?? []].flat(), 'system:authenticated'] }
  certificateUsers.set(socket, user)
  return user
}

const tokenOf = (request: IncomingMessage): string | undefined => {
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (bearer) return bearer.trim()
  // Browsers cannot set headers on a WebSocket: the token may come as a subprotocol.
  const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((p) => p.trim())
  const prefix = 'base64url.bearer.authorization.k8s.io.'
  const encoded = protocols.find((p) => p.startsWith(prefix))?.slice(prefix.length)
  return encoded && Buffer.from(encoded, 'base64url').toString('utf8')
}

const all = (request: IncomingMessage, name: string): string[] => {
  const values: string[] = []
  // Header lists may be repeated; names differ in case between HTTP versions.
  const raw = request.rawHeaders
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i]!.toLowerCase() === name) values.push(raw[i + 1]!)
  return values
}

/** Applies the Impersonate-* headers, after asking whether `user` may. */
const impersonate = async (api: ApiServer, user: User, request: IncomingMessage): Promise<User> => {
  const [name] = all(request, 'impersonate-user')
  const groups = all(request, 'impersonate-group')
  const [uid] = all(request, 'impersonate-uid')
  const extraPrefix = 'impersonate-extra-'
  const extraNames = Object.keys(request.headers).filter((h) => h.startsWith(extraPrefix))
  if (name === undefined) {
    if (groups.length || uid || extraNames.length) {
      throw badRequest('requested impersonation of groups, uids or extra without impersonating a user')
    }
    return user
  }
  const extra: Record<string, string[]> = {}
  for (const header of extraNames) extra[decodeURIComponent(header.slice(extraPrefix.length))] = all(request, header)
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name)
  const wanted: { resource: string; name: string; namespace?: string; group?: string; subresource?: string }[] = [
    account ? { resource: 'serviceaccounts', namespace: account[1]!, name: account[2]! } : { resource: 'users', name },
    ...groups.map((group) => ({ resource: 'groups', name: group })),
    ...(uid ? [{ resource: 'uids', name: uid, group: 'authentication.k8s.io' }] : []),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => ({
        resource: 'userextras',
        subresource: key,
        name: value,
        group: 'authentication.k8s.io',
      })),
    ),
  ]
  for (const attributes of wanted) {
    const review = await reviewAccess(api, user, { verb: 'impersonate', ...attributes })
    if (review.allowed) continue
    const what = attributes.group ? `${attributes.resource}.${attributes.group}` : attributes.resource
    throw statusError(
      'forbidden',
      `${what} "${attributes.name}" is forbidden: User "${user.name}" cannot impersonate resource "${attributes.resource}" in API group "${attributes.group ?? ''}"${attributes.namespace ? ` in the namespace "${attributes.namespace}"` : ' at the cluster scope'}`,
      { details: { name: attributes.name, kind: attributes.resource } },
    )
  }
  const implied =
    account && groups.length === 0 ? ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`] : []
  const authenticated = name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated'
  return { name, uid, extra, groups: [...new Set([...groups, ...implied, authenticated])] }
}

/** Says who asks. Rejects with 401 when it is nobody known. */
export type Authenticator = (request: IncomingMessage, path: string, signal: AbortSignal) => Promise<User>

/** Client certificates, bearer tokens, and on the unix socket (`local`) the administrator; then impersonation. */
export const createAuthenticator =
  (api: ApiServer, verify: TokenVerifier, local: boolean): Authenticator =>
  async (request, path, signal) => {
    const token = tokenOf(request)
    const user =
      (token ? await verify(token, signal) : undefined) ??
      (local && !token ? systemAdmin : local ? undefined : userOfCertificate(socketOf(request) as TLSSocket))
    if (user) return impersonate(api, user, request)
    if (!token && publicPaths.has(path)) return anonymous
    throw unauthorized()
  }
