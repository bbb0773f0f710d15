/** What is below an image that stands for several platforms, as `docker images --tree` asks for it (API 1.47, 1.48). */
import type { Engine, Image } from '../../engine/types.ts'

type Backend = Pick<Engine, 'images' | 'containers'>

/** undefined: it is just an image. Of several names the first one that stands for more counts. */
export const manifestsOf = ({ images, containers }: Backend, { names }: Image): object[] | undefined => {
  for (const name of names) {
    const found = images.manifests(name)
    if (!found) continue
    return found.map(({ descriptor, contentSize, image }) => {
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
  }
  return undefined
}
