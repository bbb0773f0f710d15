/** A directory on this machine, laid out as the OCI image specification says: blobs by digest, index.json for names. */
import { randomUUID } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContentStore } from '../../build/types.ts'
import { SlipwayError } from '../../errors.ts'
import { writeAtomically } from '../../lib/write-atomically.ts'
import { type Descriptor, isDigest, mediaTypes } from '../../spec/oci/index.ts'

const refName = 'org.opencontainers.image.ref.name'

interface Index {
  schemaVersion: 2
  mediaType: string
  manifests: Descriptor[]
}

/** Of an image's name its tag, as layouts have it; a cache's tag is one already. */
const tagOf = (name: string): string => {
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/') ? name.slice(colon + 1) : name.includes('/') ? 'latest' : name
}

export const layoutStore = (directory: string): ContentStore => {
  const blob = (digest: string): string => {
    if (!isDigest(digest)) throw new SlipwayError('invalid', `invalid digest ${digest}`)
    return join(directory, 'blobs', ...digest.split(':'))
  }
  const indexFile = join(directory, 'index.json')
  const readIndex = (): Index => {
    if (!existsSync(indexFile)) return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }
    return JSON.parse(readFileSync(indexFile, 'utf8')) as Index
  }
  return {
    async *read(digest) {
      const path = blob(digest)
      if (!existsSync(path)) throw new SlipwayError('not-found', `content ${digest}: not found`)
      yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>
    },
    async write({ digest }, data) {
      const path = blob(digest)
      if (existsSync(path)) return
      mkdirSync(join(path, '..'), { recursive: true })
      const part = `${path}.${randomUUID()}.part`
      try {
        const file = await open(part, 'wx')
        try {
          for await (const chunk of data()) await file.writeFile(chunk)
        } finally {
          await file.close()
        }
        renameSync(part, path)
      } finally {
        rmSync(part, { force: true })
      }
    },
    async find(tag) {
      return readIndex().manifests.find(({ annotations }) => annotations?.[refName] === tag)
    },
    async tag(name, descriptor) {
      const index = readIndex()
      const tag = tagOf(name)
      const others = index.manifests.filter(({ annotations }) => annotations?.[refName] !== tag)
      const entry = { ...descriptor, annotations: { ...descriptor.annotations, [refName]: tag } }
      mkdirSync(directory, { recursive: true })
      writeAtomically(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n', 0o644)
      writeAtomically(indexFile, JSON.stringify({ ...index, manifests: [...others, entry] }), 0o644)
    },
  }
}
