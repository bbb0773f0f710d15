export { canonicalConfig } from './canonical-config.ts'
export { chainIds, sha256 } from './chain.ts'
export { readIndex, readManifest } from './documents.ts'
export type * from './image.ts'
export { isIndexType, isManifestType, layerCompression, layerGzipLevel, mediaTypes } from './media-types.ts'
export {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  parsePlatform,
  platformRank,
} from './platform.ts'
export {
  familiarName,
  familiarRepository,
  formatReference,
  isDigest,
  parseReference,
  isReference,
  type Reference,
  repositoryOf,
  wholeName,
  withTag,
} from '../reference/index.ts'
export type * from './runtime.ts'
