/** fsGroup: a volume belongs to the pod's group, and so does what is made in it (rules of the kubelet's SetVolumeOwnership). */
import { chmod, lchown, lstat, mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const groupReadWrite = 0o660
const groupExecute = 0o110
const setgid = 0o2000

/** The group of everything below `path`, `path` included; links are changed themselves, never followed. */
export const giveToGroup = async (path: string, gid: number): Promise<void> => {
  const info = await lstat(path)
  if (info.gid !== gid) await lchown(path, info.uid, gid)
  if (info.isSymbolicLink()) return
  const wanted = info.mode | groupReadWrite | (info.isDirectory() ? setgid | groupExecute : 0)
  // A change of owner may have taken the setgid bit.
  await chmod(path, wanted & 0o7777)
  if (info.isDirectory()) for (const name of await readdir(path)) await giveToGroup(join(path, name), gid)
}

/** Once a pod: `marker` says that it is done. `onRootMismatch`: not at all when the top has the right group and mode already. */
export const giveToGroupOnce = async (
  path: string,
  marker: string,
  { gid, onRootMismatch }: { gid: number; onRootMismatch: boolean },
): Promise<void> => {
  if (await lstat(marker).catch(() => undefined)) return
  const { mode, gid: current } = await lstat(path)
  const fits =
    current === gid && (mode & (setgid | groupReadWrite | groupExecute)) === (setgid | groupReadWrite | groupExecute)
  if (!(onRootMismatch && fits)) await giveToGroup(path, gid)
  await mkdir(dirname(marker), { recursive: true })
  await writeFile(marker, '')
}
