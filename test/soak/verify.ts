/** Is an image whole, byte for byte, and is it the right one? */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Descriptor, Digest, ImageConfig, Index, Manifest } from '../../src/spec/oci/index.ts'
import type { Files } from './ledger.ts'

const run = promisify(execFile)
const sha256 = (data: Uint8Array): Digest => `sha256:${createHash('sha256').update(data).digest('hex')}`
type Read = (digest: Digest, kind: 'manifest' | 'blob') => Promise<Buffer>

/** Everything an index or manifest names has to be there with that digest; files of images for this machine are looked at. */
const verify = async (read: Read, root: Digest, scratch: string): Promise<Files[]> => {
  const whole = async (digest: Digest, kind: 'manifest' | 'blob', size?: number): Promise<Buffer> => {
    const data = await read(digest, kind)
    if (sha256(data) !== digest) throw new Error(`${kind} ${digest} has another content`)
    if (size !== undefined && data.length !== size)
      throw new Error(`${kind} ${digest} has ${data.length} bytes, not ${size}`)
    return data
  }
  const document = JSON.parse((await whole(root, 'manifest')).toString()) as Index & Manifest
  if (Array.isArray(document.manifests)) {
    const all: Files[] = []
    for (const each of document.manifests as Descriptor[]) all.push(...(await verify(read, each.digest, scratch)))
    return all
  }
  const config = JSON.parse(
    (await whole(document.config.digest, 'blob', document.config.size)).toString(),
  ) as ImageConfig
  const layers: Buffer[] = []
  for (const { digest, size } of document.layers) layers.push(unpacked(await whole(digest, 'blob', size)))
  if (!config.rootfs || config.os === 'unknown' || config.architecture === 'unknown') return []
  for (const [i, diffId] of config.rootfs.diff_ids.entries())
    if (sha256(layers[i] ?? Buffer.alloc(0)) !== diffId) throw new Error(`layer ${i} of ${root} is not ${diffId}`)
  return [await filesOf(layers, scratch)]
}

const unpacked = (data: Buffer): Buffer => {
  if (data[0] === 0x1f && data[1] === 0x8b) return gunzipSync(data)
  return data.readUInt32LE(0) === 0xfd2fb528 ? zstdDecompressSync(data) : data
}

/** Those that a build of ours makes: they are never removed again by a layer above. */
const filesOf = async (layers: Buffer[], scratch: string): Promise<Files> => {
  const files: Record<string, string> = {}
  for (const layer of layers) {
    const dir = mkdtempSync(join(scratch, 'layer-'))
    try {
      const extracting = run('tar', ['-x', '-C', dir, '--wildcards', 'soak/*'])
      extracting.child.stdin!.on('error', () => {})
      extracting.child.stdin!.end(layer)
      await extracting.catch(() => {}) // none in this layer
      if (!existsSync(join(dir, 'soak'))) continue
      const { stdout } = await run('find', ['soak', '-type', 'f'], { cwd: dir })
      for (const path of stdout.split('\n').filter(Boolean)) files[`/${path}`] = hex(readFileSync(join(dir, path)))
    } finally {
      rmSync(dir, { recursive: true })
    }
  }
  return files
}

export const hex = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex')

/** An archive of `docker save`, or an OCI layout in a tar. Each image that it has for this machine. */
export const archiveFiles = async (archive: string, scratch: string): Promise<Files[]> => {
  const dir = mkdtempSync(join(scratch, 'archive-'))
  try {
    await run('tar', ['-xf', archive, '-C', dir])
    const { manifests } = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as Index
    const read: Read = async (digest) => readFileSync(join(dir, 'blobs', digest.replace(':', '/')))
    const all: Files[] = []
    for (const { digest } of manifests) all.push(...(await verify(read, digest, scratch)))
    return all
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const accept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ')

/** What a registry has under a name; undefined: nothing. */
export const registryFiles = async (
  host: string,
  repository: string,
  tag: string,
  scratch: string,
): Promise<Files[] | undefined> => {
  const get = (path: string): Promise<Response> =>
    fetch(`http://${host}/v2/${repository}/${path}`, { headers: { accept } })
  const top = await get(`manifests/${tag}`)
  if (top.status === 404) {
    await top.arrayBuffer()
    return undefined
  }
  const read: Read = async (digest, kind) => {
    const answer = await get(`${kind}s/${digest}`)
    if (!answer.ok)
      throw new Error(`the registry answers ${answer.status} for ${kind} ${digest} of ${repository}:${tag}`)
    return Buffer.from(await answer.arrayBuffer())
  }
  return await verify(read, sha256(Buffer.from(await top.arrayBuffer())), scratch)
}

/** Whether one of them is what was expected. */
export const isOne = (found: readonly Files[], wanted: Files): boolean =>
  found.some((files) => Object.entries(wanted).every(([path, digest]) => files[path] === digest))
