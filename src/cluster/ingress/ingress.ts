import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Ingress } from '../../spec/kube/generated/types.ts'
import { EndpointSlice, IngressClass, Ingress as Ingresses, Service } from '../../spec/kube/kinds.ts'
import { createSliceIndex, keyOf, type SliceIndex } from '../proxy/index.ts'
import type { Informers } from '../types.ts'
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
  let listeners: { http: Listener; https: Listener } | undefined
  let opening: Promise<void> | undefined
  let closed = false
  const stops: (() => void)[] = []

  const isOurs = ({ metadata, spec }: Ingress): boolean => {
    const name = spec?.ingressClassName ?? metadata.annotations?.['kubernetes.io/ingress.class']
    const found = name === undefined ? undefined : classes.get(undefined, name)
    return found?.spec?.controller === undefined || found.spec.controller === controllerName
  }
  const find = (incoming: IncomingMessage): Upstream[] | undefined => {
    const backend = findBackend(routes, hostOf(incoming.headers.host), pathOf(incoming.url ?? '/'))
    return backend && upstreams.of(backend)
  }
  const redirectOf = (incoming: IncomingMessage): string | undefined => {
    const host = hostOf(incoming.headers.host)
    const secure = (incoming.socket as TLSSocket).encrypted === true
    if (secure || !listeners || !hostForms(host).some((form) => form !== '' && routes.secureOnly.has(form)))
      return undefined
    const { port } = listeners.https
    return `https://${host}${port === 443 ? '' : `:${port}`}${incoming.url ?? '/'}`
  }

  const handlers: Handlers = {
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
    certificate: certificates.contextFor,
    fallbackCertificate: certificates.fallback,
  }

  const report = async (ingress: Ingress): Promise<void> => {
    const ports = listeners && [listeners.http.port, listeners.https.port].map((port) => ({ port, protocol: 'TCP' }))
    const wantedStatus = ports ? [{ ip: nodeAddress, ports }] : []
    const shape = (list: typeof wantedStatus | undefined): string =>
      JSON.stringify((list ?? []).map(({ ip, ports }) => [ip, (ports ?? []).map(({ port }) => port)]))
    if (shape(ingress.status?.loadBalancer?.ingress as typeof wantedStatus) === shape(wantedStatus)) return
    try {
      const status = { loadBalancer: wantedStatus.length > 0 ? { ingress: wantedStatus } : {} }
      await client.updateStatus(Ingresses, { ...ingress, status })
    } catch (error) {
      // Changed or deleted meanwhile: its next event brings us back.
      if (!isError(error, 'conflict', 'not-found'))
        log.warn('status of an Ingress', { ingress: keyOf(ingress), error: messageOf(error) })
    }
  }

  /** Opens or closes the ports as needed; one at a time, and looks again when it is done. */
  const settle = async (): Promise<void> => {
    while (!closed && routes.hosts.size + Number(routes.fallback !== undefined) > 0 !== (listeners !== undefined)) {
      if (listeners) {
        const old = listeners
        listeners = undefined
        await Promise.all([old.http.close(), old.https.close()])
      } else {
        const http = await openListener(false, wanted.http, handlers, log)
        listeners = { http, https: await openListener(true, wanted.https, handlers, log) }
        log.info('ingress', { http: listeners.http.port, https: listeners.https.port })
      }
    }
    opening = undefined
    for (const ingress of ingresses.list()) if (isOurs(ingress)) await report(ingress)
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
      await Promise.all([listeners?.http.close(), listeners?.https.close()])
      upstreams.close()
    },
    ports: () => listeners && { http: listeners.http.port, https: listeners.https.port },
    drained: (podUid, signal) => upstreams.drained(podUid, signal),
  }
}
