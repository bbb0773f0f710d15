import { createReadStream } from 'node:fs'
import { isError, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Descriptor } from '../../spec/oci/index.ts'
import { errorsIn, unexpected } from './answers.ts'
import { type HttpAnswer, readBody } from './http.ts'
import type { Session } from './session.ts'

const chunkSize = 32 << 20
const tries = 5

type UploadResult = 'exists' | 'mounted' | 'uploaded'

/** Writing one repository. */
export class Uploads {
  readonly #session: Session
  readonly #clock: Clock
  readonly #signal: AbortSignal | undefined

  constructor(session: Session, clock: Clock, signal?: AbortSignal) {
    this.#session = session
    this.#clock = clock
    this.#signal = signal
  }

  async has(descriptor: Descriptor): Promise<boolean> {
    const answer = await this.#session.call(`blobs/${descriptor.digest}`, { method: 'HEAD' })
    answer.body.resume()
    if (answer.status === 200) return true
    if (answer.status === 404) return false
    throw this.#denied(answer)
  }

  /** Brings a blob there: found, mounted from one of `sources` (repositories of the same registry), or uploaded. */
  async put(
    descriptor: Descriptor,
    from: { file: string } | { data: Buffer },
    sources: string[],
    progress: (bytes: number) => void,
  ): Promise<{ result: UploadResult; source?: string }> {
    if (await this.has(descriptor)) return { result: 'exists' }
    for (const source of sources) {
      const query = new URLSearchParams({ mount: descriptor.digest, from: source })
      const answer = await this.#session.call(`blobs/uploads/?${query}`, { method: 'POST', body: Buffer.alloc(0) })
      answer.body.resume()
      if (answer.status === 201) return { result: 'mounted', source }
      if (answer.status === 202) {
        await this.#send(descriptor, from, answer, progress)
        return { result: 'uploaded' }
      }
    }
    await this.#send(descriptor, from, await this.#begin(), progress)
    return { result: 'uploaded' }
  }

  async manifest(reference: string, mediaType: string, body: Buffer): Promise<void> {
    const answer = await this.#session.call(`manifests/${reference}`, {
      method: 'PUT',
      body,
      headers: { 'Content-Type': mediaType, 'Content-Length': body.length },
    })
    if (answer.status !== 201 && answer.status !== 200) throw await this.#failed(answer)
    answer.body.resume()
  }

  async #begin(): Promise<HttpAnswer> {
    const answer = await this.#session.call('blobs/uploads/', { method: 'POST', body: Buffer.alloc(0) })
    if (answer.status !== 202) throw await this.#failed(answer)
    answer.body.resume()
    return answer
  }

  /** Chunk by chunk, so that a lost connection costs one chunk: the registry is asked how far it has come. */
  async #send(
    descriptor: Descriptor,
    from: { file: string } | { data: Buffer },
    begun: HttpAnswer,
    progress: (bytes: number) => void,
  ): Promise<void> {
    let location = locationOf(begun)
    const least = Number(begun.headers['oci-chunk-min-length'] ?? 0)
    const size = Math.max(chunkSize, Number.isSafeInteger(least) ? least : 0)
    let failures = 0
    for (let at = 0; at < descriptor.size; ) {
      const end = Math.min(at + size, descriptor.size)
      try {
        const answer = await this.#chunk(location, from, at, end, progress)
        location = locationOf(answer)
        at = end
      } catch (error) {
        if (++failures === tries || !isError(error, 'unavailable')) throw error
        await this.#clock.sleep(200 * 2 ** failures, this.#signal)
        const status = await this.#session.follow(location, { method: 'GET' })
        if (status.status !== 204) throw await this.#failed(status)
        status.body.resume()
        location = locationOf(status)
        at = reached(status)
      }
    }
    const last = new URL(location, begun.url)
    last.searchParams.set('digest', descriptor.digest)
    const answer = await this.#session.follow(last.href, {
      method: 'PUT',
      body: Buffer.alloc(0),
      headers: { 'Content-Length': 0 },
    })
    if (answer.status !== 201 && answer.status !== 204) throw await this.#failed(answer)
    answer.body.resume()
  }

  async #chunk(
    location: string,
    from: { file: string } | { data: Buffer },
    at: number,
    end: number,
    progress: (bytes: number) => void,
  ): Promise<HttpAnswer> {
    const headers = {
      'Content-Type': 'application/octet-stream',
      'Content-Length': end - at,
      'Content-Range': `${at}-${end - 1}`,
    }
    const call = (body: Buffer | ReturnType<typeof createReadStream>): Promise<HttpAnswer> =>
      this.#session.follow(location, { method: 'PATCH', headers, body })
    const body = (): Buffer | ReturnType<typeof createReadStream> => {
      if ('data' in from) return from.data.subarray(at, end)
      const stream = createReadStream(from.file, { start: at, end: end - 1, highWaterMark: 256 * 1024 })
      let sent = at
      stream.on('data', (chunk) => progress((sent += chunk.length)))
      return stream
    }
    let answer = await call(body())
    if (answer.status === 401) {
      // The token ran out and the session has a new one; a stream has to be opened anew for it.
      answer.body.resume()
      answer = await call(body())
    }
    if (answer.status !== 202) throw await this.#failed(answer)
    answer.body.resume()
    return answer
  }

  async #failed(answer: HttpAnswer): Promise<SlipwayError> {
    const errors = errorsIn(await readBody(answer, 64 * 1024))
    if (answer.status === 401 || answer.status === 403) return this.#denied(answer, errors[0])
    return unexpected(answer, errors)
  }

  #denied(answer: HttpAnswer, error?: { code: string; message: string }): SlipwayError {
    if (answer.status !== 401 && answer.status !== 403) return unexpected(answer, [])
    const { domain } = this.#session.reference
    const said = error?.message ? `: ${error.message}` : ''
    return new SlipwayError('unauthorized', `denied: requested access to the resource is denied${said}`, {
      hint: `Log in first: docker login ${domain === 'docker.io' ? '' : domain}`.trim(),
    })
  }
}

const locationOf = (answer: HttpAnswer): string => {
  const { location } = answer.headers
  if (location === undefined) throw new SlipwayError('unavailable', `${answer.url.host} named no place to upload to`)
  return new URL(location, answer.url).href
}

/** "0-1023": 1024 bytes are there. */
const reached = (answer: HttpAnswer): number => {
  const match = /^(?:bytes=)?0-(\d+)$/.exec(answer.headers.range ?? '')
  return match ? Number(match[1]) + 1 : 0
}
