/**
 * What builds have pushed a moment ago. buildx before 0.20 pushes once more by itself what `--push` has pushed, from the image
 * store: an index is not in there, and layers would go out in another form than was asked for.
 */
import type { Clock } from '../../lib/clock.ts'
import { type Descriptor, wholeName } from '../../spec/oci/index.ts'

const patienceMs = 60_000

export class RecentPushes {
  readonly #clock: Pick<Clock, 'now'>
  readonly #byName = new Map<string, { descriptor: Descriptor; image: string | undefined; at: number }>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** `image`: what the name means here, if anything. */
  add(name: string, descriptor: Descriptor, image: string | undefined): void {
    this.#byName.set(wholeName(name), { descriptor, image, at: this.#clock.now() })
  }

  /** Once; undefined where the name means another image by now. */
  take(name: string, image: string | undefined): Descriptor | undefined {
    const found = this.#byName.get(wholeName(name))
    this.#byName.delete(wholeName(name))
    const isCurrent = found && found.image === image && this.#clock.now() - found.at < patienceMs
    return isCurrent ? found.descriptor : undefined
  }
}
