import { chmodSync, chownSync, closeSync, constants, fstatSync, readdirSync } from 'node:fs'
import { isError } from '../../errors.ts'
import { decodeName, type TarMember } from '../../lib/tar/index.ts'
import type { Context } from './context.ts'
import { packMembers } from './pack.ts'
import { unpackMember } from './unpack.ts'

const bodyOf = async function* ({ body }: TarMember): AsyncGenerator<Uint8Array> {
  if (body instanceof Uint8Array) yield body
  else if (body) yield* body
}

/** undefined: the image has no directory there. */
const openDirectory = (ctx: Context, rootfs: string, path: string): number | undefined => {
  try {
    return ctx.sys.files.openInRoot(rootfs, path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (isError(error, 'not-found')) return undefined
    throw error
  }
}

/**
 * Docker fills an empty volume with what the image has at its place, and gives it that directory's owner and mode. Other
 * containers may have the volume already, and put links where files are to come: so no step follows one.
 */
export const copyUp = async (ctx: Context, rootfs: string, target: string, volume: string): Promise<void> => {
  if (readdirSync(volume).length > 0) return
  const dir = openDirectory(ctx, rootfs, target)
  if (dir === undefined) return
  try {
    const { files } = ctx.sys
    const into = { files, root: volume, base: '/', noOverwriteDirNonDir: false, owner: undefined }
    const walk = { files, seen: new Map<string, string>() }
    for (const raw of readdirSync(`/proc/self/fd/${dir}`, { encoding: 'buffer' })) {
      const name = decodeName(raw)
      for await (const member of packMembers(walk, dir, name, name))
        await unpackMember(into, { entry: member.entry, body: bodyOf(member) })
    }
    const { uid, gid, mode } = fstatSync(dir)
    chownSync(volume, uid, gid)
    chmodSync(volume, mode & 0o7777)
  } finally {
    closeSync(dir)
  }
}
