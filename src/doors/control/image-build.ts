/** `slipway build`: orders as the builder's requests. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { relative } from 'node:path'
import { entitled, sourceRules } from '../../build/index.ts'
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

/** For the history: as a client of BuildKit would have asked. Nothing secret is in it. */
const recordOf = (order: ImageBuildOrder): BuildRequest['record'] => {
  const { context, dockerfile, target, args, labels, attest, platforms, noCache, noCacheFilter, pull, network } = order
  const place = 'directory' in context ? context.directory : 'git' in context ? context.git : undefined
  const prefixed = (prefix: string, values: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(values).map(([key, value]) => [prefix + key, value])
  const attrs: [string, string | undefined][] = [
    ['context', 'url' in context ? context.url : place],
    ['filename', fileOf(dockerfile, place)],
    ['target', target],
    ['platform', platforms.join(',') || undefined],
    ['no-cache', noCache ? '' : noCacheFilter.join(',') || undefined],
    ['image-resolve-mode', pull ? 'pull' : undefined],
    ['force-network-mode', network],
    ...prefixed('build-arg:', args),
    ...prefixed('label:', labels),
    ...prefixed('attest:', attest),
  ]
  return {
    ref: BigInt(`0x${randomBytes(16).toString('hex')}`)
      .toString(36)
      .padStart(25, '0')
      .slice(-25),
    attrs: Object.fromEntries(attrs.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))),
    exporters: order.outputs.map(({ type, attrs: given }) => ({ type, attrs: given })),
  }
}

/** By its name in the context where it is there. */
const fileOf = (given: ImageBuildOrder['dockerfile'], place: string | undefined): string | undefined => {
  if (given === undefined) return 'Dockerfile'
  if (!('path' in given)) return undefined
  const inside = place === undefined ? '..' : relative(place, given.path)
  return inside.startsWith('..') ? given.path : inside
}

export const buildImage = async (
  builder: Backend,
  order: ImageBuildOrder,
  progress: (event: BuildProgress) => void,
  signal: AbortSignal,
) =>
  builder.export(
    { ...(await requestOf(order, signal, progress)), record: recordOf(order) },
    order.outputs.map(outputOf),
  )

/** The error is told as one of the answers' fields, which JSON does not carry as it is. */
export const describeImage = async (builder: Backend, order: ImageBuildOrder, what: Question, signal: AbortSignal) => {
  const { error, ...found } = await builder.describe(await requestOf(order, signal, () => {}), what)
  const told = error && { code: error.code, message: error.message, at: error.at, details: error.details }
  return { ...found, error: told }
}
