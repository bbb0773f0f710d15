/** Pod volumes as directories on this machine. */
import { mkdirSync } from 'node:fs'
import { chmod, lstat, mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { quantityValue } from '../../lib/quantity.ts'
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../../spec/kube/generated/types.ts'
import type { Sys } from '../../sys/sys.ts'
import type { EnvSources } from './env.ts'
import { giveToGroup, giveToGroupOnce } from './ownership.ts'
import { projectedFiles, writeVersion } from './projected.ts'

export interface VolumeSources extends EnvSources {
  claim(name: string): PersistentVolumeClaim | undefined
  volume(name: string): PersistentVolume | undefined
  /** A bound service account token; expires after `seconds`. */
  token(audience: string | undefined, seconds: number): Promise<string>
}
export interface VolumePlaces {
  /** On disk: emptyDir. */
  disk: string
  /** In memory: secrets and projected content. */
  memory: string
}
export interface MountedVolume {
  path: string
  readOnly: boolean
  /** An empty volume is first filled with what the image has at the mount point, as docker does. */
  copyUp?: boolean | undefined
  /** Changes of ConfigMaps and Secrets are written into it while the pod runs. */
  projected: boolean
}

const notReady = (message: string, code: 'not-found' | 'precondition' = 'precondition'): SlipwayError =>
  new SlipwayError(code, message)

/** Makes (or finds) the directory behind one volume. Throws 'precondition' while what it needs is not there yet. */
export const mountVolume = async (
  pod: Pod,
  volume: Volume,
  places: VolumePlaces,
  sources: VolumeSources,
  sys: Pick<Sys, 'mounts'>,
): Promise<MountedVolume> => {
  if (volume.hostPath) {
    await checkHostPath(volume.hostPath.path, volume.hostPath.type ?? '')
    return { path: volume.hostPath.path, readOnly: false, projected: false }
  }
  const claim = volume.ephemeral
    ? { claimName: `${pod.metadata.name}-${volume.name}`, readOnly: false }
    : volume.persistentVolumeClaim
  if (claim) {
    const mounted = claimVolume(claim, sources)
    const context = pod.spec?.securityContext
    if (context?.fsGroup !== undefined && !mounted.readOnly)
      await giveToGroupOnce(mounted.path, join(places.disk, 'owned', volume.name), {
        gid: context.fsGroup,
        onRootMismatch: context.fsGroupChangePolicy === 'OnRootMismatch',
      })
    return mounted
  }
  if (volume.emptyDir) return emptyDir(pod, volume, places, sys)
  if (volume.configMap || volume.secret || volume.projected || volume.downwardAPI) {
    const files = await projectedFiles(volume, sources)
    const dir = join(places.memory, 'volumes', volume.name)
    memoryDirectory(dir, sys, await exists(dir))
    await writeVersion(dir, files, pod.spec?.securityContext?.fsGroup)
    return { path: dir, readOnly: true, projected: true }
  }
  const kind = Object.keys(volume).find((k) => k !== 'name') ?? 'nothing'
  throw new SlipwayError('unsupported', `volume "${volume.name}": ${kind} volumes are not supported on this node`)
}

const exists = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined

const claimVolume = (
  { claimName, readOnly }: NonNullable<Volume['persistentVolumeClaim']>,
  sources: VolumeSources,
): MountedVolume => {
  const claim = sources.claim(claimName)
  if (!claim) throw notReady(`persistentvolumeclaim "${claimName}" not found`, 'not-found')
  const pv = claim.spec?.volumeName ? sources.volume(claim.spec.volumeName) : undefined
  if (!pv || claim.status?.phase !== 'Bound') throw notReady(`persistentvolumeclaim "${claimName}" is not bound yet`)
  const path = pv.spec?.hostPath?.path ?? pv.spec?.local?.path
  if (!path) throw notReady(`persistentvolume "${pv.metadata.name}" is of a type this node cannot mount`)
  return { path, readOnly: readOnly ?? false, projected: false }
}

const emptyDir = async (
  pod: Pod,
  volume: Volume,
  places: VolumePlaces,
  sys: Pick<Sys, 'mounts'>,
): Promise<MountedVolume> => {
  const { medium } = volume.emptyDir!
  if (medium && medium !== 'Memory')
    throw new SlipwayError('unsupported', `medium "${medium}" of an emptyDir is not supported on this node`)
  const memory = medium === 'Memory'
  const dir = join(memory ? places.memory : places.disk, 'volumes', volume.name)
  // The directory may be there without its mount: a kill came between the two, or the machine was rebooted.
  const ready = (await exists(dir)) && (!memory || isMounted(sys, dir))
  if (!ready) {
    // Made beside its place and moved there when it is as it should be: a kill leaves all of it or nothing.
    const made = memory ? dir : `${dir}.new`
    await mkdir(made, { recursive: true })
    if (memory) {
      const size = volume.emptyDir!.sizeLimit
      const options = ['nosuid', 'nodev', 'mode=0777', ...(size ? [`size=${quantityValue(size)}`] : [])]
      sys.mounts.mount({ type: 'tmpfs', source: 'tmpfs', target: made, options })
    }
    await chmod(made, 0o777)
    const gid = pod.spec?.securityContext?.fsGroup
    if (gid !== undefined) await giveToGroup(made, gid)
    if (made !== dir) await rename(made, dir)
  }
  return { path: dir, readOnly: false, projected: false }
}

const isMounted = (sys: Pick<Sys, 'mounts'>, dir: string): boolean =>
  sys.mounts.below(dir).some((m) => m.target === dir)

const memoryDirectory = (dir: string, sys: Pick<Sys, 'mounts'>, there: boolean): void => {
  if (there && isMounted(sys, dir)) return
  mkdirSync(dir, { recursive: true })
  sys.mounts.mount({
    type: 'tmpfs',
    source: 'tmpfs',
    target: dir,
    options: ['nosuid', 'nodev', 'noexec', 'mode=0755', 'size=64m'],
  })
}

const checkHostPath = async (path: string, type: string): Promise<void> => {
  const found = await stat(path).catch(() => undefined)
  const missing = (what: string): SlipwayError => notReady(`hostPath type check failed: ${path} is not ${what}`)
  switch (type) {
    case '':
      if (!found) await mkdir(path, { recursive: true })
      return
    case 'DirectoryOrCreate':
      if (!found) await mkdir(path, { recursive: true, mode: 0o755 })
      else if (!found.isDirectory()) throw missing('a directory')
      return
    case 'Directory':
      if (!found?.isDirectory()) throw missing('a directory')
      return
    case 'FileOrCreate':
      if (!found) {
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, '', { mode: 0o644, flag: 'a' })
      } else if (!found.isFile()) throw missing('a file')
      return
    case 'File':
      if (!found?.isFile()) throw missing('a file')
      return
    case 'Socket':
      if (!found?.isSocket()) throw missing('a socket file')
      return
    case 'CharDevice':
      if (!found?.isCharacterDevice()) throw missing('a character device')
      return
    case 'BlockDevice':
      if (!found?.isBlockDevice()) throw missing('a block device')
  }
}
