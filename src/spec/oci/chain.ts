import type { Digest } from './image.ts'

/** node:crypto is loaded by those who want a digest: for a short command it takes long. */
export const sha256 = (data: Uint8Array | string): Digest =>
  `sha256:${process.getBuiltinModule('node:crypto').createHash('sha256').update(data).digest('hex')}`

/** Chain ids of a stack of layers, base first (image-spec "Layer ChainID"): they name a layer together with all below it. */
export const chainIds = (diffIds: readonly Digest[]): Digest[] => {
  const chain: Digest[] = []
  for (const diffId of diffIds) chain.push(chain.length === 0 ? diffId : sha256(`${chain.at(-1)} ${diffId}`))
  return chain
}
