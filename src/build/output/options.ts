/** Attributes of exporters, as buildx documents them. */
import type { LayerForm } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { goBool, notBool } from '../../lib/go-bool.ts'
import {
  formatPlatform,
  formatReference,
  layerCompression,
  mediaTypes,
  type Platform,
  parsePlatform,
  parseReference,
  withTag,
} from '../../spec/oci/index.ts'

type Attrs = Readonly<Record<string, string>>

/** Go's strconv.ParseBool, and '' which buildx sends for a bare key. */
export const isOn = (text: string | undefined, otherwise = false): boolean => {
  if (text === undefined) return otherwise
  const value = text === '' || goBool(text)
  if (value === undefined) throw new SlipwayError('bad-request', `non-bool value specified: ${text}`)
  return value
}

const switches =
  'push push-by-digest registry.insecure store unpack name-canonical oci-mediatypes oci-artifact force-compression rewrite-timestamp attestation-inline prefer-nondist-layers tar platform-split'.split(
    ' ',
  )

/** What is on or off is said in words that are known. */
export const checkSwitches = (attrs: Attrs): void => {
  const wrong = switches.find((key) => attrs[key] && goBool(attrs[key]) === undefined)
  if (wrong !== undefined)
    throw new SlipwayError('bad-request', `non-bool value specified for ${wrong}: ${notBool(attrs[wrong]!)}`)
}

/** Whether results go by their platform, one in an index, too: with several, or as BUILDKIT_MULTI_PLATFORM says. */
export const isMultiPlatform = (args: Attrs, platforms: number): boolean => {
  const text = args.BUILDKIT_MULTI_PLATFORM
  if (!text) return platforms > 1
  const value = goBool(text)
  if (value === undefined) throw new SlipwayError('bad-request', `invalid boolean value for multi-platform: ${text}`)
  if (!value && platforms > 1)
    throw new SlipwayError('bad-request', 'conflicting config: returning multiple target platforms is not allowed')
  return value
}

/** How layers are written. */
export const formOf = (attrs: Attrs, epoch?: number): LayerForm => {
  const { compression } = attrs
  if (compression === 'estargz')
    throw new SlipwayError('unsupported', 'unsupported compression type estargz', {
      hint: 'Known are gzip, zstd and uncompressed.',
    })
  if (compression !== undefined && !['gzip', 'zstd', 'uncompressed'].includes(compression))
    throw new SlipwayError('bad-request', `unsupported compression type ${compression}`)
  const level = attrs['compression-level']
  const most = compression === 'zstd' ? 22 : 9
  if (level !== undefined && !(/^\d+$/.test(level) && Number(level) <= most))
    throw new SlipwayError('bad-request', `non-integer value ${level} specified for compression-level`, {
      hint: `Levels go from 0 to ${most}.`,
    })
  return {
    compression: compression as LayerForm['compression'],
    level: level === undefined ? undefined : Number(level),
    force: isOn(attrs['force-compression']),
    ...(rewrites(attrs, epoch) ? { notAfter: epoch } : {}),
  }
}

/** Are layers written anew, with no time after the epoch? */
export const rewrites = (attrs: Attrs, epoch: number | undefined): boolean =>
  isOn(attrs['rewrite-timestamp']) && epoch !== undefined

/** Whole names, each with its tag; of what is pushed by its digest, repositories. */
export const namesOf = (attrs: Attrs): string[] =>
  (attrs.name ?? '')
    .split(',')
    .filter((each) => each !== '')
    .map((each) => {
      const reference = parseReference(each)
      return formatReference(isOn(attrs['push-by-digest']) ? reference : withTag(reference))
    })

/** Where an annotation stands; 'manifest' is the default. */
type Level = 'manifest' | 'index' | 'manifest-descriptor' | 'index-descriptor'

/** Of one level, and where it is about one platform's manifest, that platform's. */
export const annotationsOf = (attrs: Attrs, level: Level, platform?: string): Record<string, string> | undefined => {
  const found: Record<string, string> = {}
  for (const [attr, value] of Object.entries(attrs)) {
    const match = /^annotation(?:-(manifest|index|manifest-descriptor|index-descriptor))?(?:\[([^\]]*)\])?\.(.+)$/.exec(
      attr,
    )
    if (!match || (match[1] ?? 'manifest') !== level) continue
    if (match[2] === undefined || formatPlatform(parsePlatform(match[2])) === platform) found[match[3]!] = value
  }
  return Object.keys(found).length > 0 ? found : undefined
}

const hasAnnotations = (attrs: Attrs): boolean => Object.keys(attrs).some((attr) => /^annotation[-.[]/.test(attr))

/** OCI's media types, or docker's; docker's know neither annotations nor zstd. */
export const usesOci = (type: string, attrs: Attrs): boolean => {
  if (hasAnnotations(attrs) || attrs.compression === 'zstd') return true
  return isOn(attrs['oci-mediatypes'], type === 'oci')
}

export const dockerTyped = (mediaType: string): string => {
  const compression = layerCompression(mediaType)
  if (compression === 'none') return mediaTypes.dockerLayer
  return compression === 'gzip' ? mediaTypes.dockerLayerGzip : mediaTypes.dockerLayerZstd
}

/** What is to be said of platforms that were asked for and those of the results. */
export const platformWarnings = (asked: readonly string[], results: readonly Platform[]): string[] => {
  const names = asked.map((text) => formatPlatform(parsePlatform(text)))
  const twice = asked.filter((_, i) => names.indexOf(names[i]!) < i)
  if (twice.length > 0) return twice.map((text) => `Duplicate platform result requested ${JSON.stringify(text)}`)
  const wanted = names.sort()
  const made = results.map((platform) => formatPlatform(platform)).sort()
  if (wanted.length === 0 || wanted.join() === made.join()) return []
  return wanted.length === 1
    ? [`Requested platform ${JSON.stringify(asked[0])} does not match result platform ${JSON.stringify(made[0])}`]
    : [`Requested platforms ${wanted.join(',')} do not match result platforms ${made.join(',')}`]
}
