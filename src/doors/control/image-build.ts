/** `slipway build`: orders as the builder's requests. */
import { createReadStream } from 'node:fs'
import { buildResources, entitled, sourceRules } from '../../build/index.ts'
import type { Builder, BuildProgress, BuildRequest, CacheEntry, Question } from '../../build/types.ts'
import type { CacheOrder, ContextOrder, ImageBuildOrder } from '../../clients/control/index.ts'
import { SlipwayError } from '../../errors.ts'
import { layoutStore } from './layout-store.ts'
import { outputOf } from './outputs.ts'

type Backend = Pick<Builder, 'export' | 'describe'>

const contextOf = (context: ImageBuildOrder['context']): BuildRequest['context'] =>
  'tarFile' in context ? { tar: createReadStream(context.tarFile) } : context

export const cacheOf = ({ type, attrs, directory }: CacheOrder): CacheEntry =>
  directory === undefined ? { type, attrs } : { type, attrs, store: layoutStore(directory) }

const namedContext = async (given: ContextOrder): Promise<NonNullable<BuildRequest['contexts']>[string]> => {
  if (typeof given === 'string') return given
  const store = layoutStore(given.layout)
  const digest = given.digest ?? (await store.find?.(given.tag))?.digest
  if (digest === undefined)
    throw new SlipwayError('not-found', `could not find manifest ${given.tag} in ${given.layout}`)
  return { store, digest }
}

const requestOf = async (
  order: ImageBuildOrder,
  signal: AbortSignal,
  progress: (event: BuildProgress) => void,
): Promise<BuildRequest> => {
  const {
    context,
    contexts,
    secrets,
    auths,
    cacheFrom,
    cacheTo,
    sourcePolicy,
    entitlements,
    limits,
    outputs: _,
    ...rest
  } = order
  const decoded = Object.entries(secrets).map(
    ([id, s]) => [id, 'valueBase64' in s ? { value: Buffer.from(s.valueBase64, 'base64') } : s] as const,
  )
  const named = await Promise.all(
    Object.entries(contexts).map(async ([name, c]) => [name, await namedContext(c)] as const),
  )
  return {
    ...rest,
    ...entitled(entitlements),
    resources: buildResources((name) => limits[name]),
    tags: [],
    context: contextOf(context),
    contexts: Object.fromEntries(named),
    secrets: Object.fromEntries(decoded),
    cacheFrom: cacheFrom.map(cacheOf),
    cacheTo: cacheTo.map(cacheOf),
    auth: (registry) => auths[registry],
    sourceRules: sourceRules(sourcePolicy),
    signal,
    progress,
  }
}

export const buildImage = async (
  builder: Backend,
  order: ImageBuildOrder,
  progress: (event: BuildProgress) => void,
  signal: AbortSignal,
) => builder.export(await requestOf(order, signal, progress), order.outputs.map(outputOf))

/** The error is told as one of the answers' fields, which JSON does not carry as it is. */
export const describeImage = async (builder: Backend, order: ImageBuildOrder, what: Question, signal: AbortSignal) => {
  const { error, ...found } = await builder.describe(await requestOf(order, signal, () => {}), what)
  const told = error && { code: error.code, message: error.message, at: error.at, details: error.details }
  return { ...found, error: told }
}
