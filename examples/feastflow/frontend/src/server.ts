import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { hostname } from 'node:os'
import { extname, join } from 'node:path'
import { proxy } from './proxy'
import { drainOnSignal } from './shutdown'

const version = process.env.APP_VERSION ?? 'dev'
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const directory = process.env.PUBLIC_DIR ?? join(__dirname, 'public')
const files = new Map(
  readdirSync(directory).map((name) => {
    const body = readFileSync(join(directory, name))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    return [name === 'index.html' ? '/' : `/${name}`, { body, etag, type: types[extname(name)] ?? 'application/octet-stream' }]
  }),
)

const server = createServer((request, response) => {
  const path = (request.url ?? '/').split('?')[0]!
  response.setHeader('X-Served-By', hostname())
  if (path.startsWith('/api/')) {
    proxy(request, response).catch((error: unknown) => {
      console.error(error)
      response.destroy()
    })
    return
  }
  request.resume()
  if (path === '/healthz' || path === '/version') {
    const text = JSON.stringify({ status: 'ok', version, host: hostname() })
    response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', 'Content-Length': Buffer.byteLength(text) })
    response.end(request.method === 'HEAD' ? undefined : text)
    return
  }
  const file = request.method === 'GET' || request.method === 'HEAD' ? files.get(path) : undefined
  if (!file) {
    response.writeHead(404, { 'Content-Type': 'text/plain', 'Content-Length': 10 })
    response.end('not found\n')
  } else if (request.headers['if-none-match'] === file.etag) {
    response.writeHead(304, { ETag: file.etag })
    response.end()
  } else {
    response.writeHead(200, {
      'Content-Type': file.type,
      'Content-Length': file.body.length,
      ETag: file.etag,
      'Cache-Control': 'no-cache',
      'X-Content-Type-Options': 'nosniff',
      'Content-Security-Policy': "default-src 'self'",
    })
    response.end(request.method === 'HEAD' ? undefined : file.body)
  }
})
server.keepAliveTimeout = 75_000
server.headersTimeout = 80_000
drainOnSignal(server, { drainMs: Number(process.env.DRAIN_MS ?? 2000), finally: async () => {} })
server.listen(Number(process.env.PORT ?? 3000), () => console.log(`frontend ${version} listens on ${process.env.PORT ?? 3000}`))
