import { open } from 'node:fs/promises'
import { isError, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { isRedirect } from '../../lib/http/get.ts'
import type { Descriptor, Digest } from '../../spec/oci/index.ts'
import { errorsIn, unexpected } from './answers.ts'
import { type HttpAnswer, readBody } from './http.ts'
import type { Session } from './session.ts'

const pieceSize = 256 * 1024
const tries = 5
const maxRedirects = 5
/** Some registries hand a layer on to another store before they answer. */
const idleMs = 5 * 60_000
/** What has so much when it is first looked at is sent while it grows. */
const streamFrom = 1 << 20
/** So much left to send is worth the question whether the registry has the blob. */
const worthAsking = 4 << 20

type UploadResult = 'exists' | 'mounted' | 'uploaded'
export interface Uploaded {
  result: UploadResult
  source?: string
}
type Blob = Pick<Descriptor, 'digest' | 'size'>

/** A blob that may still be written: what is there of it can be read any number of times. */
interface GrowingSource {
  /** Resolves when `bytes` are there, or all; fails with what the writing fails with. */
  reaches(bytes: number): Promise<{ size: number; whole?: { digest: Digest; size: number } }>
  /** To the end, as they come, unless `end` is given. What was given is overwritten when more is asked for. */
  bytes(start: number, end?: number): AsyncIterable<Uint8Array>
}
type Body = Uint8Array | AsyncIterable<Uint8Array>
interface Source extends Pick<GrowingSource, 'reaches'> {
  body(start: number, end?: number): Body
}
/** Where to go on, and from which byte. */
interface Place {
  location: string
  at: number
  /** The connection broke: the registry has to be asked how far it has come. */
  lost?: boolean
}

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

  async has({ digest }: Pick<Blob, 'digest'>): Promise<boolean> {
    const answer = await this.#session.call(`blobs/${digest}`, { method: 'HEAD' })
    answer.body.resume()
    if (answer.status === 200) return true
    // Some do not answer this question at all; then it is sent.
    if ([404, 405, 501].includes(answer.status)) return false
    throw this.#denied(answer)
  }

  /** Brings a blob there: found, mounted from one of `sources` (repositories of the same registry), or uploaded. */
  async put(
    blob: Blob,
    from: { file: string } | { data: Buffer },
    sources: string[],
    progress: (bytes: number) => void,
  ): Promise<Uploaded> {
    const found = await this.find(blob, sources)
    if ('result' in found) return found
    await this.#send('data' in from ? ofData(blob, from.data) : ofFile(blob, from.file), found.place, progress)
    return { result: 'uploaded' }
  }

  /** put() without content: where the registry has none of it, the place to send it to. */
  async find(blob: Blob, sources: string[]): Promise<Uploaded | { place: Place }> {
    if (await this.has(blob)) return { result: 'exists' }
    for (const source of sources) {
      const query = new URLSearchParams({ mount: blob.digest, from: source })
      const answer = await this.#session.call(`blobs/uploads/?${query}`, { method: 'POST', body: Buffer.alloc(0) })
      answer.body.resume()
      if (answer.status === 201) return { result: 'mounted', source }
      if (answer.status === 202) return { place: placeOf(answer) }
    }
    return { place: await this.#begin() }
  }

  /**
   * put() of a blob that is being written: it is sent as it grows, in one request as docker does. What is lost of that, or
   * refused, is sent again. `place`: what find() has said.
   */
  async putGrowing(
    blob: GrowingSource,
    sources: string[],
    progress: (bytes: number) => void,
    place?: Place,
  ): Promise<Uploaded> {
    const source: Source = {
      reaches: (bytes) => blob.reaches(bytes),
      body: (start, end) => blob.bytes(start, end),
    }
    const { whole } = await blob.reaches(streamFrom)
    const found = place ? { place } : whole ? await this.find(whole, sources) : { place: await this.#begin() }
    if ('result' in found) return found
    if (whole) await this.#send(source, found.place, progress)
    else {
      const next = await this.#stream(source, found.place, progress)
      if (!next) return { result: 'exists' }
      await this.#send(source, next, progress)
    }
    return { result: 'uploaded' }
  }

  async manifest(reference: string, mediaType: string, body: Buffer): Promise<void> {
    const answer = await this.#session.call(`manifests/${reference}`, {
      method: 'PUT',
      body,
      headers: { 'Content-Type': mediaType, 'Content-Length': body.length },
    })
    if (!isDone(answer)) throw await this.#failed(answer)
    answer.body.resume()
  }

  async #begin(): Promise<Place> {
    const answer = await this.#session.call('blobs/uploads/', { method: 'POST', body: Buffer.alloc(0) })
    if (answer.status !== 202) throw await this.#failed(answer)
    answer.body.resume()
    return placeOf(answer)
  }

  /**
   * All that comes, in one request of unknown length; resolves with where to go on. Undefined: the registry has got the blob
   * from elsewhere, which can be asked for as soon as its digest is known.
   */
  async #stream(source: Source, place: Place, progress: (bytes: number) => void): Promise<Place | undefined> {
    let sent = 0
    let sending = true
    const stop = new AbortController()
    const look = async (): Promise<void> => {
      const { whole } = await source.reaches(Number.POSITIVE_INFINITY)
      if (whole && sending && whole.size - sent >= worthAsking && (await this.has(whole))) stop.abort()
    }
    look().catch(() => {}) // the sending fails of the same, or does without the answer
    try {
      const body = () => watched(source.body(0), 0, (bytes) => progress((sent = bytes)))
      const answer = await this.#patch(place.location, {}, body, stop.signal)
      return { ...place, location: nextOf(answer), at: (await source.reaches(Number.POSITIVE_INFINITY)).size }
    } catch (error) {
      if (stop.signal.aborted && !this.#signal?.aborted) {
        await this.#drop(place)
        return undefined
      }
      await source.reaches(0)
      if (passes(error)) return { ...place, lost: true }
      // A registry, or something before it, that does not take streams.
      if (isError(error, 'invalid', 'not-found')) return await this.#begin()
      throw error
    } finally {
      sending = false
    }
  }

  /** In one piece, as every registry takes it; after a lost connection from where the registry has come, if it knows. */
  async #send(source: Source, start: Place, progress: (bytes: number) => void): Promise<void> {
    let place = start
    for (let failures = place.lost ? 1 : 0; ; ) {
      try {
        if (place.lost) {
          await this.#clock.sleep(200 * 2 ** failures, this.#signal)
          const known = await this.#asked(place, source)
          if (!known) return
          place = known
        }
        const { size, whole } = await source.reaches(Number.POSITIVE_INFINITY)
        if (whole && place.at >= whole.size) return await this.#finish(place, whole)
        place = await this.#rest(place, source, size, progress)
      } catch (error) {
        await source.reaches(0)
        // It may be that only going on is refused.
        const anew = place.at > 0 && isError(error, 'invalid', 'not-found')
        if (++failures === tries || !(anew || passes(error))) throw error
        place = anew ? await this.#begin() : { ...place, lost: true }
      }
    }
  }

  async #rest(place: Place, source: Source, end: number, progress: (bytes: number) => void): Promise<Place> {
    const headers = {
      'Content-Length': end - place.at,
      ...(place.at > 0 && { 'Content-Range': `${place.at}-${end - 1}` }),
    }
    const body = () => watched(source.body(place.at, end), place.at, progress)
    return { ...place, location: nextOf(await this.#patch(place.location, headers, body)), at: end }
  }

  async #patch(
    location: string,
    headers: Record<string, string | number>,
    body: () => Body,
    stop?: AbortSignal,
  ): Promise<HttpAnswer> {
    let to = location
    for (let hops = 0, renewed = false; ; ) {
      const refused = new AbortController()
      const answer = await this.#session.follow(to, {
        method: 'PATCH',
        headers: { 'Content-Type': 'application/octet-stream', ...headers },
        body: body(),
        idleMs,
        signal: stop ? AbortSignal.any([stop, refused.signal]) : refused.signal,
      })
      if (isDone(answer)) {
        answer.body.resume()
        return answer
      }
      const error = await this.#failed(answer)
      refused.abort() // what was not sent yet is not worth it
      // It goes elsewhere, or the token ran out and the session has a new one: a stream has to be opened anew for it.
      if (isRedirect(answer) && hops++ < maxRedirects) to = locationOf(answer)
      else if (answer.status === 401 && !renewed) renewed = true
      else throw error
    }
  }

  /** Where the registry has got to; undefined: to the end. What it has forgotten begins anew. */
  async #asked(place: Place, source: Source): Promise<Place | undefined> {
    const status = await this.#session.follow(place.location, { method: 'GET' })
    if (status.status === 404) {
      status.body.resume()
      const { whole } = await source.reaches(0)
      return whole && (await this.has(whole)) ? undefined : await this.#begin()
    }
    status.body.resume()
    if (status.status !== 204) return await this.#begin()
    return { ...place, location: nextOf(status), at: reached(status), lost: false }
  }

  async #finish({ location }: Place, { digest }: Blob): Promise<void> {
    const last = new URL(location)
    last.searchParams.set('digest', digest)
    const answer = await this.#session.follow(last.href, {
      method: 'PUT',
      body: Buffer.alloc(0),
      headers: { 'Content-Length': 0 },
      idleMs,
    })
    if (!isDone(answer)) throw await this.#failed(answer)
    answer.body.resume()
  }

  /** What was begun and is not needed. A registry forgets it of itself, too, only later. */
  async #drop({ location }: Place): Promise<void> {
    const answer = await this.#session.follow(location, { method: 'DELETE' }).catch(() => undefined)
    answer?.body.resume()
  }

  async #failed(answer: HttpAnswer): Promise<SlipwayError> {
    const errors = errorsIn(await readBody(answer, 64 * 1024))
    if (answer.status === 401 || answer.status === 403) return this.#denied(answer, errors[0])
    return unexpected(answer, errors)
  }

  #denied(answer: HttpAnswer, error?: { code: string; message: string }): SlipwayError {
    if (answer.status !== 401 && answer.status !== 403) return unexpected(answer, [])
    const { domain } = this.#session.reference
    const denied = 'requested access to the resource is denied'
    const said = error?.message && error.message !== denied ? `: ${error.message}` : ''
    return new SlipwayError('unauthorized', `denied: ${denied}${said}`, {
      hint: `Log in first: docker login ${domain === 'docker.io' ? '' : domain}`.trim(),
    })
  }
}

const ofData = (blob: Blob, data: Buffer): Source => ({
  reaches: async () => ({ size: blob.size, whole: blob }),
  body: (start, end) => data.subarray(start, end),
})

const ofFile = (blob: Blob, file: string): Source => ({
  reaches: async () => ({ size: blob.size, whole: blob }),
  body: (start, end = blob.size) => partOf(file, start, end),
})

async function* partOf(file: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  const handle = await open(file, 'r')
  try {
    const memory = Buffer.allocUnsafeSlow(Math.min(pieceSize, end - start))
    for (let at = start; at < end; ) {
      const { bytesRead } = await handle.read(memory, 0, Math.min(memory.length, end - at), at)
      if (bytesRead === 0) throw new SlipwayError('internal', `${file} is shorter than it was`)
      yield memory.subarray(0, bytesRead)
      at += bytesRead
    }
  } finally {
    await handle.close()
  }
}

/** Tells how far it was read. */
const watched = (body: Body, start: number, progress: (bytes: number) => void): Body => {
  if (body instanceof Uint8Array) return body
  return (async function* (): AsyncGenerator<Uint8Array> {
    let at = start
    for await (const chunk of body) {
      yield chunk
      progress((at += chunk.length))
    }
  })()
}

const passes = (error: unknown): boolean => isError(error, 'unavailable', 'too-many-requests')

const isDone = ({ status }: HttpAnswer): boolean => status >= 200 && status < 300

const placeOf = (answer: HttpAnswer): Place => ({ location: locationOf(answer), at: 0 })

const locationOf = (answer: HttpAnswer): string => {
  const { location } = answer.headers
  if (location === undefined) throw new SlipwayError('unavailable', `${answer.url.host} named no place to upload to`)
  return new URL(location, answer.url).href
}

/** Where to go on; a registry that says nothing means the same place. */
const nextOf = (answer: HttpAnswer): string =>
  answer.headers.location === undefined ? answer.url.href : locationOf(answer)

/** "0-1023": 1024 bytes are there. "0-0" is what registries say of none, too. */
const reached = (answer: HttpAnswer): number => {
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(answer.headers.range ?? '')?.[1] ?? 0)
  return last === 0 ? 0 : last + 1
}
