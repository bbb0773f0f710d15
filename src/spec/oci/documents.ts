/** Manifests and indexes that somebody else wrote: every value is of the kind that the image-spec has there. */
import { messageOf, SlipwayError } from '../../errors.ts'
import { fit, type Shape, struct } from '../../lib/shape.ts'
import { isDigest } from '../reference/index.ts'
import type { Descriptor, Index, Manifest } from './image.ts'

const annotations: Shape = { map: 'string' }
const platform = struct(
  'Platform',
  { string: 'os architecture variant os.version' },
  { 'os.features': { list: 'string' } },
)
const descriptor = struct(
  'Descriptor',
  { string: 'mediaType digest artifactType data', int64: 'size' },
  { annotations, platform, urls: { list: 'string' } },
)
const manifestShape = struct(
  'Manifest',
  { string: 'mediaType artifactType', int64: 'schemaVersion' },
  { annotations, config: descriptor, subject: descriptor, layers: { list: descriptor } },
)
const indexShape = struct(
  'Index',
  { string: 'mediaType artifactType', int64: 'schemaVersion' },
  { annotations, subject: descriptor, manifests: { list: descriptor } },
)

/** 'invalid', beginning with `what`. */
export const readManifest = (text: string, what = 'image manifest'): Manifest => {
  const found = read<Manifest>(manifestShape, text, what)
  if (!found.config || !found.layers) throw malformed(what, 'it has no config or layers')
  checkAll(what, [found.config, ...found.layers])
  return found
}

export const readIndex = (text: string, what = 'image index'): Index => {
  const found = read<Index>(indexShape, text, what)
  if (!found.manifests) throw malformed(what, 'it has no manifests')
  checkAll(what, found.manifests)
  return found
}

const read = <T extends object>(shape: Shape, text: string, what: string): Partial<T> & T => {
  try {
    const found = fit<T | undefined>(shape, JSON.parse(text))
    if (found) return found
  } catch (cause) {
    throw malformed(what, messageOf(cause).replace(/^invalid JSON: /, ''), cause)
  }
  throw malformed(what, 'null')
}

const checkAll = (what: string, descriptors: readonly Partial<Descriptor>[]): void => {
  for (const { digest = '', size = -1 } of descriptors) {
    if (!isDigest(digest)) throw malformed(what, `unsupported digest ${digest}`)
    if (size < 0) throw malformed(what, `${digest} has no size`)
  }
}

const malformed = (what: string, why: string, cause?: unknown): SlipwayError =>
  new SlipwayError('invalid', `${what} is malformed: ${why}`, { cause })
