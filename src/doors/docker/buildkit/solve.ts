/** Performs a job's build: one call of the builder for each exporter, the later ones from the cache. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Builder, BuildProgress, BuildRequest } from '../../../build/types.ts'
import type { Engine, Instance } from '../../../engine/types.ts'
import { messageOf, SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { formatReference, parseReference, withTag } from '../../../spec/oci/index.ts'
import type { Sys } from '../../../sys/sys.ts'
import { type ForwardedAgents, forwardedAgents } from './agent.ts'
import { packDirectory, renamed } from './archive.ts'
import { sendDirectory, sendStream } from './export.ts'
import { remoteDirectory } from './file-sync.ts'
import { requestOf } from './frontend.ts'
import type { Export, Job } from './job.ts'
import type { ControlSolveRequest } from './messages.ts'
import type { Decoded } from './protobuf.ts'
import type { Results } from './results.ts'
import { credentialsOf, secretOf } from './session.ts'
import { answer } from './subrequests.ts'
import { uploaded } from './upload.ts'

export interface SolveDeps {
  builder: Pick<Builder, 'build' | 'buildFiles' | 'describe' | 'prune' | 'cacheUsage'>
  images: Pick<Engine['images'], 'save' | 'remove' | 'get' | 'push'>
  instance: Pick<Instance, 'runDir'>
  sys: Pick<Sys, 'files'>
  clock: Clock
  log: Log
  results: Results
}
/** Results of other builds that this one uses; attributes `context:NAME=input:KEY` name them. */
export type Inputs = Decoded<typeof ControlSolveRequest>['FrontendInputs']

/** Builds and exports; what the exporters say goes into job.response. Returns how to get the result as an image. */
export const solve = async (
  deps: SolveDeps,
  job: Job,
  attrs: Record<string, string>,
  inputs: Inputs,
): Promise<() => Promise<string>> => {
  const agents = forwardedAgents(job.session, join(deps.instance.runDir, 'agents'), deps.log, job.signal)
  try {
    const request = requestFor(job, { ...attrs, ...(await inputContexts(deps, attrs, inputs)) }, agents)
    const exports = job.exports.length > 0 ? job.exports : [{ type: 'none', attrs: {} }]
    for (const [i, one] of exports.entries())
      await exportOne(deps, job, i === 0 ? request : { ...request, progress: laterProgress(request.progress) }, one, i)
    return async () => job.response['containerimage.config.digest'] ?? (await resultImage(deps, job, request))
  } finally {
    agents.close()
  }
}

/** Answers a question about the Dockerfile: the metadata of the result. */
export const ask = async (
  deps: SolveDeps,
  job: Job,
  attrs: Record<string, string>,
): Promise<Record<string, Uint8Array>> => {
  const agents = forwardedAgents(job.session, join(deps.instance.runDir, 'agents'), deps.log, job.signal)
  return await answer(deps.builder, attrs.requestid ?? '', requestFor(job, attrs, agents))
}

const requestFor = (job: Job, attrs: Record<string, string>, agents: ForwardedAgents): BuildRequest => {
  const { session, signal, sources, progress } = job
  return {
    ...requestOf(
      attrs,
      (name) => remoteDirectory(session, name),
      (url) => job.upload ?? uploaded(session, url, signal),
    ),
    tags: [],
    privileged: job.entitlements.includes('security.insecure'),
    hostNetwork: job.entitlements.includes('network.host'),
    signal,
    findSecret: (id) => secretOf(session, id, signal),
    findAgent: (id) => agents.find(id),
    auth: (registry) => credentialsOf(session, registry, signal),
    onDockerfile: (file, text) => void sources.set(file, Buffer.from(text)),
    progress: (event) => progress.emit(event),
  }
}

/** Named contexts that are results of other builds, as images. */
const inputContexts = async (
  { results }: SolveDeps,
  attrs: Readonly<Record<string, string>>,
  inputs: Inputs,
): Promise<Record<string, string>> => {
  const contexts: Record<string, string> = {}
  for (const [key, value] of Object.entries(attrs)) {
    if (!key.startsWith('context:') || !value.startsWith('input:')) continue
    const image = await results.imageOf(inputs[value.slice('input:'.length)] ?? {})
    if (image === undefined)
      throw new SlipwayError('unsupported', `${key}=${value} is not a result of this builder`, {
        hint: 'Only results of Dockerfile builds can be contexts of other builds.',
      })
    contexts[key] = `docker-image://${image}`
  }
  return contexts
}

/** A result that was not exported as an image becomes one without a name, for as long as its client is there. */
const resultImage = async (deps: SolveDeps, job: Job, request: BuildRequest): Promise<string> => {
  const { image } = await deps.builder.build({ ...request, signal: undefined, progress: () => {} })
  if (image.names.length === 0) job.session.client.onClose(() => void forget(deps, image.id))
  return image.id
}

const forget = (deps: SolveDeps, image: string): Promise<unknown> =>
  deps.images.remove(image).catch((error: unknown) =>
    // Something uses it meanwhile.
    deps.log.debug('image of a result kept', { image, error: messageOf(error) }),
  )

/** Of a build that only repeats what was shown: nothing but what is exported. */
const laterProgress = (emit: BuildRequest['progress']): BuildRequest['progress'] => {
  const shown = new Set<string>()
  return (event: BuildProgress) => {
    if (event.type === 'vertex' && event.name.startsWith('exporting')) shown.add(event.id)
    if ('id' in event && shown.has(event.id)) emit(event)
  }
}

const namesOf = ({ attrs }: Export): string[] =>
  (attrs.name ?? '')
    .split(',')
    .filter((name) => name !== '')
    .map((name) => formatReference(withTag(parseReference(name))))

const exportOne = async (
  deps: SolveDeps,
  job: Job,
  request: BuildRequest,
  one: Export,
  index: number,
): Promise<void> => {
  const { session, signal } = job
  switch (one.type) {
    case 'none':
      return await deps.builder.buildFiles(request, async () => {})
    case 'moby':
    case 'image':
      return await exportImage(deps, job, request, one)
    case 'local':
      return await deps.builder.buildFiles(request, ({ root }) =>
        during(deps, request, 'exporting to client directory', 'copying files', (progress) =>
          sendDirectory(session, index, root, signal, progress),
        ),
      )
    case 'tar':
      return await deps.builder.buildFiles(request, ({ root }) =>
        during(deps, request, 'exporting to client tarball', 'sending tarball', (progress) =>
          sendStream(session, index, packDirectory(root, deps.sys.files), {}, signal, progress),
        ),
      )
    case 'docker':
    case 'oci':
      return await exportArchive(deps, job, request, one, index)
    default:
      throw new SlipwayError('unsupported', `exporter "${one.type}" could not be found`, {
        hint: 'Known are image, docker, oci, local and tar.',
      })
  }
}

const exportImage = async (deps: SolveDeps, job: Job, request: BuildRequest, one: Export): Promise<void> => {
  const names = namesOf(one)
  const { image } = await deps.builder.build({ ...request, tags: names })
  job.response['containerimage.config.digest'] = image.id
  job.response['containerimage.digest'] = image.id
  if (names.length > 0) job.response['image.name'] = names.join(',')
  if (one.attrs.push !== 'true') return
  for (const name of names) {
    await during(deps, request, `pushing ${name}`, 'pushing layers', async () => {
      const auth = await request.auth?.(parseReference(name).domain)
      const { digest } = await deps.images.push(name, { ...(auth ? { auth } : {}), signal: job.signal })
      job.response['containerimage.digest'] = digest
    })
  }
}

/** The image is made, sent, and forgotten unless it was here before. */
const exportArchive = async (
  deps: SolveDeps,
  job: Job,
  request: BuildRequest,
  one: Export,
  index: number,
): Promise<void> => {
  if (one.attrs.tar === 'false')
    throw new SlipwayError('unsupported', `exporting a ${one.type} layout as a directory is not supported`, {
      hint: 'Leave out tar=false and unpack the archive.',
    })
  const { image } = await deps.builder.build(request)
  const names = namesOf(one)
  try {
    const title = one.type === 'oci' ? 'exporting to oci image format' : 'exporting to docker image format'
    await during(deps, request, title, 'sending tarball', async (progress) => {
      const archive: Readable = await deps.images.save([image.id], { signal: job.signal })
      const named = names.length > 0 ? renamed(archive, names) : archive
      await sendStream(job.session, index, named, {}, job.signal, progress)
    })
    job.response['containerimage.config.digest'] = image.id
    job.response['containerimage.digest'] = image.id
    if (names.length > 0) job.response['image.name'] = names.join(',')
  } finally {
    if (image.names.length === 0) await forget(deps, image.id)
  }
}

/** Shows a step of an exporter as a vertex. */
const during = async (
  { clock }: Pick<SolveDeps, 'clock'>,
  { progress }: Pick<BuildRequest, 'progress'>,
  name: string,
  what: string,
  task: (progress: (bytes: number) => void) => Promise<void>,
): Promise<void> => {
  const id = randomUUID()
  progress({ type: 'vertex', id, name })
  progress({ type: 'started', id, time: clock.now() })
  let shown = 0
  let last = 0
  try {
    await task((current) => {
      last = current
      if (clock.now() - shown < 100) return
      shown = clock.now()
      progress({ type: 'status', id, name: what, current })
    })
    progress({ type: 'status', id, name: what, current: last })
    progress({ type: 'done', id, time: clock.now(), cached: false })
  } catch (error) {
    progress({ type: 'done', id, time: clock.now(), cached: false, error: messageOf(error) })
    throw error
  }
}
