/**
 * Archives of docker before 1.10: `repositories`, and of each layer a directory with its own configuration that names the
 * parent's. They become the images that docker 1.10 and later makes of them (moby: image/v1/imagev1.go), with the same ids
 * from docker 1.8.3 on.
 */
import { SlipwayError } from '../../errors.ts'
import type { Digest, HistoryEntry } from '../../spec/oci/index.ts'
import type { ArchiveFiles } from './archive-files.ts'

export interface LegacyImage {
  raw: string
  /** Paths, base first. */
  layers: string[]
  names: string[]
}
interface LegacyConfig extends Record<string, unknown> {
  parent?: string
  created?: string
  author?: string
  comment?: string
  container_config?: { Cmd?: unknown } | null
}

/** As many as an overlay can have. */
const maxLayers = 500
const dropped = new Set(['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway'])

/** Those that have names; undefined: it is no such archive. */
export const legacyImages = async (files: ArchiveFiles): Promise<LegacyImage[] | undefined> => {
  const text = await files.text('repositories')
  if (text === undefined) return undefined
  const names = new Map<string, string[]>()
  for (const [repository, tags] of Object.entries(
    parsed<Record<string, Record<string, string> | null>>(text, 'repositories'),
  ))
    for (const [tag, id] of Object.entries(tags ?? {}))
      names.set(id, [...(names.get(id) ?? []), `${repository}:${tag}`])
  return await Promise.all([...names].map(async ([id, of]) => ({ ...(await imageOf(files, id)), names: of })))
}

const imageOf = async (files: ArchiveFiles, id: string): Promise<Omit<LegacyImage, 'names'>> => {
  const chain: { id: string; config: LegacyConfig; diffId: Digest }[] = []
  for (let at: string | undefined = id; at; at = chain[0]!.config.parent) {
    if (!/^[a-f0-9]{64}$/.test(at) || chain.length === maxLayers) throw invalid(`"${at}" is not the id of a layer`)
    const text = await files.text(`${at}/json`)
    const layer = files.find(`${at}/layer.tar`)
    if (text === undefined || !layer) throw invalid(`layer ${at} is missing`)
    chain.unshift({ id: at, config: parsed(text, `${at}/json`), diffId: layer.digest })
  }
  const { config } = chain.at(-1)!
  const rootfs = { type: 'layers', diff_ids: chain.map(({ diffId }) => diffId) }
  const whole: Record<string, unknown> = { ...config, rootfs, history: chain.map((each) => historyOf(each.config)) }
  const keys = Object.keys(whole).filter((key) => !dropped.has(key))
  return {
    raw: goJson(Object.fromEntries(keys.sort().map((key) => [key, whole[key]]))),
    layers: chain.map((each) => `${each.id}/layer.tar`),
  }
}

const historyOf = ({ created, author, comment, container_config }: LegacyConfig): HistoryEntry => {
  const words: unknown = container_config?.Cmd
  const command = Array.isArray(words) ? words.join(' ') : ''
  return {
    ...(created && { created }),
    ...(command && { created_by: command }),
    ...(author && { author }),
    ...(comment && { comment }),
  }
}

/** As Go's encoding/json writes it. */
const goJson = (value: object): string =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

const invalid = (detail: string): SlipwayError => new SlipwayError('invalid', `invalid image archive: ${detail}`)

const parsed = <T extends object>(text: string, what: string): T => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new SlipwayError('invalid', `invalid image archive: ${what} is not JSON`, { cause })
  }
  if (typeof value !== 'object' || value === null) throw invalid(`${what} is malformed`)
  return value as T
}
