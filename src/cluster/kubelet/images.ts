/** Image pulls of pods: policy, one pull at a time per reference, back-off between failures (Kubernetes' 10 s to 5 min). */
import type { Image, Images, RegistryAuth } from '../../engine/index.ts'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { credentialsOf, type DockerConfig, registryOfKey } from '../../spec/docker/config.ts'

interface PullWish {
  /** Uid of the pod: each pod has a back-off of its own. */
  pod: string
  reference: string
  policy: string
  /** Tried in order; an anonymous pull is the last. */
  auths: RegistryAuth[]
  signal: AbortSignal
}
interface PullEvents {
  pulling(): void
  pulled(image: Image, ms: number, present: boolean): void
}

export class PodImages {
  #images: Pick<Images, 'get' | 'pull'>
  #clock: Clock
  #running = new Map<string, { done: Promise<Image>; end: AbortController; waiting: number }>()
  #failures = new Map<string, { count: number; until: number; message: string }>()

  constructor(images: Pick<Images, 'get' | 'pull'>, clock: Clock) {
    this.#images = images
    this.#clock = clock
  }

  /** The image to run. Rejects with details { reason: 'ErrImagePull' | 'ImagePullBackOff' | 'ErrImageNeverPull' | 'InvalidImageName', retryAt }. */
  async ensure(wish: PullWish, events: PullEvents): Promise<Image> {
    const { reference, policy } = wish
    const began = this.#clock.now()
    const present = policy === 'Always' ? undefined : await this.#find(reference)
    if (present) {
      events.pulled(present, 0, true)
      return present
    }
    if (policy === 'Never')
      throw this.#failure(
        'ErrImageNeverPull',
        `Container image "${reference}" is not present with pull policy of Never`,
        0,
      )
    const id = `${wish.pod} ${reference}`
    const failed = this.#failures.get(id)
    if (failed && failed.until > began)
      throw this.#failure(
        'ImagePullBackOff',
        `Back-off pulling image "${reference}": ErrImagePull: ${failed.message}`,
        failed.until,
      )
    events.pulling()
    try {
      const image = await this.#pullOnce(wish)
      this.#failures.delete(id)
      events.pulled(image, this.#clock.now() - began, false)
      return image
    } catch (error) {
      if (wish.signal.aborted) throw error
      if (isError(error, 'bad-request', 'invalid')) throw this.#invalidName(reference, error)
      // A tag that cannot be checked because no registry answers is still the image that was built or loaded here.
      const local = policy === 'Always' && isError(error, 'unavailable') ? await this.#find(reference) : undefined
      if (local) {
        events.pulled(local, 0, true)
        return local
      }
      const count = (failed?.count ?? 0) + 1
      const until = this.#clock.now() + Math.min(10_000 * 2 ** (count - 1), 300_000)
      const message = messageOf(error)
      this.#failures.set(id, { count, until, message })
      throw this.#failure('ErrImagePull', message, until, error)
    }
  }

  async #find(reference: string): Promise<Image | undefined> {
    try {
      return await this.#images.get(reference)
    } catch (error) {
      throw this.#invalidName(reference, error)
    }
  }

  #invalidName(reference: string, error: unknown): SlipwayError {
    const message = `Failed to apply default image tag "${reference}": couldn't parse image name "${reference}": ${messageOf(error)}`
    return this.#failure('InvalidImageName', message, 0, error)
  }

  forget(pod: string): void {
    for (const id of this.#failures.keys()) if (id.startsWith(`${pod} `)) this.#failures.delete(id)
  }

  /** Pods that want the same image wait for one pull; it is broken off when the last of them has gone. */
  async #pullOnce(wish: PullWish): Promise<Image> {
    const key = `${wish.reference} ${JSON.stringify(wish.auths)}`
    let pull = this.#running.get(key)
    if (!pull) {
      const end = new AbortController()
      const done = this.#pull(wish, end.signal).finally(() => this.#running.delete(key))
      pull = { done, end, waiting: 0 }
      this.#running.set(key, pull)
    }
    pull.waiting++
    const gone = Promise.withResolvers<never>()
    const leave = (): void => gone.reject(wish.signal.reason)
    wish.signal.addEventListener('abort', leave, { once: true })
    if (wish.signal.aborted) leave()
    try {
      return await Promise.race([pull.done, gone.promise])
    } finally {
      wish.signal.removeEventListener('abort', leave)
      if (--pull.waiting === 0) pull.end.abort(new SlipwayError('cancelled', 'no pod wants the image any more'))
    }
  }

  async #pull(wish: PullWish, signal: AbortSignal): Promise<Image> {
    let refused: unknown
    for (const auth of [...wish.auths, undefined]) {
      try {
        return await this.#images.pull(wish.reference, { ...(auth ? { auth } : {}), signal })
      } catch (error) {
        if (!(error instanceof SlipwayError) || error.code !== 'unauthorized') throw error
        refused = error
      }
    }
    throw refused
  }

  #failure(reason: string, message: string, retryAt: number, cause?: unknown): SlipwayError {
    return new SlipwayError('unavailable', message, { details: { reason, retryAt }, cause })
  }
}

/** Credentials for one image out of kubernetes.io/dockerconfigjson secrets; one that cannot be read has none. */
export const authsFor = (registry: string, configs: readonly string[]): RegistryAuth[] =>
  configs.flatMap((text) =>
    Object.entries(entriesOf(text))
      .filter(([key]) => registryOfKey(key) === registryOfKey(registry))
      .map(([, entry]) => credentialsOf(entry)),
  )

const entriesOf = (text: string): NonNullable<DockerConfig['auths']> => {
  try {
    return (JSON.parse(text) as DockerConfig).auths ?? {}
  } catch {
    return {}
  }
}
