/** Base images: those that are here, else pulled. */
import { randomUUID } from 'node:crypto'
import type { Image, Images, TransferProgress } from '../engine/types.ts'
import { isError, SlipwayError } from '../errors.ts'
import {
  familiarName,
  formatPlatform,
  hostPlatform,
  type Platform,
  parseReference,
  wholeName,
} from '../spec/oci/index.ts'
import { policedImage } from './policed.ts'
import type { Vertex } from './solver/graph.ts'
import type { Report } from './solver/report.ts'
import type { BuildRequest } from './types.ts'

export class Bases {
  readonly #images: Pick<Images, 'get' | 'forPlatform' | 'pull' | 'hold'>
  readonly #request: BuildRequest
  readonly #report: Report
  readonly #signal: AbortSignal
  readonly #found = new Map<string, Promise<Image>>()
  readonly #held: (() => Promise<void>)[] = []

  constructor(
    images: Pick<Images, 'get' | 'forPlatform' | 'pull' | 'hold'>,
    request: BuildRequest,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#images = images
    this.#request = request
    this.#report = report
    this.#signal = signal
  }

  /** Each once a build. */
  async get(given: string, platform: Platform, rules = this.#request.sourceRules ?? []): Promise<Image> {
    if (rules.length === 0) return await this.#once(given, platform)
    const reference = policedImage(rules, fullName(given)) ?? given
    const image = await this.#once(reference, platform)
    const pinned = pinnedName(reference, image)
    // The policy may speak of what a name has turned out to be, too.
    const instead = pinned && policedImage(rules, pinned)
    return instead ? await this.#once(instead, platform) : image
  }

  #once(reference: string, platform: Platform): Promise<Image> {
    const key = `${reference} ${formatPlatform(platform)}`
    let image = this.#found.get(key)
    if (!image) {
      image = this.#keep(this.#resolve(reference, platform))
      image.catch(() => {})
      this.#found.set(key, image)
    }
    return image
  }

  /** What was asked for, for a platform. */
  async used(platform: Platform): Promise<{ reference: string; image: Image }[]> {
    const suffix = ` ${formatPlatform(platform)}`
    const found = [...this.#found].filter(([key]) => key.endsWith(suffix))
    return await Promise.all(
      found.map(async ([key, image]) => ({ reference: key.slice(0, -suffix.length), image: await image })),
    )
  }

  /** Lets go of all; they may be removed again. */
  async close(): Promise<void> {
    for (const release of this.#held.splice(0)) await release()
  }

  /** Until the end of the build, whatever is pruned meanwhile. */
  async #keep(found: Promise<Image>): Promise<Image> {
    const image = await found
    this.#held.push(await this.#images.hold(image.id))
    return image
  }

  async #resolve(reference: string, platform: Platform): Promise<Image> {
    const full = fullName(reference)
    const vertex = { id: randomUUID(), name: `[internal] load metadata for ${full}` }
    return await this.#report.during(vertex, async () => {
      const here = this.#request.pull ? undefined : await this.#local(reference, platform)
      // An image made for another machine serves where nobody asked for a platform.
      const { platforms = [] } = this.#request
      const asked =
        this.#request.platform !== undefined ||
        platforms.length > 0 ||
        formatPlatform(platform) !== formatPlatform(hostPlatform())
      const serves = (image: Image): boolean => !asked || image.platform.architecture === platform.architecture
      if (here && serves(here)) return here
      try {
        return await this.#images.pull(reference, {
          platform,
          // The rule InvalidBaseImagePlatform speaks of it.
          anyPlatform: true,
          auth: await this.#request.auth?.(registryOf(reference)),
          signal: this.#signal,
          // The name stays with the image for this machine.
          yieldName: formatPlatform(platform) !== formatPlatform(hostPlatform()),
          // Making an image anew that is here would change the base for no reason.
          bootstrap: (await this.#images.get(reference)) === undefined,
          progress: (step) => this.#showTransfer(vertex, step),
        })
      } catch (error) {
        // What is here still serves when the registry does not answer.
        const local = isError(error, 'unavailable') ? await this.#local(reference, platform) : undefined
        if (local && serves(local)) {
          this.#request.progress({
            type: 'notice',
            message: `${familiar(reference)}: the registry cannot be reached, using the local image`,
          })
          return local
        }
        throw this.#pullError(reference, full, error)
      }
    })
  }

  /** Of several under the name the one for the platform. */
  async #local(reference: string, platform: Platform): Promise<Image | undefined> {
    const image = await this.#images.get(reference)
    return image && (await this.#images.forPlatform(reference, platform))
  }

  #pullError(reference: string, full: string, error: unknown): unknown {
    if (!(error instanceof SlipwayError) || error.code === 'cancelled') return error
    const { code, message, hint, details } = error
    const reason = code === 'not-found' ? `${full}: not found` : message
    return new SlipwayError(code, `${reference}: failed to resolve source metadata for ${full}: ${reason}`, {
      hint: hint ?? 'Check the name, or build or load the image first.',
      details,
      cause: error,
    })
  }

  #showTransfer(vertex: Vertex, step: TransferProgress): void {
    const name = step.id === undefined ? step.status : `${step.id}: ${step.status}`
    if (step.notice) this.#request.progress({ type: 'notice', message: name })
    else this.#report.emit({ type: 'status', id: vertex.id, name, current: step.current ?? 0, total: step.total })
  }
}

/** With the digest that the registry has given the image; undefined: the reference has one already, or there is none. */
const pinnedName = (reference: string, { repoDigests }: Image): string | undefined => {
  if (reference.includes('sha256:')) return undefined
  const full = fullName(reference)
  const { domain, path } = parseReference(full)
  const own = repoDigests.map(parseReference).find((each) => each.domain === domain && each.path === path)
  return own?.digest && `${full}@${own.digest}`
}

/** 'docker.io/library/debian:latest'; an id stays as it is. */
export const fullName = (reference: string): string => {
  if (/^sha256:[0-9a-f]{64}$/.test(reference)) return reference
  try {
    return wholeName(reference)
  } catch {
    return reference // an image id; what is neither is refused by whoever looks it up
  }
}
export const familiar = (reference: string): string => {
  try {
    return familiarName(parseReference(reference))
  } catch {
    return reference
  }
}
const registryOf = (reference: string): string => {
  try {
    return parseReference(reference).domain
  } catch {
    return ''
  }
}
