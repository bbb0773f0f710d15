import type { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { cancelled } from '../../lib/cancel.ts'
import { dialFailure, get } from '../../lib/http/get.ts'
import {
  familiarName,
  hostPlatform,
  type ImageProcessConfig,
  normalizePlatform,
  parseReference,
  type Platform,
  wholeName,
} from '../../spec/oci/index.ts'
import { readable } from '../runtime/foreign.ts'
import type { UnpackOptions } from '../snapshots/index.ts'
import type { Image, TransferProgress } from '../types.ts'
import type { ImageStore } from './store.ts'

/** docker import: one layer from a root filesystem. Its digest is that of the tree, however the archive was ordered. */
export const importImage = (
  store: ImageStore,
  rootfs: Readable | URL,
  options: {
    name?: string
    config?: ImageProcessConfig
    message?: string
    platform?: Platform
    createdBy?: string
    /** RFC 3339; default: now. */
    created?: string
    bootstrapped?: boolean
    signal?: AbortSignal | undefined
    progress?: ((step: TransferProgress) => void) | undefined
    unpack?: Pick<UnpackOptions, 'omit' | 'extra'>
  },
): Promise<Image> =>
  store.lease(async (lease) => {
    const names = options.name === undefined ? [] : [nameOf(options.name)]
    const source = rootfs instanceof URL ? await download(rootfs, options) : rootfs
    const stream = await readable(source, store.deps.sys.processes)
    const snapshot = await lease.newLayer({ stream }, { ...options.unpack, signal: options.signal })
    const created = options.created ?? new Date(store.deps.clock.now()).toISOString()
    const { os, architecture, variant } = normalizePlatform(options.platform ?? hostPlatform())
    const image = await store.register({
      config: {
        os,
        architecture,
        ...(variant !== undefined && { variant }),
        created,
        config: options.config ?? {},
        history: [
          {
            created,
            ...(options.createdBy && { created_by: options.createdBy }),
            comment: options.message ?? 'Imported from -',
          },
        ],
      },
      snapshots: [snapshot],
      names,
      bootstrapped: options.bootstrapped ?? false,
      signal: options.signal,
    })
    for (const name of names) store.emit('tag', image, familiarName(name))
    store.emit('import', image)
    return image
  })

const nameOf = (name: string): string => {
  if (parseReference(name).digest !== undefined) throw new SlipwayError('invalid', 'cannot import digest reference')
  return wholeName(name)
}

/** So much of a server's refusal is passed on. */
const maxSaid = 1024

const download = async (
  url: URL,
  { signal, progress }: { signal?: AbortSignal | undefined; progress?: ((step: TransferProgress) => void) | undefined },
): Promise<Readable> => {
  const got = await get(url, { signal }).catch((cause: unknown) => {
    if (signal?.aborted) throw cancelled(signal)
    throw new SlipwayError('unavailable', `Get "${url.href}": ${dialFailure(url, cause)}`, { cause })
  })
  const { status, body } = got
  if (status >= 400) {
    const said = await beginning(body, maxSaid).catch(() => '')
    const line = `${status} ${body.statusMessage ?? ''}`.trimEnd()
    throw new SlipwayError('invalid', `failed to GET ${url.href} with status ${line}: ${said}`)
  }
  progress?.({ status: `Downloading from ${url.href}` })
  return body
}

const beginning = async (body: Readable, limit: number): Promise<string> => {
  const parts: Buffer[] = []
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part)
    if (parts.reduce((size, { length }) => size + length, 0) >= limit) break
  }
  return Buffer.concat(parts).subarray(0, limit).toString('utf8').trimEnd()
}
