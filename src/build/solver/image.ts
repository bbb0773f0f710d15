/** The image a build results in: its configuration, with the history's times filled in. */
import type { HistoryEntry, ImageConfig } from '../../spec/oci/index.ts'
import type { StepResult } from '../cache/records.ts'
import type { PendingHistory, StageResult } from './stage.ts'

/**
 * Every operation of the stage gets the time its layer was made (so a cached rebuild is the same image), other entries the
 * time of the layer before them, or of the first new one (BuildKit's rule). `epoch` replaces the times of all new entries.
 */
export const imageConfig = (
  stage: StageResult,
  result: StepResult,
  labels: Readonly<Record<string, string>>,
  epoch: number | undefined,
): { config: Omit<ImageConfig, 'rootfs'>; dated: boolean } => {
  const history = dated(stage.history, result, epoch)
  const created =
    epoch === undefined ? history.findLast((entry) => entry.created !== undefined)?.created : isoTime(epoch)
  const all = { ...stage.config.Labels, ...labels }
  const config = { ...stage.config, ...(Object.keys(all).length > 0 ? { Labels: all } : {}) }
  const { os, architecture, variant } = stage.platform
  return {
    dated: created !== undefined,
    config: {
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      ...(created === undefined ? {} : { created }),
      ...(stage.author === undefined ? {} : { author: stage.author }),
      config,
      history,
    },
  }
}

/** As Go writes times: without a fraction that is nothing. */
export const isoTime = (ms: number): string => new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z')

const dated = (pending: readonly PendingHistory[], result: StepResult, epoch: number | undefined): HistoryEntry[] => {
  let step = 0
  const entries = pending.map(({ entry, node }): HistoryEntry => {
    const made = node ? result.steps[step++] : undefined
    const isNew = entry.created === undefined
    if (!made) return isNew && epoch !== undefined ? { ...entry, created: isoTime(epoch) } : { ...entry }
    const created = isoTime(epoch ?? made.createdAt)
    return { ...entry, created, ...(made.layer ? {} : { empty_layer: true }) }
  })
  const firstNew = entries.findIndex((entry) => entry.created === undefined)
  if (firstNew < 0) return entries.map(inOrder)
  const next = entries.slice(firstNew).find((entry) => entry.created !== undefined)?.created
  let time = next ?? entries.findLast((entry) => entry.created !== undefined)?.created
  return entries.map((entry, i) => {
    if (entry.created !== undefined && i > firstNew) time = entry.created
    return inOrder(entry.created === undefined && time !== undefined ? { ...entry, created: time } : entry)
  })
}

/** As docker writes it. */
const inOrder = ({ created, created_by, author, comment, empty_layer }: HistoryEntry): HistoryEntry => ({
  ...(created === undefined ? {} : { created }),
  ...(created_by === undefined ? {} : { created_by }),
  ...(author === undefined ? {} : { author }),
  ...(comment === undefined ? {} : { comment }),
  ...(empty_layer ? { empty_layer } : {}),
})
