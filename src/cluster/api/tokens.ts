/** ServiceAccount tokens: JWTs (RFC 7519, ES256) signed with a key that lives with the objects. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto'
import { timestamp } from '../../lib/timestamp.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ApiRequest, User } from '../types.ts'
import { conflict, invalid, invalidObject, notFound } from './errors.ts'
import { getObject } from './read.ts'
import type { Context, Draft } from './resource.ts'

const defaultIssuer = 'https://kubernetes.default.svc.cluster.local'
const identity = { group: 'authentication.k8s.io', resource: 'tokenrequests', kind: 'TokenRequest' }
const defaultSeconds = 3600

const keys = new WeakMap<object, { private: KeyObject; public: KeyObject; id: string }>()
const keyOf = (context: Context): { private: KeyObject; public: KeyObject; id: string } => {
  const found = keys.get(context.store)
  if (found) return found
  const pem = context.store.setting('service-account-key', () =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const id = context.store.setting('service-account-key-id', () => randomUUID())
  const key = { private: createPrivateKey(pem), public: createPublicKey(pem), id }
  keys.set(context.store, key)
  return key
}
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const issuerOf = (context: Context): string => context.options.issuer ?? defaultIssuer

const boundTo = (context: Context, request: ApiRequest, ref: Draft): Draft | undefined => {
  if (!ref) return undefined
  const resource =
    ref.kind === 'Pod' ? 'pods' : ref.kind === 'Secret' ? 'secrets' : ref.kind === 'Node' ? 'nodes' : undefined
  if (!resource)
    throw invalidObject(identity, request.name!, [
      invalid('spec.boundObjectRef.kind', ref.kind ?? '', 'must be one of Pod, Secret, Node'),
    ])
  const object = context.store.get(resource, ref.kind === 'Node' ? '' : request.namespace!, ref.name ?? '')
  if (!object) throw notFound({ group: '', resource, kind: ref.kind }, ref.name)
  if (ref.uid && ref.uid !== object.metadata.uid)
    throw conflict(
      { group: '', resource, kind: ref.kind },
      ref.name,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    )
  return object
}

/** A JWT for the account; without `seconds` it does not run out by itself. */
const signed = (context: Context, account: KubeObject, audiences: string[], bound: Draft, seconds?: number): string => {
  const { namespace, name, uid } = account.metadata
  const now = Math.floor(context.clock.now() / 1000)
  const key = keyOf(context)
  const claims = {
    aud: audiences,
    ...(seconds === undefined ? {} : { exp: now + seconds }),
    iat: now,
    iss: issuerOf(context),
    jti: randomUUID(),
    nbf: now,
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': { namespace, serviceaccount: { name, uid }, ...bound },
  }
  const text = `${part({ alg: 'ES256', kid: key.id })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(text), { key: key.private, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

export const requestToken = (context: Context, request: ApiRequest): KubeObject => {
  const accounts = context.registry.byId('serviceaccounts')!
  const account = getObject(context, accounts, request.namespace!, request.name!)
  const spec = ((request.object as Draft).spec ?? {}) as Draft
  const seconds = spec.expirationSeconds ?? defaultSeconds
  if (seconds < 600)
    throw invalidObject(identity, '', [
      invalid('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes'),
    ])
  if (seconds > 2 ** 32)
    throw invalidObject(identity, '', [
      invalid('spec.expirationSeconds', seconds, 'may not specify a duration larger than 2^32 seconds'),
    ])
  const bound = boundTo(context, request, spec.boundObjectRef)
  const audiences = spec.audiences?.length ? spec.audiences : [issuerOf(context)]
  const now = Math.floor(context.clock.now() / 1000)
  const reference = bound && {
    [spec.boundObjectRef.kind.toLowerCase()]: { name: bound.metadata.name, uid: bound.metadata.uid },
  }
  const token = signed(context, account, audiences, reference ?? {}, seconds)
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: {
      name: account.metadata.name,
      namespace: account.metadata.namespace,
      creationTimestamp: timestamp(now * 1000),
    },
    spec: {
      audiences,
      expirationSeconds: seconds,
      ...(spec.boundObjectRef ? { boundObjectRef: spec.boundObjectRef } : {}),
    },
    status: { token, expirationTimestamp: timestamp((now + seconds) * 1000) },
  }
}

/** Fills a Secret of type kubernetes.io/service-account-token: a token without end that dies with the Secret. */
export const fillTokenSecret = (context: Context, secret: Draft): void => {
  const { namespace, name, annotations = {} } = secret.metadata
  const account = context.store.get(
    'serviceaccounts',
    namespace,
    annotations['kubernetes.io/service-account.name'] ?? '',
  )
  if (!account) return
  secret.metadata.annotations = { ...annotations, 'kubernetes.io/service-account.uid': account.metadata.uid }
  const token = signed(context, account, [issuerOf(context)], {
    secret: { name, uid: secret.metadata.uid },
  })
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const { ca } = context.options
  secret.data = {
    ...secret.data,
    token: base64(token),
    namespace: base64(namespace),
    ...(ca ? { 'ca.crt': base64(ca) } : {}),
  }
}

/** The user of a token we signed, for one of `audiences` (absent: the API server itself); undefined for any other. */
export const authenticate = (
  context: Context,
  token: string,
  audiences?: string[],
): { user: User; audiences: string[] } | undefined => {
  const [head, body, signature, ...more] = token.split('.')
  if (!head || !body || !signature || more.length > 0) return undefined
  const key = keyOf(context)
  const valid = verify(
    'sha256',
    Buffer.from(`${head}.${body}`),
    { key: key.public, dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'),
  )
  if (!valid) return undefined
  let claims: Draft
  try {
    claims = JSON.parse(Buffer.from(body, 'base64url').toString())
  } catch {
    return undefined
  }
  const now = context.clock.now() / 1000
  if (claims.iss !== issuerOf(context) || claims.exp < now || claims.nbf > now + 10) return undefined
  const wanted = audiences?.length ? audiences : [issuerOf(context)]
  const shared = wanted.filter((audience) => claims.aud.includes(audience))
  if (shared.length === 0) return undefined
  const { namespace, serviceaccount, pod, secret } = claims['kubernetes.io']
  const account = context.store.get('serviceaccounts', namespace, serviceaccount.name)
  // A token dies with its account and with what it was bound to.
  if (account?.metadata.uid !== serviceaccount.uid) return undefined
  if (pod && context.store.get('pods', namespace, pod.name)?.metadata.uid !== pod.uid) return undefined
  if (secret && context.store.get('secrets', namespace, secret.name)?.metadata.uid !== secret.uid) return undefined
  return {
    user: {
      name: claims.sub,
      uid: serviceaccount.uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
        ...(pod
          ? { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] }
          : {}),
      },
    },
    audiences: shared,
  }
}
