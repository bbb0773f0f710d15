/** Everything that is not a resource: discovery, OpenAPI, version and health. */
import { createHash } from 'node:crypto'
import type { ApiServer } from '../../cluster/types.ts'
import { parseAccept } from '../../lib/http/media.ts'
import { discovery } from './discovery.ts'
import { type Exchange, send, sendCached, sendJson } from './exchange.ts'

export interface VersionInfo {
  /** "v1.33.4+slipway" */
  gitVersion: string
  buildDate: string
}
export const defaultVersion: VersionInfo = { gitVersion: 'v1.33.4+slipway', buildDate: '2025-08-13T00:00:00Z' }

const versionDocument = ({ gitVersion, buildDate }: VersionInfo) => {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(gitVersion) ?? []
  return {
    major,
    minor,
    emulationMajor: major,
    emulationMinor: minor,
    minCompatibilityMajor: major,
    minCompatibilityMinor: String(Number(minor) - 1),
    gitVersion,
    gitCommit: createHash('sha1').update(gitVersion).digest('hex'),
    gitTreeState: 'clean',
    buildDate,
    goVersion: `node-${process.version}`,
    compiler: 'node',
    platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  }
}

const openapiIndex = (api: ApiServer): { body: string; etag: string } => {
  const paths: Record<string, { serverRelativeURL: string }> = {}
  for (const { path, hash } of api.openapi().paths()) {
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }
  }
  const body = JSON.stringify({ paths })
  return { body, etag: createHash('sha256').update(body).digest('hex').toUpperCase() }
}

const sendOpenapi = async (api: ApiServer, exchange: Exchange): Promise<boolean> => {
  const { path, query } = exchange
  if (path === '/openapi/v3' || path === '/openapi/v3/') {
    const { body, etag } = openapiIndex(api)
    await sendCached(exchange, 'application/json', body, etag)
    return true
  }
  const wanted = path.slice('/openapi/v3/'.length)
  const entry = api
    .openapi()
    .paths()
    .find((p) => p.path === wanted)
  if (!entry) return false
  const asked = query.get('hash')
  if (asked && asked !== entry.hash) {
    exchange.response.writeHead(301, { location: `/openapi/v3/${wanted}?hash=${entry.hash}`, 'content-length': 0 })
    exchange.response.end()
    return true
  }
  // A document under its hash never changes; clients keep it on disk.
  const forever = { 'cache-control': 'public, immutable', expires: new Date(Date.now() + 31536000e3).toUTCString() }
  const body = JSON.stringify(api.openapi().document(wanted))
  await sendCached(exchange, 'application/json', body, entry.hash, asked ? forever : {})
  return true
}

/**
 * OpenAPI v2 for kubectl before 1.29, which will not apply without it. It validates on the server all the same, so an empty
 * description serves: in protobuf (gnostic's Document) that is an empty message.
 */
const sendOpenapiV2 = async ({ request, response }: Exchange): Promise<void> => {
  const wanted = parseAccept(request.headers.accept)[0]?.type ?? ''
  if (wanted.startsWith('application/com.github.proto-openapi.spec.v2')) {
    await send(request, response, 200, 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf', '')
    return
  }
  const empty = { swagger: '2.0', info: { title: 'Kubernetes', version: 'unversioned' }, paths: {}, definitions: {} }
  await sendJson({ request, response }, 200, empty)
}

const healthPaths = /^\/(healthz|livez|readyz)(\/[\w-]+)?$/

/** Answers what is not a resource; false: there is no such page. */
export const handleGeneral = async (
  api: ApiServer,
  exchange: Exchange,
  version: VersionInfo,
  ready: () => boolean,
): Promise<boolean> => {
  const { path, request, response } = exchange
  if (request.method !== 'GET' && request.method !== 'HEAD') return false
  if (path === '/version' || path === '/version/') {
    await sendJson(exchange, 200, versionDocument(version))
    return true
  }
  if (healthPaths.test(path)) {
    const well = !path.startsWith('/readyz') || ready()
    const text = exchange.query.has('verbose') && well ? `[+]ping ok\n${path.slice(1)} check passed\n` : 'ok'
    await send(request, response, well ? 200 : 500, 'text/plain; charset=utf-8', well ? text : '[-]starting failed\n', {
      'x-content-type-options': 'nosniff',
    })
    return true
  }
  if (path === '/' || path === '') {
    const paths = ['/api', '/apis', '/healthz', '/livez', '/openapi/v3', '/readyz', '/version']
    await sendJson(exchange, 200, { paths })
    return true
  }
  if (path === '/openapi/v2') {
    await sendOpenapiV2(exchange)
    return true
  }
  if (path.startsWith('/openapi/v3')) return sendOpenapi(api, exchange)
  if (!/^\/apis?(\/|$)/.test(path)) return false
  const local = request.socket.localAddress
  const document = discovery(path, request.headers.accept, api.resources(), `${local ?? 'localhost'}:443`)
  if (!document) return false
  await sendCached(exchange, document.contentType, document.body, document.etag)
  return true
}
