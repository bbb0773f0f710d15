/**
 * The files of a projected volume (ConfigMap, Secret, downward API, tokens). They are written as a whole version behind a
 * `..data` link that is swapped atomically, so a reader never sees half an update.
 */
import { createHash, randomBytes } from 'node:crypto'
import { chmod, chown, lstat, mkdir, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { Volume } from '../../spec/kube/generated/types.ts'
import type { VolumeSources } from './volumes.ts'

const notReady = (message: string, code: 'not-found' | 'precondition' = 'precondition'): SlipwayError =>
  new SlipwayError(code, message)
const exists = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined

interface ProjectedFile {
  path: string
  data: Buffer
  mode: number
}
type KeyToPath = { key: string; path: string; mode?: number | undefined }[] | undefined

export const projectedFiles = async (volume: Volume, sources: VolumeSources): Promise<ProjectedFile[]> => {
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
  await rm(join(dir, '..data_tmp'), { force: true }) // left by a daemon that was killed
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
