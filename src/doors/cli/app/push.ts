/** Images on their way to a registry that another cluster can pull from; what runs there is pinned by digest. */
import type { ControlClient } from '../../../clients/control/index.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { parseReference } from '../../../spec/oci/index.ts'
import type { Progress } from '../progress/progress.ts'
import { imageName, type ServiceImage } from './images.ts'
import { registryAuth } from './registry-auth.ts'

interface PushWish {
  project: Project
  services: readonly Service[]
  images: Record<string, ServiceImage>
  /** registry.example/team; an `image:` that names a registry itself needs none. */
  prefix: string | undefined
  env: Record<string, string | undefined>
  signal: AbortSignal
}

/** Only what was built here is pushed: other images the cluster pulls by itself. */
export const pushImages = async (
  control: ControlClient,
  wish: PushWish,
  progress: Progress,
): Promise<Record<string, ServiceImage>> => {
  const result = { ...wish.images }
  for (const service of wish.services) {
    const image = wish.images[service.name]!
    if (!image.built) continue
    const tag = image.reference.split(':').at(-1)!
    const name = remoteName(wish.project, service, tag, wish.prefix)
    const id = `Image ${name}`
    progress.update({ id, state: 'working', text: 'Pushing' })
    try {
      await control.tag(image.reference, name)
      const auth = await registryAuth(parseReference(name).domain, wish.env)
      const { digest } = await control.push(
        { reference: name, auth },
        (step) => step.id && progress.update({ id, state: 'working', text: `${step.status} ${step.id}` }),
        wish.signal,
      )
      result[service.name] = { ...image, reference: `${name.replace(/:[^/:]*$/, '')}@${digest}` }
    } catch (error) {
      progress.update({ id, state: 'error', text: 'Error' })
      throw error
    }
    progress.update({ id, state: 'done', text: 'Pushed' })
  }
  return result
}

const namesRegistry = (name: string): boolean => /^(localhost|[^/]*[.:][^/]*)\//.test(name)

/** Where the image of a service is pushed to. An `image:` that names a registry itself needs no prefix. */
export const remoteName = (project: Project, service: Service, tag: string, prefix: string | undefined): string => {
  const name = imageName(project, service)
  const plain = name.replace(/:[^/:]*$/, '')
  if (prefix) return `${prefix.replace(/\/$/, '')}/${plain.split('/').at(-1)}:${tag}`
  if (namesRegistry(name)) return `${plain}:${tag}`
  throw new SlipwayError(
    'invalid',
    `services.${service.name}: the cluster cannot pull "${name}", which exists only on this machine`,
    {
      hint: 'Say where to push it: --image-prefix registry.example/team, or give the service an image: with its registry.',
    },
  )
}
