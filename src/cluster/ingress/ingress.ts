import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Ingress, IngressClass as IngressClassObject } from '../../spec/kube/generated/types.ts'
import { EndpointSlice, IngressClass, Ingress as Ingresses, Service } from '../../spec/kube/kinds.ts'
import { createSliceIndex, keyOf, type SliceIndex } from '../proxy/index.ts'
import type { Informer, Informers } from '../types.ts'
import { createCertificates } from './certificates.ts'
import { answerPlain, forwardRequest, forwardUpgrade } from './forward.ts'
import { type Handlers, type Listener, openListener } from './listeners.ts'
import { buildRoutes, findBackend, hostForms, hostOf, pathOf, type RouteTable } from './routes.ts'
import { createUpstreams, type Upstream } from './upstreams.ts'

const controllerName = 'slipway.dev/ingress'

interface IngressOptions {
  informers: Informers
  client: ObjectClient
  log: Log
  clock: Clock
  nodeAddress: string
  /** Tried in order, then any free one. Default: 80, 8080 and 443, 8443. */
  ports?: { http: readonly number[]; https: readonly number[] } | undefined
}
interface RunningIngress {
  start(): Promise<void>
  close(): Promise<void>
  /** Where it listens; undefined while there is no Ingress. */
  ports(): { http: number; https: number } | undefined
  /** Resolves when no new request can go to the pod and none is under way to it. */
  drained(podUid: string, signal?: AbortSignal): Promise<void>
}

/**
 * The HTTP way in: serves Ingress objects of our class, of no class, and of classes nobody here controls (so that what was
 * written for another controller works). Host ports are taken only while there is an Ingress.
 */
export const createIngress = (options: IngressOptions): RunningIngress => {
  const { informers, client, log, nodeAddress } = options
  const wanted = options.ports ?? { http: [80, 8080], https: [443, 8443] }
  const ingresses = informers.of(Ingresses)
  const classes = informers.of(IngressClass)
  const slices = informers.of(EndpointSlice)
  const services = informers.of(Service)
  let routes: RouteTable = buildRoutes([])
  let index: SliceIndex | undefined
  const upstreams = createUpstreams(informers, () => index)
  const certificates = createCertificates(informers, () => routes, log, options.clock)
  let listeners: Listeners | undefined
  let opening: Promise<void> | undefined
  let closed = false
  const stops: (() => void)[] = []

  const isOurs = (ingress: Ingress): boolean => isOfOurClass(ingress, classes)
  const find = (incoming: IncomingMessage): Upstream[] | undefined => {
    const backend = findBackend(routes, hostOf(incoming.headers.host), pathOf(incoming.url ?? '/'))
    return backend && upstreams.of(backend)
  }
  const handlers: Handlers = {
    ...answering(find, (incoming) => listeners && redirectToTls(incoming, routes, listeners.https.port), log),
    certificate: certificates.contextFor,
    fallbackCertificate: certificates.fallback,
  }

  /** Opens or closes the ports as needed; one at a time, and looks again when it is done. */
  const settle = async (): Promise<void> => {
    while (!closed && routes.hosts.size + Number(routes.fallback !== undefined) > 0 !== (listeners !== undefined)) {
      if (listeners) {
        const old = listeners
        listeners = undefined
        await shut(old)
      } else listeners = await listen(wanted, handlers, log)
    }
    opening = undefined
    for (const ingress of ingresses.list())
      if (isOurs(ingress)) await report(client, ingress, published(nodeAddress, listeners), log)
  }
  const refresh = (): void => {
    routes = buildRoutes(ingresses.list().filter(isOurs))
    opening ??= Promise.resolve()
      .then(settle)
      .catch((error: unknown) => {
        opening = undefined
        log.error('ingress', { error: messageOf(error) })
      })
  }

  return {
    async start() {
      await Promise.all([ingresses, classes, slices, services].map(({ synced }) => synced))
      await certificates.synced
      index = createSliceIndex(slices, (key) => upstreams.changed(key))
      stops.push(index.close, ingresses.on(refresh), classes.on(refresh))
      refresh()
      await opening
    },
    async close() {
      closed = true
      for (const stop of stops) stop()
      await opening
      if (listeners) await shut(listeners)
      upstreams.close()
    },
    ports: () => listeners && { http: listeners.http.port, https: listeners.https.port },
    drained: (podUid, signal) => upstreams.drained(podUid, signal),
  }
}

type Listeners = Record<'http' | 'https', Listener>

const listen = async (
  wanted: NonNullable<IngressOptions['ports']>,
  handlers: Handlers,
  log: Log,
): Promise<Listeners> => {
  const http = await openListener(false, wanted.http, handlers, log)
  const https = await openListener(true, wanted.https, handlers, log)
  log.info('ingress', { http: http.port, https: https.port })
  return { http, https }
}
const shut = async ({ http, https }: Listeners): Promise<void> => {
  await Promise.all([http.close(), https.close()])
}
const published = (ip: string, listeners: Listeners | undefined): Published[] =>
  listeners ? [{ ip, ports: [listeners.http, listeners.https].map(({ port }) => ({ port, protocol: 'TCP' })) }] : []

const isOfOurClass = ({ metadata, spec }: Ingress, classes: Informer<IngressClassObject>): boolean => {
  const name = spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']
  const found = name === undefined ? undefined : classes.get(undefined, name)
  return found?.spec?.controller === undefined || found.spec.controller === controllerName
}

/** Where a plain request should go instead, if its host wants TLS. */
const redirectToTls = (incoming: IncomingMessage, routes: RouteTable, port: number): string | undefined => {
  const host = hostOf(incoming.headers.host)
  const secure = (incoming.socket as TLSSocket).encrypted === true
  if (secure || !hostForms(host).some((form) => form !== '' && routes.secureOnly.has(form))) return undefined
  return `https://${host}${port === 443 ? '' : `:${port}`}${incoming.url ?? '/'}`
}

/** What a request gets: a redirect, the answer of a backend, or that there is none. */
const answering = (
  find: (incoming: IncomingMessage) => Upstream[] | undefined,
  redirectOf: (incoming: IncomingMessage) => string | undefined,
  log: Log,
): Pick<Handlers, 'request' | 'upgrade'> => ({
  request(incoming: IncomingMessage, response: ServerResponse, port: number): void {
    response.on('error', () => response.destroy())
    const location = redirectOf(incoming)
    if (location !== undefined) {
      response.writeHead(308, { location, 'content-length': 0 }).end()
      return
    }
    const found = find(incoming)
    if (!found) {
      answerPlain(response, 404, 'not found: no Ingress rule matches')
      return
    }
    forwardRequest(incoming, response, found, port).catch((error: unknown) => {
      log.error('request', { error: messageOf(error) })
      response.destroy()
    })
  },
  upgrade(incoming: IncomingMessage, socket: Duplex, first: Buffer, port: number): void {
    forwardUpgrade(incoming, socket, first, find(incoming) ?? [], port).catch((error: unknown) => {
      log.error('upgrade', { error: messageOf(error) })
      socket.destroy()
    })
  },
})

interface Published {
  ip: string
  ports: { port: number; protocol: string }[]
}

/** Writes where it can be reached into the Ingress, where that is not there yet. */
const report = async (client: ObjectClient, ingress: Ingress, published: Published[], log: Log): Promise<void> => {
  const shape = (list: Published[] | undefined): string =>
    JSON.stringify((list ?? []).map(({ ip, ports }) => [ip, (ports ?? []).map(({ port }) => port)]))
  if (shape(ingress.status?.loadBalancer?.ingress as Published[]) === shape(published)) return
  try {
    const status = { loadBalancer: published.length > 0 ? { ingress: published } : {} }
    await client.updateStatus(Ingresses, { ...ingress, status })
  } catch (error) {
    // Changed or deleted meanwhile: its next event brings us back.
    if (!isError(error, 'conflict', 'not-found'))
      log.warn('status of an Ingress', { ingress: keyOf(ingress), error: messageOf(error) })
  }
}
