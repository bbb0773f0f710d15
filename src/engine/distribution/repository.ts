import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { isError, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import {
  type Descriptor,
  type Digest,
  isDigest,
  isIndexType,
  isManifestType,
  mediaTypes,
  sha256,
} from '../../spec/oci/index.ts'
import { errorsIn, refusal, unexpected } from './answers.ts'
import { type HttpAnswer, readBody } from './http.ts'
import type { Session } from './session.ts'

const maxManifest = 4 << 20
const maxConfig = 16 << 20
const tries = 5
const maxPages = 1000

export interface FetchedManifest {
  mediaType: string
  digest: Digest
  /** Exactly as it came: the digest is of these bytes. */
  body: Buffer
}

const accepted = [
  mediaTypes.ociIndex,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestV1,
].join(', ')

/** Reading one repository. */
export class Repository {
  readonly session: Session
  readonly #clock: Clock
  readonly #signal: AbortSignal | undefined

  constructor(session: Session, clock: Clock, signal?: AbortSignal) {
    this.session = session
    this.#clock = clock
    this.#signal = signal
  }

  /** By tag or digest; what was asked for by digest has it. */
  async manifest(wanted: string): Promise<FetchedManifest> {
    const answer = await this.session.call(`manifests/${wanted}`, { method: 'GET', headers: { Accept: accepted } })
    if (answer.status !== 200) throw await refusal(answer, this.session.reference)
    const body = await readBody(answer, maxManifest)
    const digest = sha256(body)
    const damaged = wanted.includes(':') && !hasDigest(body, wanted)
    if (damaged && this.session.disown(answer)) return this.manifest(wanted)
    if (damaged) throw new SlipwayError('invalid', `manifest verification failed for digest ${wanted}`)
    const mediaType = typeOf(body, answer.headers['content-type'])
    if (!isIndexType(mediaType) && !isManifestType(mediaType))
      throw new SlipwayError('unsupported', `unsupported manifest media type ${mediaType}`, {
        hint: /docker\.distribution\.manifest\.v1\+/.test(mediaType)
          ? 'Images in the old schema 1 format have to be pushed again with a current tool.'
          : 'This is not a container image but another kind of artifact.',
      })
    return { mediaType, digest, body }
  }

  /** All tags of the repository, as the registry orders them. */
  async tags(): Promise<string[]> {
    const tags: string[] = []
    let next: string | undefined = 'tags/list?n=1000'
    for (let pages = 0; next !== undefined && pages < maxPages; pages++) {
      const answer: HttpAnswer = await this.session.call(next, { method: 'GET' })
      if (answer.status !== 200) throw await refusal(answer, this.session.reference)
      const { tags: page } = JSON.parse((await readBody(answer, maxManifest)).toString('utf8')) as { tags?: unknown }
      if (Array.isArray(page)) tags.push(...page.filter((tag) => typeof tag === 'string'))
      const link: string | undefined = /<([^>]*)>;\s*rel="?next"?/.exec(String(answer.headers.link ?? ''))?.[1]
      const query: string | undefined = link === undefined ? undefined : link.split('?')[1]
      next = query === undefined ? undefined : `tags/list?${query}`
    }
    return tags
  }

  /** A small blob, verified. */
  async smallBlob(descriptor: Descriptor): Promise<Buffer> {
    const answer = await this.session.call(`blobs/${descriptor.digest}`, { method: 'GET' })
    if (answer.status !== 200) throw await this.#blobRefusal(answer)
    const body = await readBody(answer, maxConfig)
    if (sha256(body) !== descriptor.digest && this.session.disown(answer)) return this.smallBlob(descriptor)
    if (sha256(body) !== descriptor.digest)
      throw new SlipwayError('invalid', `filesystem layer verification failed for digest ${descriptor.digest}`)
    return body
  }

  /**
   * Downloads a blob into `file`, going on where an earlier attempt has stopped, and verifies it. Lost connections are
   * taken up again; a wrong digest empties the file.
   */
  async download(descriptor: Descriptor, file: string, progress: (bytes: number) => void): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#downloadOnce(descriptor, file, progress)
      } catch (error) {
        if (attempt === tries || !isError(error, 'unavailable')) throw error
        await this.#clock.sleep(200 * 2 ** attempt, this.#signal)
      }
    }
  }

  async #downloadOnce(descriptor: Descriptor, file: string, progress: (bytes: number) => void): Promise<void> {
    const { hash, size: have } = await hashed(file)
    let at = have
    let digest: Hash = hash
    let from: HttpAnswer | undefined
    if (have < descriptor.size || have === 0) {
      const headers = have > 0 ? { Range: `bytes=${have}-` } : {}
      const answer = await this.session.call(`blobs/${descriptor.digest}`, { method: 'GET', headers })
      from = answer
      if (answer.status === 416) {
        answer.body.resume()
        await empty(file)
        throw new SlipwayError('unavailable', `${answer.url.host} cannot continue the download`)
      }
      if (answer.status !== 200 && answer.status !== 206) throw await this.#blobRefusal(answer)
      const { 'content-range': range, 'content-encoding': encoding } = answer.headers
      const goesOn = answer.status === 206 && encoding === undefined && range?.startsWith(`bytes ${have}-`) === true
      if (answer.status === 206 && !goesOn) {
        answer.body.destroy()
        await empty(file)
        throw new SlipwayError('unavailable', `${answer.url.host} answered with another range than asked for`)
      }
      if (!goesOn) {
        at = 0
        digest = createHash('sha256')
      }
      at = await store(answer, file, at, descriptor.size, digest, progress)
    }
    if (at < descriptor.size) throw new SlipwayError('unavailable', `download of ${descriptor.digest} was cut off`)
    if (at === descriptor.size && `sha256:${digest.digest('hex')}` === descriptor.digest) return
    await empty(file)
    if (from && this.session.disown(from))
      throw new SlipwayError('unavailable', `a mirror's ${descriptor.digest} is damaged`)
    throw new SlipwayError('invalid', `filesystem layer verification failed for digest ${descriptor.digest}`)
  }

  async #blobRefusal(answer: HttpAnswer): Promise<SlipwayError> {
    if (answer.status === 401 || answer.status === 403) return refusal(answer, this.session.reference)
    return unexpected(answer, errorsIn(await readBody(answer, 64 * 1024)))
  }
}

const store = async (
  answer: HttpAnswer,
  file: string,
  start: number,
  size: number,
  hash: Hash,
  progress: (bytes: number) => void,
): Promise<number> => {
  let at = start
  const handle = await open(file, start === 0 ? 'w' : 'r+', 0o600)
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      if (at + chunk.length > size)
        throw new SlipwayError('invalid', `${answer.url.host} sent more than the ${size} bytes announced`)
      // A disk that is nearly full takes a part of it.
      for (let from = 0; from < chunk.length; )
        from += (await handle.write(chunk, from, chunk.length - from, at + from)).bytesWritten
      hash.update(chunk)
      at += chunk.length
      progress(at)
    }
  } catch (error) {
    if (error instanceof SlipwayError) throw error
    if (['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw new SlipwayError('no-space', `write ${file}: no space left on device`, {
        cause: error,
        hint: 'Remove unused images.',
      })
    throw new SlipwayError('unavailable', `download was interrupted: ${(error as Error).message}`, { cause: error })
  } finally {
    answer.body.destroy()
    await handle.close()
  }
  return at
}

/** Digest so far and length of what an earlier attempt has left. */
const hashed = async (file: string): Promise<{ hash: Hash; size: number }> => {
  const hash = createHash('sha256')
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  )
  if (size > 0)
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) hash.update(chunk as Buffer)
  return { hash, size }
}

/** By sha256 or sha512. */
const hasDigest = (body: Buffer, digest: string): boolean => {
  if (!isDigest(digest)) return false
  const [algorithm = '', hex] = digest.split(':')
  return createHash(algorithm).update(body).digest('hex') === hex
}

const empty = async (file: string): Promise<void> => (await open(file, 'w', 0o600)).close()

/** From what is in it; undefined: nothing of an image. */
const guessed = (document: { manifests?: unknown; layers?: unknown; config?: unknown; schemaVersion?: unknown }) => {
  if (document.schemaVersion === 1) return mediaTypes.dockerManifestV1
  if (document.manifests !== undefined) return mediaTypes.ociIndex
  if (document.layers === undefined || document.config === undefined) return undefined
  const { mediaType } = document.config as { mediaType?: unknown }
  return mediaType === mediaTypes.dockerConfig ? mediaTypes.dockerManifest : mediaTypes.ociManifest
}

/** The manifest's own word counts, then the header's; a document that fits both kinds is refused (CVE-2021-41190). */
const typeOf = (body: Buffer, header: string | undefined): string => {
  let document: {
    mediaType?: unknown
    manifests?: unknown
    layers?: unknown
    config?: unknown
    schemaVersion?: unknown
  }
  try {
    document = JSON.parse(body.toString('utf8')) as typeof document
  } catch (cause) {
    throw new SlipwayError('invalid', 'manifest is not JSON', { cause })
  }
  if (typeof document !== 'object' || document === null) throw new SlipwayError('invalid', 'manifest is no JSON object')
  const index = document.manifests !== undefined
  if (index && (document.layers !== undefined || document.config !== undefined))
    throw new SlipwayError('invalid', 'manifest is both an image and an index')
  const said = header?.split(';')[0]?.trim()
  const named = typeof document.mediaType === 'string' ? document.mediaType : said
  // Servers that know nothing of images send files as something general.
  const general = named === undefined || !/^application\/vnd\./.test(named)
  const type = (general ? guessed(document) : named) ?? named ?? mediaTypes.ociManifest
  if ((isIndexType(type) && !index) || (isManifestType(type) && index))
    throw new SlipwayError('invalid', `manifest is not the ${type} it claims to be`)
  return type
}
