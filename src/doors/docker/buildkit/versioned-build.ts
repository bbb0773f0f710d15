/**
 * POST /build?version=2: how clients before buildx ask for BuildKit (docker 18.09 to 20.10). Options are in the query, files come
 * by the session, progress goes out as JSON lines with StatusResponse messages inside.
 */
import type { Readable } from 'node:stream'
import { SlipwayError } from '../../../errors.ts'
import { limitsIn } from '../build-resources.ts'
import { extraHost } from '../container-checks.ts'
import { isTrue } from '../filters.ts'
import type { Exchange, Route } from '../server.ts'
import { route, textOf } from '../server.ts'
import { Arrivals } from './arrivals.ts'
import type { ControlDeps } from './control.ts'
import { createJob, type Export } from './job.ts'
import { StatusResponse } from './messages.ts'
import { emptySession } from './session.ts'
import { solve } from './solve.ts'
import { uploadUrl } from './upload.ts'

const json = <T>(x: Exchange, name: string, empty: T): T => {
  const text = x.query.get(name)
  if (!text) return empty
  try {
    return (JSON.parse(text) as T | null) ?? empty // old clients write "null" for none
  } catch (cause) {
    throw new SlipwayError('bad-request', `error reading ${name}: not JSON`, { cause })
  }
}

/** The query as the Dockerfile frontend's attributes. */
const attrsOf = (x: Exchange): Record<string, string> => {
  const get = (name: string): string => x.query.get(name) ?? ''
  const flag = (name: string): boolean => ['1', 'true'].includes(get(name).toLowerCase())
  const args = Object.entries(json<Record<string, string | null>>(x, 'buildargs', {}))
  const labels = Object.entries(json<Record<string, string>>(x, 'labels', {}))
  const ulimits = json<{ Name: string; Soft: number; Hard: number }[]>(x, 'ulimits', [])
  return {
    filename: get('dockerfile') || 'Dockerfile',
    target: get('target'),
    platform: get('platform'),
    'force-network-mode': get('networkmode'),
    'add-hosts': x.query
      .getAll('extrahosts')
      .flatMap((lines) => lines.split(','))
      .filter(Boolean)
      .map(extraHost)
      .map(({ name, address }) => `${name}=${address}`)
      .join(','),
    'shm-size': get('shmsize'),
    ulimit: ulimits.map(({ Name, Soft, Hard }) => `${Name}=${Soft}:${Hard}`).join(','),
    ...limitsIn(x.query),
    ...(flag('nocache') ? { 'no-cache': '' } : {}),
    ...(flag('pull') ? { 'image-resolve-mode': 'pull' } : {}),
    ...Object.fromEntries(args.flatMap(([k, v]) => (v === null ? [] : [[`build-arg:${k}`, v]]))),
    ...Object.fromEntries(labels.map(([k, v]) => [`label:${k}`, v])),
  }
}

const exportsOf = (x: Exchange): Export[] => {
  const outputs = json<{ Type: string; Attrs?: Record<string, string> }[]>(x, 'outputs', [])
  const name = x.query.getAll('t').filter(Boolean).join(',')
  if (outputs.length === 0) return [{ type: 'moby', attrs: name ? { name } : {} }]
  return outputs.map(({ Type, Attrs = {} }) => ({ type: Type, attrs: { ...(name ? { name } : {}), ...Attrs } }))
}

const cachesOf = (x: Exchange) => ({
  from: json<string[]>(x, 'cachefrom', []).map((ref) => ({ type: 'registry', attrs: { ref } })),
  to: [],
})

interface VersionedBuild {
  /** Serves POST /build with version=2. */
  serve(x: Exchange): Promise<void>
  routes: Route[]
}

export const versionedBuild = (deps: ControlDeps): VersionedBuild => {
  const running = new Map<string, AbortController>()
  /** Contexts that a request of their own brings, by the build they are for. */
  const uploads = new Arrivals<Readable>('upload')
  return {
    routes: [
      route('POST', '/build/cancel', (x) => {
        running.get(x.query.get('id') ?? '')?.abort(new SlipwayError('cancelled', 'context canceled'))
        x.send(200)
      }),
    ],
    async serve(x) {
      const id = x.query.get('buildid') ?? ''
      if (id.startsWith(uploadPrefix)) {
        await receive(x, uploads, id.slice(uploadPrefix.length))
        return
      }
      const stop = new AbortController()
      running.set(id, stop)
      try {
        const signal = AbortSignal.any([x.signal, stop.signal])
        await build(deps, x, signal, await contextOf(x, uploads, signal))
      } finally {
        running.delete(id)
      }
    },
  }
}

/** Where the files are: in the session, in this request, in another one that is about to come, or at an address. */
const contextOf = async (x: Exchange, uploads: Arrivals<Readable>, signal: AbortSignal): Promise<Context> => {
  const remote = x.query.get('remote') ?? ''
  if (remote === 'client-session') return {}
  if (remote === '') return { upload: x.upload() }
  if (remote === 'upload-request') return { upload: await uploads.get(x.query.get('buildid') ?? '', signal) }
  return { address: remote }
}
interface Context {
  upload?: Readable
  address?: string
}

const uploadPrefix = 'upload-request:'

const receive = async (x: Exchange, uploads: Arrivals<Readable>, id: string): Promise<void> => {
  const body = x.upload()
  uploads.add(id, body)
  try {
    await new Promise<void>((closed) => body.once('close', closed))
  } finally {
    uploads.remove(id, body)
  }
  x.send(200)
}

const build = async (
  deps: ControlDeps,
  x: Exchange,
  signal: AbortSignal,
  { upload, address = upload && uploadUrl }: Context,
): Promise<void> => {
  const id = x.query.get('session') ?? ''
  const session = id === '' ? emptySession() : await deps.sessions.get(id, signal)
  const job = createJob(
    {
      ref: x.query.get('buildid') ?? '',
      session,
      exports: exportsOf(x),
      caches: cachesOf(x),
      signal,
      entitlements: [],
      sourceRules: [],
      upload,
    },
    deps.clock,
  )
  // Then the image's id is all that is said.
  const quiet = isTrue(x.query.get('q'))
  const out = x.stream(200, 'application/json')
  const line = (value: object): void => void out.write(`${JSON.stringify(value)}\r\n`)
  const followed = (async () => {
    for await (const status of job.progress.follow(signal))
      if (!quiet) line({ id: 'moby.buildkit.trace', aux: StatusResponse.encode(status).toString('base64') })
  })()
  try {
    await solve(deps, job, { ...attrsOf(x), ...(address ? { context: address } : {}) }, {})
    job.progress.end()
    await followed
    const ID = job.response['containerimage.config.digest']
    if (ID !== undefined) line(quiet ? { stream: `${ID}\n` } : { id: 'moby.image.id', aux: { ID } })
  } catch (error) {
    job.progress.end()
    await followed
    const message = textOf(error)
    line({ errorDetail: { message }, error: message })
  }
  out.end()
}
