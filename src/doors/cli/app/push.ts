/** Images on their way to a registry that another cluster can pull from; what runs there is pinned by digest. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ControlClient } from '../../../clients/control/index.ts'
import type { RegistryAuth } from '../../../engine/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { parseReference } from '../../../spec/oci/index.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { runHelper } from '../../../sys/daemonize.ts'
import type { Progress } from '../progress/progress.ts'
import { imageName, type ServiceImage } from './images.ts'

export interface PushWish {
  project: Project
  services: readonly Service[]
  images: Record<string, ServiceImage>
  /** registry.example/team; an `image:` that names a registry itself needs none. */
  prefix: string | undefined
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
    const name = remoteName(wish, service)
    const id = `Image ${name}`
    progress.update({ id, state: 'working', text: 'Pushing' })
    await control.tag(image.id, name)
    const auth = await registryAuth(parseReference(name).domain)
    const { digest } = await control.push(
      { reference: name, auth },
      (step) => step.id && progress.update({ id, state: 'working', text: `${step.status} ${step.id}` }),
      wish.signal,
    )
    progress.update({ id, state: 'done', text: 'Pushed' })
    result[service.name] = { ...image, reference: `${name.replace(/:[^/:]*$/, '')}@${digest}` }
  }
  return result
}

const namesRegistry = (name: string): boolean => /^(localhost|[^/]*[.:][^/]*)\//.test(name)

const remoteName = (wish: PushWish, service: Service): string => {
  const name = imageName(wish.project, service)
  const tag = wish.images[service.name]!.reference.split(':').at(-1)!
  const plain = name.replace(/:[^/:]*$/, '')
  if (wish.prefix) return `${wish.prefix.replace(/\/$/, '')}/${plain.split('/').at(-1)}:${tag}`
  if (namesRegistry(name)) return `${plain}:${tag}`
  throw new SlipwayError(
    'invalid',
    `services.${service.name}: the cluster cannot pull "${name}", which exists only on this machine`,
    {
      hint: 'Say where to push it: --image-prefix registry.example/team, or give the service an image: with its registry.',
    },
  )
}

interface DockerConfig {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>
  credHelpers?: Record<string, string>
  credsStore?: string
}

/** As docker: credHelpers, then credsStore, then auths of ~/.docker/config.json. */
export const registryAuth = async (
  registry: string,
  directory = process.env.DOCKER_CONFIG ?? join(homedir(), '.docker'),
): Promise<RegistryAuth | undefined> => {
  let config: DockerConfig
  try {
    config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as DockerConfig
  } catch {
    return undefined // none, or none that can be read: an anonymous push
  }
  const key = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  if (helper) {
    const { code, stdout } = await runHelper([`docker-credential-${helper}`, 'get'], { input: key })
    if (code === 0) {
      const { Username, Secret } = JSON.parse(stdout) as { Username: string; Secret: string }
      return Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret }
    }
  }
  const entry = config.auths?.[key] ?? config.auths?.[`https://${registry}`]
  if (!entry) return undefined
  if (entry.identitytoken) return { identityToken: entry.identitytoken }
  const [username, ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':')
  return { username: entry.username ?? username, password: entry.password ?? rest.join(':') }
}
