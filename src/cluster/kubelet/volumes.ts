/**
 * Pod volumes as directories on this machine. What is projected (ConfigMap, Secret, downward API, tokens) is written as a
 * whole version behind a `..data` link that is swapped atomically, so a reader never sees half an update.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { quantityValue } from '../../lib/quantity.ts'
import type { Pod, PersistentVolume, PersistentVolumeClaim, Volume } from '../../spec/kube/generated/types.ts'
import type { Sys } from '../../sys/sys.ts'
import type { EnvSources } from './env.ts'

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
  if (volume.persistentVolumeClaim) return claimVolume(volume, sources)
  if (volume.emptyDir) return emptyDir(pod, volume, places, sys)
  if (volume.configMap || volume.secret || volume.projected || volume.downwardAPI) {
    const files = await projectedFiles(volume, sources)
    const dir = join(places.memory, volume.name)
    memoryDirectory(dir, sys, await exists(dir))
    await writeVersion(dir, files, pod.spec?.securityContext?.fsGroup)
    return { path: dir, readOnly: true, projected: true }
  }
  const kind = Object.keys(volume).find((k) => k !== 'name') ?? 'nothing'
  throw new SlipwayError('unsupported', `volume "${volume.name}": ${kind} volumes are not supported on this node`)
}

const exists = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined

const claimVolume = (volume: Volume, sources: VolumeSources): MountedVolume => {
  const { claimName, readOnly } = volume.persistentVolumeClaim!
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
  const memory = volume.emptyDir!.medium === 'Memory'
  const dir = join(memory ? places.memory : places.disk, volume.name)
  if (!(await exists(dir))) {
    await mkdir(dir, { recursive: true })
    if (memory) {
      const size = volume.emptyDir!.sizeLimit
      const options = ['nosuid', 'nodev', 'mode=1777', ...(size ? [`size=${quantityValue(size)}`] : [])]
      sys.mounts.mount({ type: 'tmpfs', source: 'tmpfs', target: dir, options })
    }
    const group = pod.spec?.securityContext?.fsGroup
    if (group !== undefined) await chown(dir, -1, group)
    await chmod(dir, group === undefined ? 0o1777 : 0o2777)
  }
  return { path: dir, readOnly: false, projected: false }
}

const memoryDirectory = (dir: string, sys: Pick<Sys, 'mounts'>, there: boolean): void => {
  if (there && sys.mounts.below(dir).some((m) => m.target === dir)) return
  mkdirSync(dir, { recursive: true })
  sys.mounts.mount({
    type: 'tmpfs',
    source: 'tmpfs',
    target: dir,
    options: ['nosuid', 'nodev', 'noexec', 'mode=0755', 'size=16m'],
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

interface ProjectedFile {
  path: string
  data: Buffer
  mode: number
}
type KeyToPath = { key: string; path: string; mode?: number | undefined }[] | undefined

const projectedFiles = async (volume: Volume, sources: VolumeSources): Promise<ProjectedFile[]> => {
  if (volume.configMap) return configMapFiles({ ...volume.configMap }, volume.configMap.defaultMode ?? 0o644, sources)
  if (volume.secret)
    return secretFiles(
      { ...volume.secret, name: volume.secret.secretName },
      volume.secret.defaultMode ?? 0o644,
      sources,
    )
  if (volume.downwardAPI)
    return downwardFiles(volume.downwardAPI.items ?? [], volume.downwardAPI.defaultMode ?? 0o644, sources)
  const mode = volume.projected!.defaultMode ?? 0o644
  const files: ProjectedFile[] = []
  for (const source of volume.projected!.sources ?? []) {
    if (source.configMap) files.push(...configMapFiles(source.configMap, mode, sources))
    if (source.secret) files.push(...secretFiles(source.secret, mode, sources))
    if (source.downwardAPI) files.push(...downwardFiles(source.downwardAPI.items ?? [], mode, sources))
    if (source.serviceAccountToken) {
      const { audience, expirationSeconds = 3600, path } = source.serviceAccountToken
      files.push({ path, data: Buffer.from(await sources.token(audience, expirationSeconds)), mode })
    }
  }
  return files
}

const configMapFiles = (
  ref: { name?: string | undefined; items?: KeyToPath; optional?: boolean | undefined },
  mode: number,
  sources: VolumeSources,
): ProjectedFile[] => {
  const map = sources.configMap(ref.name ?? '')
  if (!map && !ref.optional) throw notReady(`configmap "${ref.name}" not found`, 'not-found')
  const data = new Map<string, Buffer>()
  for (const [k, v] of Object.entries(map?.data ?? {})) data.set(k, Buffer.from(v))
  for (const [k, v] of Object.entries(map?.binaryData ?? {})) data.set(k, Buffer.from(v, 'base64'))
  return pick(data, ref.items, mode, ref.optional ?? false, `configmap "${ref.name}"`)
}

const secretFiles = (
  ref: { name?: string | undefined; items?: KeyToPath; optional?: boolean | undefined },
  mode: number,
  sources: VolumeSources,
): ProjectedFile[] => {
  const secret = sources.secret(ref.name ?? '')
  if (!secret && !ref.optional) throw notReady(`secret "${ref.name}" not found`, 'not-found')
  const data = new Map(Object.entries(secret?.data ?? {}).map(([k, v]) => [k, Buffer.from(v, 'base64')]))
  return pick(data, ref.items, mode, ref.optional ?? false, `secret "${ref.name}"`)
}

const pick = (
  data: Map<string, Buffer>,
  items: KeyToPath,
  mode: number,
  optional: boolean,
  what: string,
): ProjectedFile[] => {
  if (!items) return [...data].map(([path, value]) => ({ path, data: value, mode }))
  return items.flatMap((item) => {
    const value = data.get(item.key)
    if (value) return [{ path: item.path, data: value, mode: item.mode ?? mode }]
    if (optional) return []
    throw notReady(`${what} references non-existent key: ${item.key}`)
  })
}

type DownwardItems = NonNullable<NonNullable<Volume['downwardAPI']>['items']>
const downwardFiles = (items: DownwardItems, mode: number, sources: VolumeSources): ProjectedFile[] =>
  items.map((item) => ({
    path: item.path,
    data: Buffer.from(
      item.fieldRef ? (sources.field(item.fieldRef.fieldPath) ?? '') : sources.resource(item.resourceFieldRef!),
    ),
    mode: item.mode ?? mode,
  }))

/** Writes the files as a new version unless they are what is there. Layout: name → ..data/name, ..data → ..VERSION. */
export const writeVersion = async (dir: string, files: readonly ProjectedFile[], group?: number): Promise<void> => {
  const hash = createHash('sha256')
  for (const f of [...files].sort((a, b) => (a.path < b.path ? -1 : 1)))
    hash.update(`${f.path}\0${f.mode}\0${f.data.length}\0`).update(f.data)
  const digest = hash.digest('hex').slice(0, 16)
  const current = await readlink(join(dir, '..data')).catch(() => undefined)
  if (current?.endsWith(digest)) return
  const version = `..${randomBytes(4).toString('hex')}_${digest}`
  for (const file of files) {
    if (file.path.startsWith('/') || file.path.split('/').includes('..'))
      throw notReady(`volume item path "${file.path}" must stay inside the volume`)
    const path = join(dir, version, file.path)
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    await writeFile(path, file.data)
    await chmod(path, group === undefined ? file.mode : file.mode | 0o040)
    if (group !== undefined) await chown(path, -1, group)
  }
  await mkdir(join(dir, version), { recursive: true, mode: 0o755 })
  await symlink(version, join(dir, '..data_tmp'))
  await rename(join(dir, '..data_tmp'), join(dir, '..data'))
  await linkNames(dir, files)
  for (const name of await readdir(dir))
    if (name.startsWith('..') && name !== '..data' && name !== version) await rm(join(dir, name), { recursive: true })
}

const linkNames = async (dir: string, files: readonly ProjectedFile[]): Promise<void> => {
  const wanted = new Set(files.map((f) => f.path.split('/')[0]!))
  for (const name of wanted) {
    if (!(await exists(join(dir, name)))) await symlink(`..data/${name}`, join(dir, name))
  }
  for (const name of await readdir(dir))
    if (!name.startsWith('..') && !wanted.has(name)) await rm(join(dir, name), { force: true })
}
