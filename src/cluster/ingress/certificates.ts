import { createSecureContext, type SecureContext } from 'node:tls'
import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { keyPem, newKey, writeCertificate } from '../../lib/x509.ts'
import { Secret } from '../../spec/kube/kinds.ts'
import type { Informers } from '../types.ts'
import { hostForms, type RouteTable } from './routes.ts'

/** Certificates of TLS secrets by host name; a self-signed one where there is none, as other controllers do. */
export const createCertificates = (informers: Informers, routes: () => RouteTable, log: Log, clock: Clock) => {
  const secrets = informers.of(Secret)
  /** By secret, valid for one resourceVersion. */
  const contexts = new Map<string, { version: string; context: SecureContext | undefined }>()
  let selfSigned: KeyPair | undefined

  const contextOf = (key: string): SecureContext | undefined => {
    const [namespace, name] = key.split('/') as [string, string]
    const secret = secrets.get(namespace, name)
    const version = secret?.metadata.resourceVersion ?? ''
    const known = contexts.get(key)
    if (known && known.version === version) return known.context
    let context: SecureContext | undefined
    const decode = (field: string): Buffer => Buffer.from(secret?.data?.[field] ?? '', 'base64')
    try {
      if (secret) context = createSecureContext({ cert: decode('tls.crt'), key: decode('tls.key') })
    } catch (error) {
      log.warn('a TLS secret cannot be used', { secret: key, error: messageOf(error) })
    }
    contexts.set(key, { version, context })
    return context
  }

  const fallback = (): KeyPair => (selfSigned ??= makeSelfSigned(clock.now()))

  return {
    contextFor(serverName: string): SecureContext {
      for (const form of hostForms(serverName.toLowerCase())) {
        const secret = routes().secrets.get(form)
        const context = secret === undefined ? undefined : contextOf(secret)
        if (context) return context
      }
      return createSecureContext(fallback())
    },
    /** For clients that name no server. */
    fallback,
    synced: secrets.synced,
  }
}

interface KeyPair {
  /** PEM. */
  cert: string
  key: string
}

const dayMs = 86_400_000

const makeSelfSigned = (now: number): KeyPair => {
  const key = newKey()
  const cert = writeCertificate({
    subject: { commonName: 'slipway ingress default certificate' },
    key,
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + 365 * dayMs),
    usages: ['server'],
  })
  return { cert, key: keyPem(key) }
}
