/** Files that clients fetch by way of the builder: a Dockerfile at an address, bake's files in a repository. */
import { readFile, stat } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { policedGit, policedUrl } from '../../../build/index.ts'
import { SlipwayError } from '../../../errors.ts'
import { forwardedAgents } from './agent.ts'
import type { ClientSource } from './definitions.ts'
import type { Job } from './job.ts'
import { secretOf } from './session.ts'
import type { SolveDeps } from './solve.ts'

export interface SourceFile {
  data: Buffer
  mode: number
  mtimeNs: bigint
}
/** undefined: there is no such file. */
export type FindFile = (name: string) => Promise<SourceFile | undefined>

/** Finds out what is there now; its files are read when they are asked for. */
export const openSource = async (
  { builder, instance, log }: Pick<SolveDeps, 'builder' | 'instance' | 'log'>,
  { session, signal, sourceRules }: Pick<Job, 'session' | 'signal' | 'sourceRules'>,
  source: ClientSource,
): Promise<FindFile> => {
  const findSecret = (id: string): Promise<Uint8Array | undefined> => secretOf(session, id, signal)
  if ('git' in source) {
    const agents = forwardedAgents(session, join(instance.runDir, 'agents'), log, signal)
    try {
      const address = policedGit(sourceRules, source.address)
      const files = await builder.files(address, { signal, findSecret, findAgent: (id) => agents.find(id) })
      return async (name) => {
        const file = await files.read(name)
        return file && { data: file.data, mode: file.mode, mtimeNs: BigInt(file.time) * 1_000_000_000n }
      }
    } finally {
      agents.close()
    }
  }
  const { url, checksum } = policedUrl(sourceRules, { url: source.url, checksum: source.digest })
  const { path, digest } = await builder.fetch(url, { signal, findSecret })
  if (checksum !== undefined && checksum !== digest)
    throw new SlipwayError('invalid', `digest mismatch ${digest}: ${checksum}`)
  const only = source.name ?? posix.basename(new URL(source.url).pathname)
  return async (name) => {
    if (name !== only) return undefined
    const { mtimeNs } = await stat(path, { bigint: true })
    return { data: await readFile(path), mode: 0o600, mtimeNs }
  }
}
