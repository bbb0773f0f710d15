import {
  type Descriptor,
  isIndexType,
  type Platform,
  readIndex,
  readManifest,
  type Reference,
} from '../../spec/oci/index.ts'
import type { Distribution } from '../distribution/index.ts'
import type { PullOptions } from '../types.ts'
import { readConfig } from './config.ts'

/** What the registry has under a name: docker's GET /distribution/NAME/json. */
export const describeRemote = async (
  distribution: Distribution,
  reference: Reference,
  options: Pick<PullOptions, 'auth' | 'signal'>,
): Promise<{ descriptor: Descriptor; platforms: Platform[] }> => {
  const repository = distribution.read(reference, options)
  const { mediaType, digest, body } = await repository.manifest(reference.digest ?? reference.tag!)
  const descriptor = { mediaType, digest, size: body.length }
  const text = body.toString('utf8')
  if (isIndexType(mediaType)) {
    const platforms = readIndex(text).manifests.flatMap(({ platform }) => (platform ? [platform] : []))
    return { descriptor, platforms: platforms.filter(({ os }) => os !== 'unknown') }
  }
  const { os, architecture, variant } = readConfig(
    (await repository.smallBlob(readManifest(text).config)).toString('utf8'),
  )
  return { descriptor, platforms: [{ os, architecture, ...(variant !== undefined && { variant }) }] }
}
