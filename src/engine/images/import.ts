import type { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { cancelled } from '../../lib/cancel.ts'
import { dialFailure, get } from '../../lib/http/get.ts'
import {
  hostPlatform,
  type ImageProcessConfig,
  normalizePlatform,
  type Platform,
  wholeName,
} from '../../spec/oci/index.ts'
import { readable } from '../runtime/foreign.ts'
import type { UnpackOptions } from '../snapshots/index.ts'
import type { Image } from '../types.ts'
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
    unpack?: Pick<UnpackOptions, 'omit' | 'extra'>
  },
): Promise<Image> =>
  store.lease(async (lease) => {
    const names = options.name === undefined ? [] : [wholeName(options.name)]
    const source = rootfs instanceof URL ? await download(rootfs, options.signal) : rootfs
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
    store.emit('import', image)
    return image
  })

const download = async (url: URL, signal?: AbortSignal): Promise<Readable> => {
  try {
    const { status, body } = await get(url, { signal })
    if (status >= 200 && status < 300) return body
    body.destroy()
    throw new Error(`unexpected status code ${status}`)
  } catch (cause) {
    if (signal?.aborted) throw cancelled(signal)
    throw new SlipwayError('unavailable', `cannot download ${url.href}: ${dialFailure(url, cause)}`, { cause })
  }
}
