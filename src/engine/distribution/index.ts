import type { Clock } from '../../lib/clock.ts'
import type { Reference } from '../../spec/oci/index.ts'
import type { RegistryAuth } from '../types.ts'
import { Http } from './http.ts'
import { checkLogin } from './login.ts'
import { originsOf, type RegistrySettings } from './origins.ts'
import { Repository } from './repository.ts'
import { Session } from './session.ts'
import { Tokens } from './tokens.ts'
import { Uploads } from './upload.ts'

export { machineCertificates, type RegistrySettings } from './origins.ts'
export type { FetchedManifest, Repository } from './repository.ts'
export type { Uploaded, Uploads } from './upload.ts'

interface OpenOptions {
  auth?: RegistryAuth | undefined
  /** As if the registry were among those of the settings. */
  insecure?: boolean | undefined
  signal?: AbortSignal | undefined
}
export interface Distribution {
  read(reference: Reference, options: OpenOptions): Repository
  /** `sources`: repositories of the same registry that blobs may be mounted from. */
  write(reference: Reference, sources: string[], options: OpenOptions): Uploads
  /**
   * Do these credentials open the registry? `server` as docker login gives it: a host, or a URL. Resolves with an identity
   * token where the registry's token server gives one; 'unauthorized' if they do not.
   */
  login(server: string, auth: RegistryAuth, signal?: AbortSignal): Promise<{ identityToken?: string | undefined }>
  close(): void
}

const trusting = (settings: RegistrySettings, { domain }: Reference, { insecure }: OpenOptions): RegistrySettings =>
  insecure === true ? { ...settings, insecure: [...(settings.insecure ?? []), domain] } : settings

/** How long to wait for a connection: a machine without a network should not keep its user waiting. */
const connectMs = 3000

/** Clients of registries (OCI distribution-spec v1.1, docker's token authentication). */
export const createDistribution = (clock: Clock, settings: () => RegistrySettings = () => ({})): Distribution => {
  const http = new Http(connectMs)
  const tokens = new Tokens(http, clock)
  const session = (reference: Reference, scopes: string[], options: OpenOptions, writes: boolean): Session =>
    new Session({
      http,
      tokens,
      clock,
      origins: originsOf(reference.domain, trusting(settings(), reference, options)),
      reference,
      auth: options.auth ?? {},
      scopes,
      writes,
      signal: options.signal,
    })
  return {
    read: (reference, options) =>
      new Repository(session(reference, [`repository:${reference.path}:pull`], options, false), clock, options.signal),
    write: (reference, sources, options) => {
      const scopes = [`repository:${reference.path}:pull,push`, ...sources.map((path) => `repository:${path}:pull`)]
      return new Uploads(session(reference, scopes, options, true), clock, options.signal)
    },
    login: (server, auth, signal) => checkLogin({ http, tokens, settings: settings(), server, auth, signal }),
    close: () => http.close(),
  }
}
