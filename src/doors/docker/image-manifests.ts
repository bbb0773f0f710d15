/** What is below an image that stands for several platforms, as `docker images --tree` asks for it (API 1.47, 1.48). */
import type { Engine, Image, IndexManifest } from '../../engine/types.ts'

type Backend = Pick<Engine, 'images' | 'containers'>

/** Names that stand for the same: the image alone (`below` is undefined then), or several with it. */
export interface SameNames {
  names: string[]
  below?: object[] | undefined
}

/** The names of an image, by what they stand for; those of the image alone first. Without any name that is all there is. */
export const byMeaning = (engine: Backend, { names }: Image): SameNames[] => {
  const found = new Map<string, SameNames>()
  for (const name of names) {
    const below = engine.images.manifests(name)
    const key = below?.map(({ descriptor }) => descriptor.digest).join() ?? ''
    const known = found.get(key)
    if (known) known.names.push(name)
    else found.set(key, { names: [name], below: below && described(engine, below) })
  }
  const groups = [...found.values()].sort((a, b) => Number(a.below !== undefined) - Number(b.below !== undefined))
  return groups.length > 0 ? groups : [{ names: [] }]
}

/** undefined: it is just an image. Of several names the first one that stands for more counts. */
export const manifestsOf = (engine: Backend, image: Image): object[] | undefined =>
  byMeaning(engine, image).find(({ below }) => below)?.below

const described = ({ containers }: Backend, found: readonly IndexManifest[]): object[] =>
  found.map(({ descriptor, contentSize, image }) => {
    const unpacked = image?.size ?? 0
    const { 'vnd.docker.reference.digest': about = '', 'vnd.docker.reference.type': type } =
      descriptor.annotations ?? {}
    const attestation = type === 'attestation-manifest'
    const users = image ? containers.list().filter(({ imageId }) => imageId === image.id) : []
    return {
      ID: descriptor.digest,
      Descriptor: descriptor,
      Available: image !== undefined || attestation,
      Size: { Total: contentSize + unpacked, Content: contentSize },
      Kind: image ? 'image' : attestation ? 'attestation' : 'unknown',
      ...(image && {
        ImageData: {
          Platform: descriptor.platform ?? image.platform,
          Size: { Unpacked: unpacked },
          Containers: users.map(({ id }) => id),
        },
      }),
      ...(attestation && { AttestationData: { For: about } }),
    }
  })
