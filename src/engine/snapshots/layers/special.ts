import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { SlipwayError } from '../../../errors.ts'
import type { SpecialFiles } from '../../../sys/sys.ts'
import type { FoundXattrs, SpecialAnswer, SpecialCall } from './protocol.ts'

export const opaqueXattr = 'trusted.overlay.opaque'

/** Attributes that are part of a layer: capabilities, ACLs and what users set. Never trusted.*, which steers the overlay itself. */
export const isLayerXattr = (name: string): boolean =>
  name === 'security.capability' || name.startsWith('user.') || name.startsWith('system.posix_acl_')

/** Worker side. */
export interface Special {
  mknod(path: string, mode: number, major: number, minor: number): void
  setXattr(path: string, name: string, value: Uint8Array): void
  setTimes(path: string, atimeNs: bigint, mtimeNs: bigint): void
  /** Names and values per path; opaqueXattr among them. */
  xattrs(paths: string[]): Map<string, Buffer>[]
}

export const remoteSpecial = (port: MessagePort, answers: MessagePort, flag: Int32Array): Special => {
  const ask = (special: SpecialCall): FoundXattrs => {
    Atomics.store(flag, 0, 0)
    port.postMessage({ special })
    Atomics.wait(flag, 0, 0)
    const answer = receiveMessageOnPort(answers)?.message as SpecialAnswer
    if (!answer.ok) throw new SlipwayError(answer.error.code, answer.error.message)
    return answer.xattrs
  }
  return {
    mknod: (path, mode, major, minor) => void ask({ call: 'mknod', path, mode, major, minor }),
    setXattr: (path, name, value) => void ask({ call: 'setXattr', path, name, value }),
    setTimes: (path, atimeNs, mtimeNs) => void ask({ call: 'setTimes', path, atimeNs, mtimeNs }),
    xattrs(paths) {
      const found = paths.map((): Map<string, Buffer> => new Map())
      // Small pieces, because the main thread answers DNS and probes in between.
      for (let at = 0; at < paths.length; at += 256)
        for (const [index, list] of ask({ call: 'xattrs', paths: paths.slice(at, at + 256).join('\0') }))
          for (const [name, value] of list) found[at + index]!.set(name, Buffer.from(value))
      return found
    },
  }
}

/** Main side: performs one call. */
export const performSpecial = (files: SpecialFiles, special: SpecialCall): FoundXattrs => {
  if (special.call === 'mknod') files.mknod(special.path, special.mode, special.major, special.minor)
  else if (special.call === 'setXattr') files.setXattr(special.path, special.name, special.value)
  else if (special.call === 'setTimes') files.setTimes(special.path, special.atimeNs, special.mtimeNs)
  else
    return special.paths.split('\0').flatMap((path, i): FoundXattrs => {
      const found = files.listXattrs(path).flatMap((name): [string, Uint8Array][] => {
        const value = name === opaqueXattr || isLayerXattr(name) ? files.getXattr(path, name) : undefined
        return value === undefined ? [] : [[name, new Uint8Array(value)]]
      })
      return found.length === 0 ? [] : [[i, found]]
    })
  return []
}
