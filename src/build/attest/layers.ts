/** Which layer of the image each file of an SPDX document comes from, as BuildKit writes into what its scanner found. */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import type { Attestation } from './statement.ts'

/** A layer: where its files lie, and what it is known by in the image. */
export interface FilesOf {
  path: string
  digest: string
}
interface SpdxFile {
  fileName?: unknown
  comment?: unknown
}

export const spdxType = 'https://spdx.dev/Document'

/** Says of each file without a comment `layerID: sha256:…`, of the highest layer that holds it. */
export const withLayers = (attestation: Attestation, layers: readonly FilesOf[]): Attestation => {
  const document = attestation.predicate as { spdxVersion?: unknown; files?: unknown }
  if (attestation.predicateType !== spdxType || typeof document !== 'object' || document === null) return attestation
  if (typeof document.spdxVersion !== 'string' || !Array.isArray(document.files)) return attestation
  const topDown = layers.toReversed()
  const files = (document.files as (SpdxFile | null)[]).map((file) => {
    if (typeof file?.fileName !== 'string' || (file.comment !== undefined && file.comment !== '')) return file
    const parts = file.fileName.split('/').filter((part) => part !== '' && part !== '.')
    const layer = parts.includes('..') ? undefined : topDown.find(({ path }) => holds(path, parts))
    return layer ? { ...file, comment: `layerID: ${layer.digest}` } : file
  })
  return { ...attestation, predicate: { ...document, files } }
}

/** No link on the way is followed: a layer's own files are meant. The mark of a deletion is no file. */
const holds = (layer: string, parts: readonly string[]): boolean => {
  let path = layer
  for (const [i, part] of parts.entries()) {
    path = join(path, part)
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat || (i < parts.length - 1 && !stat.isDirectory())) return false
    if (stat.isCharacterDevice() && stat.rdev === 0) return false
  }
  return parts.length > 0
}
