import { createServer, type IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import { pool, prepareWhenThere } from './database'
import { HttpError, readJson, sendJson } from './http'
import { latestOrders, menu, order, placeOrder, restaurants } from './orders'
import { drainOnSignal } from './shutdown'

const version = process.env.APP_VERSION ?? 'dev'
let isPrepared = false

const health = async (): Promise<unknown> => {
  if (!isPrepared) throw new HttpError(503, 'the database is not prepared yet')
  try {
    await pool.query('SELECT 1')
  } catch (error) {
    throw new HttpError(503, `the database does not answer: ${(error as Error).message}`)
  }
  return { status: 'ok', database: 'up', version }
}

type Route = [method: string, path: RegExp, handle: (match: RegExpExecArray, request: IncomingMessage) => Promise<unknown>, status?: number]
const routes: Route[] = [
  ['GET', /^\/api\/health$/, health],
  ['GET', /^\/api\/version$/, async () => ({ version, host: hostname() })],
  ['GET', /^\/api\/restaurants$/, restaurants],
  ['GET', /^\/api\/restaurants\/(\d{1,9})\/menu$/, (match) => menu(Number(match[1]))],
  ['GET', /^\/api\/orders$/, latestOrders],
  ['GET', /^\/api\/orders\/(\d{1,15})$/, (match) => order(Number(match[1]))],
  [
    'POST',
    /^\/api\/orders$/,
    async (_match, request) => {
      const key = request.headers['idempotency-key']
      return placeOrder(await readJson(request), typeof key === 'string' && key.length <= 100 ? key : undefined)
    },
    201,
  ],
]

const answer = async (request: IncomingMessage): Promise<{ status: number; body: unknown }> => {
  const path = (request.url ?? '/').split('?')[0]!
  let pathKnown = false
  for (const [method, pattern, handle, status = 200] of routes) {
    const match = pattern.exec(path)
    if (!match) continue
    pathKnown = true
    if (method === request.method || (method === 'GET' && request.method === 'HEAD'))
      return { status, body: await handle(match, request) }
  }
  throw pathKnown ? new HttpError(405, `${request.method} is not possible here`) : new HttpError(404, 'there is nothing here')
}

const server = createServer((request, response) => {
  response.setHeader('X-Served-By', hostname())
  answer(request).then(
    ({ status, body }) => sendJson(response, status, body),
    (error: unknown) => {
      const status = error instanceof HttpError ? error.status : 500
      if (status === 500) console.error(error)
      sendJson(response, status, { error: error instanceof HttpError ? error.message : 'something went wrong' })
    },
  )
})
// Longer than any client or balancer keeps an idle connection, so that it is never us who close one in use.
server.keepAliveTimeout = 75_000
server.headersTimeout = 80_000
drainOnSignal(server, { drainMs: Number(process.env.DRAIN_MS ?? 2000), finally: () => pool.end() })

server.listen(Number(process.env.PORT ?? 5000), () => console.log(`backend ${version} listens on ${process.env.PORT ?? 5000}`))
prepareWhenThere().then(() => {
  isPrepared = true
  console.log('database is ready')
}, console.error)
