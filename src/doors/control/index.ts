/** The control door: status, stop, builds and images for our own command line, on a socket only root can open. */
import { chmodSync, rmSync } from 'node:fs'
import { entitled } from '../../build/index.ts'
import type { Builder, BuildProgress, Question, BuildRequest } from '../../build/types.ts'
import type {
  BuildOrder,
  DaemonStatus,
  EnsureOrder,
  ImageAnswer,
  ImageBuildOrder,
  ManifestAnswer,
  ManifestOrder,
  PushOrder,
  StreamLine,
  WireError,
} from '../../clients/control/index.ts'
import type { Images } from '../../engine/types.ts'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from '../../lib/http/node.ts'
import type { Log } from '../../lib/log.ts'
import { buildImage, describeImage, cacheOf } from './image-build.ts'

interface ControlBackend {
  status(): Promise<DaemonStatus>
  /** Ends the daemon after the answer is out; `containers`: and everything that runs; `again`: another one follows. */
  stop(options: { containers: boolean; again: boolean }): Promise<void>
  images: Pick<Images, 'get' | 'must' | 'pull' | 'push' | 'tag' | 'document'>
  builder: Pick<Builder, 'build' | 'export' | 'describe'>
  log: Log
}

const wire = (error: unknown): WireError =>
  isError(error)
    ? { code: error.code, message: error.message, hint: error.hint, at: error.at, details: error.details }
    : { code: 'internal', message: messageOf(error) }

const readJson = async (req: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return text === '' ? {} : JSON.parse(text)
}

export const createControlDoor = (
  backend: ControlBackend,
): { listen(socketPath: string): Promise<void>; close(): void } => {
  const server: Server = createServer((req, res) => {
    answer(backend, req, res).catch((error) => {
      backend.log.error('control request failed', { url: req.url ?? '', error: messageOf(error) })
      if (!res.headersSent) json(res, 500, { error: wire(error) })
      else res.destroy()
    })
  })
  server.requestTimeout = 0
  return {
    listen: (socketPath) =>
      new Promise((resolve, reject) => {
        rmSync(socketPath, { force: true })
        server.once('error', reject)
        server.listen(socketPath, () => {
          chmodSync(socketPath, 0o600)
          resolve()
        })
      }),
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

const json = (res: ServerResponse, status: number, body: unknown): void => {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const answer = async (backend: ControlBackend, req: IncomingMessage, res: ServerResponse): Promise<void> => {
  const route = `${req.method} ${req.url}`
  switch (route) {
    case 'GET /v1/status':
      return json(res, 200, await backend.status())
    case 'POST /v1/stop': {
      const options = (await readJson(req)) as { containers?: boolean; again?: boolean }
      await backend.stop({ containers: options.containers ?? false, again: options.again ?? false })
      return json(res, 200, {})
    }
    case 'POST /v1/build':
      return stream(req, res, (order, send, signal) => build(backend, order as BuildOrder, send, signal))
    case 'POST /v1/images/build':
      return stream(req, res, (order, send, signal) =>
        buildImage(backend.builder, order as ImageBuildOrder, telling(send), signal),
      )
    case 'POST /v1/images/describe/check':
    case 'POST /v1/images/describe/outline':
    case 'POST /v1/images/describe/targets': {
      const what = route.split('/').at(-1) as Question
      return stream(req, res, (order, _, signal) =>
        describeImage(backend.builder, order as ImageBuildOrder, what, signal),
      )
    }
    case 'POST /v1/images/manifest':
      return stream(req, res, (order, _, signal) => manifest(backend, order as ManifestOrder, signal))
    case 'POST /v1/images/ensure':
      return stream(req, res, (order, send, signal) => ensure(backend, order as EnsureOrder, send, signal))
    case 'POST /v1/images/push':
      return stream(req, res, (order, send, signal) => push(backend, order as PushOrder, send, signal))
    case 'POST /v1/images/tag': {
      const { source, target } = (await readJson(req)) as { source: string; target: string }
      try {
        await backend.images.tag(source, target)
        return json(res, 200, {})
      } catch (error) {
        return json(res, 400, { error: wire(error) })
      }
    }
    default:
      return json(res, 404, {
        error: { code: 'not-found', message: `no such control request: ${route}` } satisfies WireError,
      })
  }
}

type Send = (line: StreamLine) => void
type Work = (
  order: unknown,
  send: Send,
  signal: AbortSignal,
) => Promise<Extract<StreamLine, { result: unknown }>['result']>

/** Runs `work`; its lines go out as they come; a client that hangs up aborts it. */
const stream = async (req: IncomingMessage, res: ServerResponse, work: Work): Promise<void> => {
  const order = await readJson(req)
  const abort = new AbortController()
  res.on('close', () => abort.abort(new SlipwayError('cancelled', 'the client went away')))
  res.writeHead(200, { 'content-type': 'application/x-ndjson' })
  res.flushHeaders()
  const send: Send = (line) => void res.write(`${JSON.stringify(line)}\n`)
  try {
    send({ result: await work(order, send, abort.signal) })
  } catch (error) {
    send({ error: wire(error) })
  }
  res.end()
}

const telling =
  (send: Send) =>
  (event: BuildProgress): void =>
    send({
      build:
        event.type === 'log'
          ? { type: 'log', id: event.id, stream: event.stream, base64: event.data.toString('base64') }
          : event,
    })

const build = async (
  backend: ControlBackend,
  order: BuildOrder,
  send: Send,
  signal: AbortSignal,
): Promise<ImageAnswer> => {
  const { secrets, auths, cacheFrom, cacheTo, entitlements, ...rest } = order
  const decoded = Object.entries(secrets).map(
    ([id, s]) => [id, 'valueBase64' in s ? { value: Buffer.from(s.valueBase64, 'base64') } : s] as const,
  )
  const request: BuildRequest = {
    ...rest,
    ...entitled(entitlements),
    cacheFrom: cacheFrom.map(cacheOf),
    cacheTo: cacheTo.map(cacheOf),
    secrets: Object.fromEntries(decoded),
    auth: (registry) => auths[registry],
    signal,
    progress: telling(send),
  }
  const { image, changed } = isIndex(order) ? await asIndex(backend, request) : await backend.builder.build(request)
  return { id: image.id, reference: order.tags[0] ?? image.id, config: image.config.config ?? {}, changed }
}

const isIndex = ({ platforms, attest }: BuildOrder): boolean => platforms.length > 1 || Object.keys(attest).length > 0

/** The image that the names mean here. */
const asIndex = async ({ builder, images }: ControlBackend, request: BuildRequest) => {
  const [name = ''] = request.tags
  const before = (await images.get(name))?.id
  await builder.export({ ...request, tags: [] }, [{ type: 'image', attrs: { name: request.tags.join(',') } }])
  const image = await images.must(name)
  return { image, changed: image.id !== before }
}

const manifest = async (
  { images }: ControlBackend,
  { reference, auth }: ManifestOrder,
  signal: AbortSignal,
): Promise<ManifestAnswer> => {
  const document = await images.document(reference, { auth, signal })
  try {
    return { descriptor: document.descriptor, body: document.body.toString() }
  } finally {
    await document.close()
  }
}

const ensure = async (
  backend: ControlBackend,
  order: EnsureOrder,
  send: Send,
  signal: AbortSignal,
): Promise<ImageAnswer> => {
  const present = order.policy === 'always' ? undefined : await backend.images.get(order.reference)
  if (!present && order.policy === 'never')
    throw new SlipwayError('not-found', `No such image: ${order.reference}`, {
      hint: 'pull_policy is never: build or load the image first.',
    })
  const [os, architecture, variant] = order.platform?.split('/') ?? []
  const image =
    present ??
    (await backend.images.pull(order.reference, {
      ...(os && architecture ? { platform: { os, architecture, ...(variant ? { variant } : {}) } } : {}),
      auth: order.auth,
      signal,
      progress: (step) => send({ transfer: step }),
    }))
  return { id: image.id, reference: order.reference, config: image.config.config ?? {}, changed: !present }
}

const push = async (
  backend: ControlBackend,
  order: PushOrder,
  send: Send,
  signal: AbortSignal,
): Promise<{ digest: string }> => {
  const { digest } = await backend.images.push(order.reference, {
    auth: order.auth,
    signal,
    progress: (step) => send({ transfer: step }),
  })
  return { digest }
}
