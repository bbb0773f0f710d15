/**
 * Results of builds that another build may start from (bake's `target:` contexts). To the client a result is a definition that
 * it passes on unread; ours has one source that names the result.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type Definition, Op } from './messages.ts'
import type { Decoded } from './protobuf.ts'

type AnyDefinition = Partial<Decoded<typeof Definition>>
const scheme = 'slipway-result://'

export class Results {
  readonly #images = new Map<string, () => Promise<string>>()

  /** `image` makes the result an image and tells its id; it is asked at most once. */
  add(image: () => Promise<string>): { id: string; def: AnyDefinition; forget: () => void } {
    const id = randomUUID()
    let made: Promise<string> | undefined
    this.#images.set(id, () => (made ??= image()))
    const source = Op.encode({ source: { identifier: scheme + id } })
    const digest = `sha256:${createHash('sha256').update(source).digest('hex')}`
    // By convention the last one has no operation: its input is the result.
    const def = [source, Op.encode({ inputs: [{ digest }] })]
    return { id, def: { def, metadata: { [digest]: {} } }, forget: () => void this.#images.delete(id) }
  }

  /** The image that a definition of ours names. */
  async imageOf(definition: AnyDefinition): Promise<string | undefined> {
    for (const bytes of definition.def ?? []) {
      const identifier = Op.decode(bytes).source?.identifier ?? ''
      if (identifier.startsWith(scheme)) return await this.#images.get(identifier.slice(scheme.length))?.()
    }
    return undefined
  }
}
