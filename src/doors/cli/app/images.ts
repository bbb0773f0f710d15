/** Gets the image of every service: built where the file says so, else found or pulled. */
import type { BuildProgress, BuildRequest } from '../../../build/types.ts'
import { plainProgress } from '../../../build/progress/index.ts'
import type { BuildOrder, ControlClient, ImageAnswer } from '../../../clients/control/index.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import type { ImageProcessConfig } from '../../../spec/oci/image.ts'
import type { Progress } from '../progress/progress.ts'

export interface ImageWish {
  project: Project
  services: readonly Service[]
  /** Build also where the image is there. */
  build: boolean
  noBuild: boolean
  /** --pull: overrides every pull_policy. */
  pull: 'always' | 'missing' | 'never' | undefined
  noCache: boolean
  /** Ask the registry for newer base images. */
  pullBases: boolean
  buildArgs: Record<string, string>
  signal: AbortSignal
}
export interface ServiceImage {
  reference: string
  config: ImageProcessConfig
  id: string
  built: boolean
}

/** The name a built image gets: `image:` or PROJECT-SERVICE. */
export const imageName = (project: Project, service: Service): string =>
  service.image ?? `${project.name}-${service.name}`

export const prepareImages = async (
  control: ControlClient,
  wish: ImageWish,
  progress: Progress,
): Promise<Record<string, ServiceImage>> => {
  const result: Record<string, ServiceImage> = {}
  const pulls = new Map<string, Promise<ImageAnswer>>()
  // Builds share one engine and its cache; starting them together lets equal steps run once.
  await Promise.all(
    wish.services.map(async (service) => {
      if (service.build && !wish.noBuild) {
        result[service.name] = await buildService(control, wish, service, progress)
        return
      }
      const reference = imageName(wish.project, service)
      const policy = pullPolicy(service, wish.pull)
      let pull = pulls.get(reference)
      if (!pull) {
        pull = ensure(control, reference, service, policy, wish.signal, progress)
        pulls.set(reference, pull)
      }
      const answer = await pull
      result[service.name] = { reference, config: answer.config, id: answer.id, built: false }
    }),
  )
  return result
}

const pullPolicy = (service: Service, override: ImageWish['pull']): 'always' | 'missing' | 'never' => {
  if (override) return override
  if (service.build) return 'never'
  const policy = String(service.pull_policy ?? 'missing')
  if (policy === 'always' || policy === 'never') return policy
  return 'missing'
}

const ensure = async (
  control: ControlClient,
  reference: string,
  service: Service,
  policy: 'always' | 'missing' | 'never',
  signal: AbortSignal,
  progress: Progress,
): Promise<ImageAnswer> => {
  const id = `Image ${reference}`
  const layers = new Map<string, string>()
  const answer = await control
    .ensureImage(
      { reference, policy, platform: service.platform, auth: undefined },
      (step) => {
        if (step.notice) return progress.print(step.status)
        if (step.id) layers.set(step.id, step.status)
        const finished = [...layers.values()].filter((s) => s === 'Pull complete' || s === 'Already exists').length
        progress.update({
          id,
          state: 'working',
          text: layers.size > 0 ? `Pulling ${finished}/${layers.size}` : 'Pulling',
        })
      },
      signal,
    )
    .catch((error: unknown) => {
      progress.update({ id, state: 'error', text: 'Error' })
      throw error
    })
  if (answer.changed) progress.update({ id, state: 'done', text: 'Pulled' })
  return answer
}

const buildService = async (
  control: ControlClient,
  wish: ImageWish,
  service: Service,
  progress: Progress,
): Promise<ServiceImage> => {
  const name = imageName(wish.project, service)
  const id = `Image ${name}`
  progress.update({ id, state: 'working', text: 'Building' })
  const text = plainProgress()
  // On a terminal one line a service is shown; the whole output of a build that fails follows.
  const show = progress.mode === 'plain' || progress.mode === 'json'
  const print = (output: string): void => {
    if (output !== '')
      for (const line of output.trimEnd().split('\n'))
        progress.print(wish.services.length > 1 ? `${service.name}: ${line}` : line)
  }
  const onEvent = (event: BuildProgress): void => {
    const output = text.event(event)
    if (event.type === 'notice') progress.print(event.message)
    else if (show) print(output)
    else if (event.type === 'vertex') progress.update({ id, state: 'working', text: event.name })
  }
  try {
    const answer = await control.build(buildOrder(wish, service, [name]), onEvent, wish.signal)
    const pinned = pinnedName(name, answer.id)
    await control.tag(answer.id, pinned)
    print(text.end())
    progress.update({ id, state: 'done', text: 'Built' })
    return { reference: pinned, config: answer.config, id: answer.id, built: true }
  } catch (error) {
    progress.update({ id, state: 'error', text: 'Failed' })
    print(text.end(error))
    throw error
  }
}

/** A tag of the content: a rebuilt image is another reference, so it rolls out, and undo finds the old one. */
export const pinnedName = (name: string, id: string): string =>
  `${name.replace(/:[^/:]*$/, '')}:${id.replace('sha256:', '').slice(0, 12)}`

export const buildOrder = (
  wish: Pick<ImageWish, 'project' | 'noCache' | 'pullBases' | 'buildArgs'>,
  service: Service,
  tags: string[],
): BuildOrder => {
  const build = service.build!
  const context = build.context
  if (context !== undefined && /^(https?:\/\/|git@|git:\/\/|ssh:\/\/)/.test(context))
    throw new SlipwayError('unsupported', `services.${service.name}.build.context: ${context} is remote`, {
      hint: 'Clone it first and name the directory.',
    })
  const args = Object.fromEntries(
    Object.entries({ ...build.args, ...wish.buildArgs }).filter((e): e is [string, string] => typeof e[1] === 'string'),
  )
  return {
    contextDirectory: context,
    dockerfile:
      build.dockerfile_inline !== undefined
        ? { inline: build.dockerfile_inline }
        : { path: build.dockerfile ?? 'Dockerfile' },
    target: build.target,
    args,
    labels: build.labels ?? {},
    tags: [...tags, ...(build.tags ?? [])],
    platform: service.platform,
    noCache: wish.noCache || (build.no_cache ?? false),
    pull: wish.pullBases || (build.pull ?? false),
    network: build.network as BuildRequest['network'],
    extraHosts: [],
    shmSize: build.shm_size,
    ulimits: [],
    contexts: build.additional_contexts ?? {},
    secrets: buildSecrets(wish.project, service),
    privileged: build.privileged ?? false,
  }
}

const buildSecrets = (project: Project, service: Service): BuildOrder['secrets'] =>
  Object.fromEntries(
    (service.build!.secrets ?? []).map((use) => {
      const secret = project.secrets[use.source]
      if (secret?.file) return [use.target ?? use.source, { file: secret.file }]
      if (secret?.environment)
        return [
          use.target ?? use.source,
          { valueBase64: Buffer.from(project.environment[secret.environment] ?? '').toString('base64') },
        ]
      throw new SlipwayError(
        'invalid',
        `services.${service.name}.build.secrets: secret "${use.source}" has neither file nor environment`,
      )
    }),
  )
