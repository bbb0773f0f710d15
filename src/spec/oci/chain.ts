import { sha256Hex } from '../../lib/sha256.ts'
import type { Digest } from './image.ts'

export const sha256 = (data: Uint8Array | string): Digest => `sha256:${sha256Hex(data)}`

/** Chain ids of a stack of layers, base first (image-spec "Layer ChainID"): they name a layer together with all below it. */
export const chainIds = (diffIds: readonly Digest[]): Digest[] => {
  const chain: Digest[] = []
  for (const diffId of diffIds) chain.push(chain.length === 0 ? diffId : sha256(`${chain.at(-1)} ${diffId}`))
  return chain
}
