import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Reference } from '../../spec/oci/index.ts'
import type { RegistryAuth } from '../types.ts'
import { Http } from './http.ts'
import { originsOf, type RegistrySettings } from './origins.ts'
import { Repository } from './repository.ts'
import { Session } from './session.ts'
import { Tokens } from './tokens.ts'
import { Uploads } from './upload.ts'

export type { RegistrySettings } from './origins.ts'
export type { FetchedManifest, Repository } from './repository.ts'
export type { Uploads } from './upload.ts'

interface OpenOptions {
  auth?: RegistryAuth | undefined
  signal?: AbortSignal | undefined
}
export interface Distribution {
  read(reference: Reference, options: OpenOptions): Repository
  /** `sources`: repositories of the same registry that blobs may be mounted from. */
  write(reference: Reference, sources: string[], options: OpenOptions): Uploads
  /** Does the registry take these credentials? 'unauthorized' if not. */
  login(domain: string, options: OpenOptions): Promise<void>
  close(): void
}

/** How long to wait for a connection: a machine without a network should not keep its user waiting. */
const connectMs = 3000

/** Clients of registries (OCI distribution-spec v1.1, docker's token authentication). */
export const createDistribution = (clock: Clock, settings: RegistrySettings = {}): Distribution => {
  const http = new Http(connectMs)
  const tokens = new Tokens(http, () => clock.now())
  const session = (reference: Reference, scopes: string[], options: OpenOptions): Session =>
    new Session({
      http,
      tokens,
      clock,
      origins: originsOf(reference.domain, settings),
      reference,
      auth: options.auth ?? {},
      scopes,
      signal: options.signal,
    })
  return {
    read: (reference, options) =>
      new Repository(session(reference, [`repository:${reference.path}:pull`], options), clock, options.signal),
    write: (reference, sources, options) => {
      const scopes = [`repository:${reference.path}:pull,push`, ...sources.map((path) => `repository:${path}:pull`)]
      return new Uploads(session(reference, scopes, options), clock, options.signal)
    },
    async login(domain, options) {
      // "." is the registry's base, /v2/, which every registry asks credentials for.
      const answer = await session({ domain, path: '.' }, [], options).call('', { method: 'GET' })
      answer.body.resume()
      if (answer.status === 200) return
      const code = answer.status === 401 || answer.status === 403 ? 'unauthorized' : 'unavailable'
      throw new SlipwayError(code, `login attempt to ${answer.url} failed with status: ${answer.status}`)
    },
    close: () => http.close(),
  }
}
