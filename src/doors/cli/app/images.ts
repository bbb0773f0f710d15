/** Gets the image of every service: found, pulled, or built where the file says how. */

import { plainProgress } from '../../../build/progress/index.ts'
import type { BuildProgress } from '../../../build/types.ts'
import type { ControlClient, ImageAnswer } from '../../../clients/control/index.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { type ImageProcessConfig, parseReference } from '../../../spec/oci/index.ts'
import { buildSteps } from '../progress/build-steps.ts'
import type { Progress } from '../progress/progress.ts'
import { buildOrder } from './build-order.ts'
import { registryAuth, registryAuths } from './registry-auth.ts'

interface ImageWish {
  project: Project
  services: readonly Service[]
  /** Build also where the image is there. */
  build: boolean
  noBuild: boolean
  /** --pull: overrides every pull_policy. */
  pull: 'always' | 'missing' | 'never' | undefined
  quietPull: boolean
  noCache: boolean
  /** Ask the registry for newer base images. */
  pullBases: boolean
  buildArgs: Record<string, string>
  /** Builds are for all platforms that the file names: they go to other machines, too. */
  forOthers: boolean
  env: Record<string, string | undefined>
  signal: AbortSignal
}
export interface ServiceImage {
  reference: string
  config: ImageProcessConfig
  id: string
  /** It comes from `build:`, so that only this machine has it. */
  built: boolean
}

/** The name a built image gets: `image:` or PROJECT-SERVICE. */
export const imageName = (project: Project, service: Service): string =>
  service.image ?? `${project.name}-${service.name}`

/** A tag of the content: a rebuilt image is another reference, so it rolls out, and undo finds the old one. */
export const pinnedName = (name: string, id: string): string =>
  `${name.replace(/@.*$/, '').replace(/:[^/:]*$/, '')}:${id.replace('sha256:', '').slice(0, 12)}`

export const prepareImages = async (
  control: ControlClient,
  wish: ImageWish,
  progress: Progress,
): Promise<Record<string, ServiceImage>> => new Preparation(control, wish, progress).all()

type Policy = 'always' | 'missing' | 'never'
const policyOf = (service: Service, override: ImageWish['pull']): Policy => {
  if (override) return override
  const said = service.pull_policy
  return said === 'always' || said === 'never' ? said : 'missing'
}

class Preparation {
  #control: ControlClient
  #wish: ImageWish
  #progress: Progress
  /** By service: a build may wait for another's image (additional_contexts: service:NAME). */
  #services = new Map<string, Promise<ServiceImage>>()
  #pulls = new Map<string, Promise<ImageAnswer>>()
  #auths: ReturnType<typeof registryAuths> | undefined
  /** One failure stops the other pulls and builds. */
  #stop = new AbortController()
  #signal: AbortSignal

  constructor(control: ControlClient, wish: ImageWish, progress: Progress) {
    this.#control = control
    this.#wish = wish
    this.#progress = progress
    this.#signal = AbortSignal.any([wish.signal, this.#stop.signal])
  }

  /** Builds share one engine and its cache; starting them together lets equal steps run once. */
  async all(): Promise<Record<string, ServiceImage>> {
    let first: { error: unknown } | undefined
    const entries = await Promise.all(
      this.#wish.services.map(async (service) => {
        try {
          return [service.name, await this.#of(service)] as const
        } catch (error) {
          first ??= { error }
          this.#stop.abort()
          return undefined
        }
      }),
    )
    if (first) throw first.error
    return Object.fromEntries(entries.filter((e) => e !== undefined))
  }

  #of(service: Service): Promise<ServiceImage> {
    const known = this.#services.get(service.name)
    if (known !== undefined) return known
    const image = service.build ? this.#buildable(service) : this.#found(service)
    this.#services.set(service.name, image)
    return image
  }

  async #found(service: Service): Promise<ServiceImage> {
    const reference = imageName(this.#wish.project, service)
    const policy = policyOf(service, this.#wish.pull)
    const answer = await this.#ensure(reference, service, policy)
    return { reference, config: answer.config, id: answer.id, built: false }
  }

  /** As docker compose: built when asked to or when the image is missing; pulled first where a pull_policy says so. */
  async #buildable(service: Service): Promise<ServiceImage> {
    const { wish, name } = { wish: this.#wish, name: imageName(this.#wish.project, service) }
    if (!wish.noBuild && (wish.build || service.pull_policy === 'build')) return this.#build(service, name)
    const policy = service.pull_policy || wish.pull ? policyOf(service, wish.pull) : 'never'
    try {
      const { id, config } = await this.#ensure(name, service, service.image ? policy : 'never', true)
      return { reference: await this.#pin(name, id), config, id, built: true }
    } catch (error) {
      if (this.#signal.aborted) throw error
      if (!wish.noBuild) return this.#build(service, name)
      if (!isError(error, 'not-found')) throw error
      throw new SlipwayError('not-found', `no such image: ${name}`, {
        cause: error,
        hint: 'Leave --no-build out, so that it gets built.',
      })
    }
  }

  async #pin(name: string, id: string): Promise<string> {
    const pinned = pinnedName(name, id)
    // By its name, which may stand for more than this image.
    await this.#control.tag(name, pinned)
    return pinned
  }

  #ensure(reference: string, service: Service, policy: Policy, fallsBack = false): Promise<ImageAnswer> {
    const key = `${reference} ${policy} ${service.platform ?? ''}`
    let pull = this.#pulls.get(key)
    if (!pull) {
      pull = this.#pull(reference, service, policy, fallsBack)
      this.#pulls.set(key, pull)
    }
    return pull
  }

  async #pull(reference: string, service: Service, policy: Policy, fallsBack: boolean): Promise<ImageAnswer> {
    const id = `Image ${reference}`
    const layers = new Map<string, string>()
    const show = !this.#wish.quietPull
    try {
      const auth = policy === 'never' ? undefined : await registryAuth(parseReference(reference).domain, this.#wish.env)
      const answer = await this.#control.ensureImage(
        { reference, policy, platform: service.platform, auth },
        (step) => {
          if (step.notice) return this.#progress.print(step.status)
          if (step.id) layers.set(step.id, step.status)
          const finished = [...layers.values()].filter((s) => s === 'Pull complete' || s === 'Already exists').length
          const text = layers.size > 0 ? `Pulling ${finished}/${layers.size}` : 'Pulling'
          if (show) this.#progress.update({ id, state: 'working', text })
        },
        this.#signal,
      )
      if (answer.changed && show) this.#progress.update({ id, state: 'done', text: 'Pulled' })
      return answer
    } catch (error) {
      if (!fallsBack) this.#progress.update({ id, state: 'error', text: failedText(this.#signal) })
      throw error
    }
  }

  async #build(service: Service, name: string): Promise<ServiceImage> {
    const id = `Image ${name}`
    const progress = this.#progress
    progress.update({ id, state: 'working', text: 'Building' })
    const text = plainProgress()
    const steps = buildSteps((lines) => progress.detail(id, lines))
    // On a terminal the running steps are shown; the whole output of a build that fails follows.
    const streaming = progress.mode === 'plain' || progress.mode === 'json'
    const print = (output: string): void => {
      if (output === '') return
      for (const line of output.trimEnd().split('\n'))
        progress.print(this.#wish.services.length > 1 && line !== '' ? `${service.name}: ${line}` : line)
    }
    const onEvent = (event: BuildProgress): void => {
      const output = text.event(event)
      if (event.type === 'notice') progress.print(event.message)
      else if (streaming) print(output)
      else steps.event(event)
    }
    try {
      this.#auths ??= registryAuths(this.#wish.env)
      const contexts = await this.#contexts(service)
      const order = buildOrder({ ...this.#wish, auths: await this.#auths }, service, [name], contexts)
      const answer = await this.#control.build(order, onEvent, this.#signal)
      const reference = await this.#pin(name, answer.id)
      if (streaming) print(text.end())
      progress.update({ id, state: 'done', text: 'Built' })
      return { reference, config: answer.config, id: answer.id, built: true }
    } catch (error) {
      progress.update({ id, state: 'error', text: failedText(this.#signal) })
      if (this.#signal.aborted) throw error
      print(text.end(error))
      throw shownAlready(error, service.name, progress)
    } finally {
      steps.end()
    }
  }

  async #contexts(service: Service): Promise<Record<string, string>> {
    const { project } = this.#wish
    const entries = Object.entries(service.build?.additional_contexts ?? {}).map(async ([name, value]) => {
      if (!value.startsWith('service:')) return [name, value] as const
      const other = project.services[value.slice('service:'.length)]
      if (!other)
        throw new SlipwayError('invalid', `services.${service.name}.build.additional_contexts: no service ${value}`)
      return [name, `docker-image://${(await this.#of(other)).reference}`] as const
    })
    return Object.fromEntries(await Promise.all(entries))
  }
}

const failedText = (signal: AbortSignal): string => (signal.aborted ? 'Interrupted' : 'Error')

/** The build's output has the step and the lines of the Dockerfile: the last word is which service it was. */
const shownAlready = (error: unknown, service: string, progress: Progress): unknown => {
  if (!isError(error) || progress.mode === 'quiet') return error
  return new SlipwayError(error.code, `service ${service} could not be built: ${error.message}`, {
    at: error.at,
    hint: error.hint,
    cause: error,
  })
}
