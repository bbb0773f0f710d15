/** What a client serves to builds over the connection it opened by POST /session, or by the control API's own Session. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { RegistryAuth } from '../../../engine/types.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Exchange } from '../server.ts'
import { GrpcClient } from './client.ts'
import { CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse } from './messages.ts'
import { StatusError } from './status.ts'

export interface Session {
  id: string
  name: string
  /** The same for each build of one directory on one machine; may be ''. */
  sharedKey: string
  client: Pick<GrpcClient, 'unary' | 'open' | 'rest' | 'onClose'>
  /** Has the client announced this method? What it has not is not called. */
  serves(path: string): boolean
}

export const upgradedSession = ({ headers }: Pick<Exchange, 'headers'>, takeOver: () => Duplex): Session => {
  const upgrade = String(headers.upgrade ?? '')
  if (upgrade === '') throw new SlipwayError('bad-request', 'no upgrade proto in request')
  if (upgrade !== 'h2c') throw new SlipwayError('bad-request', `protocol ${upgrade} not supported`)
  return sessionOf(headers, takeOver)
}

/** Of a client that serves nothing: it sends all there is with its request. */
export const emptySession = (): Session => {
  const none = (): never => {
    throw new SlipwayError('precondition', 'no active session: the client serves nothing')
  }
  return {
    ...{ id: '', name: '', sharedKey: '' },
    serves: () => false,
    client: { unary: none, open: none, rest() {}, onClose() {} },
  }
}

/** `headers` say what it is; `takeOver` gives the connection once that is known. */
export const sessionOf = (headers: IncomingHttpHeaders, takeOver: () => Duplex): Session => {
  const header = (name: string): string => String(headers[`x-docker-expose-session-${name}`] ?? '')
  const id = header('uuid')
  if (id === '') throw new SlipwayError('bad-request', 'no session id in the request')
  const methods = new Set(header('grpc-method').toLowerCase().split(/,\s*/))
  return {
    id,
    name: header('name'),
    sharedKey: header('sharedkey'),
    serves: (path) => methods.has(path.toLowerCase()),
    client: new GrpcClient(takeOver()),
  }
}

/** undefined where the client has none. */
export const credentialsOf = async (
  session: Session,
  registry: string,
  signal: AbortSignal,
): Promise<RegistryAuth | undefined> => {
  const path = '/moby.filesync.v1.Auth/Credentials'
  if (!session.serves(path)) return undefined
  // The name that clients know Docker Hub's credentials by.
  const Host = registry === 'docker.io' ? 'registry-1.docker.io' : registry
  const { Username, Secret } = await session.client.unary(
    path,
    [CredentialsRequest, CredentialsResponse],
    { Host },
    signal,
  )
  if (Secret === '') return undefined
  return Username === '' ? { identityToken: Secret } : { username: Username, password: Secret }
}

export const secretOf = async (session: Session, ID: string, signal: AbortSignal): Promise<Uint8Array | undefined> => {
  const path = '/moby.buildkit.secrets.v1.Secrets/GetSecret'
  if (!session.serves(path)) return undefined
  try {
    const { data } = await session.client.unary(path, [GetSecretRequest, GetSecretResponse], { ID }, signal)
    return data
  } catch (error) {
    if (error instanceof StatusError && error.code === 'not-found') return undefined
    throw error
  }
}
