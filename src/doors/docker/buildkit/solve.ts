/** Performs a job's build. */
import { join } from 'node:path'
import { entitled } from '../../../build/index.ts'
import type { Builder, BuildOutput, BuildRequest, CacheEntry } from '../../../build/types.ts'
import type { Engine, Instance } from '../../../engine/types.ts'
import { isError, messageOf, SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import type { Descriptor } from '../../../spec/oci/index.ts'
import type { RecentPushes } from '../recent-pushes.ts'
import { type ForwardedAgents, forwardedAgents } from './agent.ts'
import { sessionStore } from './content-store.ts'
import { sourceOf } from './definitions.ts'
import { sendStream, sendTrees } from './export.ts'
import { remoteDirectory } from './file-sync.ts'
import { type ContextInputs, cacheImportsOf, requestOf } from './frontend.ts'
import type { Cache, Job } from './job.ts'
import { type ControlSolveRequest, Status } from './messages.ts'
import type { Decoded } from './protobuf.ts'
import type { Results } from './results.ts'
import { credentialsOf, secretOf } from './session.ts'
import { statusOf, withVertex } from './status.ts'
import { answer } from './subrequests.ts'
import { uploaded } from './upload.ts'

export interface SolveDeps {
  builder: Pick<
    Builder,
    'build' | 'export' | 'fetch' | 'files' | 'describe' | 'prune' | 'cachePolicy' | 'cacheUsage' | 'history'
  >
  images: Pick<Engine['images'], 'remove' | 'get'>
  pushed: RecentPushes
  instance: Pick<Instance, 'runDir'>
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
    const request = {
      ...(await requestFor(deps, job, attrs, inputs, agents)),
      record: recordOf(job, attrs),
    }
    Object.assign(job.response, await deps.builder.export(request, outputsOf(job)))
    await notePushes(deps, job)
    return async () => job.response['containerimage.config.digest'] ?? (await resultImage(deps, job, request))
  } finally {
    agents.close()
  }
}

/** What buildx names the build by, and how it asked. */
const recordOf = ({ ref, exports, sources, progress }: Job, attrs: Record<string, string>): BuildRequest['record'] => {
  if (ref === '') return undefined
  const describe = (error: unknown) => {
    const known = statusOf(error, sources)
    // Clients show what the step has said.
    const status = progress.failed ? withVertex(known, progress.failed) : known
    const message = isError(error, 'cancelled') ? 'context canceled' : status.message
    return { code: status.code, message, status: Status.encode(status) }
  }
  return { ref, attrs, exporters: exports, describe }
}

/** Answers a question about the Dockerfile: the metadata of the result. */
export const ask = async (
  deps: SolveDeps,
  job: Job,
  attrs: Record<string, string>,
  inputs: Inputs,
): Promise<Record<string, Uint8Array>> => {
  const agents = forwardedAgents(job.session, join(deps.instance.runDir, 'agents'), deps.log, job.signal)
  try {
    const request = await requestFor(deps, job, attrs, inputs, agents)
    return await answer(deps.builder, attrs.requestid ?? '', request)
  } finally {
    agents.close()
  }
}

const requestFor = async (
  { results }: Pick<SolveDeps, 'results'>,
  job: Job,
  attrs: Record<string, string>,
  inputs: Inputs,
  agents: ForwardedAgents,
): Promise<BuildRequest> => {
  const { session, signal, sources, progress } = job
  const given = await contextInputs(results, attrs, inputs)
  return {
    ...requestOf(
      attrs,
      (name) => remoteDirectory(session, name),
      (url) => job.upload ?? uploaded(session, url, signal),
      (id) => sessionStore(session, `oci:${id}`, signal),
      given,
    ),
    tags: [],
    sourceRules: job.sourceRules,
    ...entitled(job.entitlements),
    signal,
    findSecret: (id) => secretOf(session, id, signal),
    findAgent: (id) => agents.find(id),
    cacheFrom: cachesOf(job, [...job.caches.from, ...cacheImportsOf(attrs)], 'src'),
    cacheTo: cachesOf(job, job.caches.to, 'dest'),
    auth: (registry) => credentialsOf(session, registry, signal),
    onDockerfile: (file, text) => void sources.set(file, Buffer.from(text)),
    progress: (event) => progress.emit(event),
  }
}

/** Each once; directories are the client's. */
const cachesOf = ({ session, signal }: Job, entries: readonly Cache[], path: 'src' | 'dest'): CacheEntry[] =>
  [...new Map(entries.map((entry) => [JSON.stringify([entry.type, entry.attrs]), entry])).values()].map((entry) =>
    entry.type === 'local'
      ? { ...entry, store: sessionStore(session, `local:${entry.attrs[path] ?? ''}`, signal) }
      : entry,
  )

/** Contexts that the client has defined itself: results of other builds (as images), and what lies elsewhere. */
const contextInputs = async (
  results: Results,
  attrs: Readonly<Record<string, string>>,
  inputs: Inputs,
): Promise<ContextInputs> => {
  const named: ContextInputs['named'] = {}
  for (const [key, value] of Object.entries(attrs)) {
    if (!key.startsWith('context:') || !value.startsWith('input:')) continue
    const input = inputs[value.slice('input:'.length)] ?? {}
    const image = await results.imageOf(input)
    const found = image === undefined ? sourceOf(input) : `docker-image://${image}`
    if (found === undefined)
      throw new SlipwayError('unsupported', `${key}=${value} is not a result of this builder`, {
        hint: 'Only results of Dockerfile builds can be contexts of other builds.',
      })
    named[key] = typeof found === 'object' && 'url' in found ? found.url : found
  }
  const own = sourceOf(inputs.context)
  return own ? { named, context: 'url' in own ? { url: own.url } : own } : { named }
}

/** A result that was not exported as an image becomes one without a name, for as long as its client is there. */
const resultImage = async (deps: SolveDeps, job: Job, request: BuildRequest): Promise<string> => {
  const { image } = await deps.builder.build({ ...request, record: 'none', signal: undefined, progress: () => {} })
  if (image.names.length === 0) job.session.client.onClose(() => void forget(deps, image.id))
  return image.id
}

const forget = (deps: SolveDeps, image: string): Promise<unknown> =>
  deps.images.remove(image).catch((error: unknown) =>
    // Something uses it meanwhile.
    deps.log.debug('image of a result kept', { image, error: messageOf(error) }),
  )

/** Clients that do not trust moby to push (its exporter's name) push again. */
const notePushes = async ({ pushed, images }: SolveDeps, { exports, response }: Job): Promise<void> => {
  const [only, ...others] = exports
  const descriptor = response['containerimage.descriptor']
  if (only?.type !== 'moby' || only.attrs.push !== 'true' || others.length > 0 || descriptor === undefined) return
  for (const name of (response['image.name'] ?? '').split(',').filter((each) => each !== ''))
    pushed.add(
      name,
      JSON.parse(Buffer.from(descriptor, 'base64').toString()) as Descriptor,
      (await images.get(name))?.id,
    )
}

/** Exporters as the builder has them: what they make goes to the session. */
const outputsOf = ({ session, exports, signal }: Job): BuildOutput[] =>
  exports.map(({ type, attrs }, i) => ({
    type,
    attrs,
    archive: (data, until, progress) => sendStream(session, i, data, {}, until, progress),
    files: (trees, time, until, progress) => sendTrees(session, i, trees, time, until, progress),
    // The one store that clients know exporters by.
    store: sessionStore(session, 'export', signal),
  }))
