/** What a build made for one platform, and the configuration its image gets. */

import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ImageConfig, Platform } from '../../spec/oci/index.ts'
import type { CacheRecords, StepResult } from '../cache/records.ts'
import { imageConfig, isoTime } from '../solver/image.ts'
import { hashOf } from '../solver/keys.ts'
import type { Target } from '../solver/plan.ts'
import type { BuildRequest } from '../types.ts'

export interface Product {
  platform: Platform
  stage: Target
  result: StepResult
  /** SOURCE_DATE_EPOCH (ms): of the build, or what the Dockerfile says above its first stage. */
  epoch: number | undefined
  /** The cache of this build as it stands in the image (--cache-to type=inline): base64. */
  inlineCache?: string | undefined
}

export interface FinishedConfig {
  config: Omit<ImageConfig, 'rootfs'>
  /** Of everything but the times that are made up here. */
  key: string
  created: string
}

export const finishConfig = (
  { records, clock }: { records: CacheRecords; clock: Clock },
  { labels }: Pick<BuildRequest, 'labels'>,
  { stage, result, epoch, inlineCache }: Product,
): FinishedConfig => {
  const made = imageConfig(stage, result, labels, epoch)
  const config = {
    ...made.config,
    ...(inlineCache === undefined ? {} : { 'moby.buildkit.cache.v0': inlineCache }),
  }
  const key = hashOf(config, result.snapshots)
  // An image without a single layer has no time to take: the first one made from it decides.
  const created = config.created ?? records.image(key)?.created ?? isoTime(clock.now())
  const history = made.dated
    ? config.history
    : config.history?.map((entry) => ({ ...entry, created: entry.created ?? created }))
  return { config: { ...config, created, ...(history ? { history } : {}) }, key, created }
}

/** Seconds as text, to ms. */
export const epochOf = (text: string | undefined): number | undefined => {
  if (text === undefined || text === '') return undefined
  if (!/^\d+$/.test(text)) throw new SlipwayError('invalid', `invalid SOURCE_DATE_EPOCH: ${text}`)
  return Number(text) * 1000
}

/** An exporter may have its own; '' is none. */
export const exporterEpoch = (
  attrs: Readonly<Record<string, string>>,
  epoch: number | undefined,
): number | undefined => (attrs['source-date-epoch'] === undefined ? epoch : epochOf(attrs['source-date-epoch']))

/** A configuration as an exporter with its own epoch writes it: nothing new in it is later. */
export const withEpochOf = (
  attrs: Readonly<Record<string, string>>,
  product: Product,
  finished: FinishedConfig,
): FinishedConfig => {
  const epoch = attrs['source-date-epoch'] === undefined ? undefined : epochOf(attrs['source-date-epoch'])
  if (epoch === undefined) return finished
  const earlier = <T extends string | undefined>(time: T): T | string =>
    time === undefined || Date.parse(time) > epoch ? isoTime(epoch) : time
  const { history, ...config } = finished.config
  const inherited = product.stage.history.filter(({ entry }) => entry.created !== undefined).length
  const dated = history?.map((entry, i) => (i < inherited ? entry : { ...entry, created: earlier(entry.created) }))
  const created = earlier(finished.created)
  return { ...finished, created, config: { ...config, created, ...(dated ? { history: dated } : {}) } }
}
