/** Attestations as files beside the files that they are about: what BuildKit's exporters local and tar write. */
import { writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { sha256File } from '../context/digests.ts'
import { walkTrees } from '../output/files.ts'
import { type Attestation, statementOf } from './statement.ts'

interface Naming {
  /** Attribute `attestation-prefix`. */
  prefix: string
  /** Goes into the names where files of several platforms lie together: linux_amd64. */
  platform: string | undefined
}

/** Writes them into `directory`; what they are about is every file below `root`. */
export const writeAttestations = async (
  attestations: readonly Attestation[],
  root: string,
  directory: string,
  { prefix, platform }: Naming,
): Promise<void> => {
  const subjects: { name: string; digest: Record<string, string> }[] = []
  for (const { path, absolute, stat } of walkTrees([{ path: '', root }]))
    if (stat.isFile()) subjects.push({ name: path, digest: { sha256: await sha256File(absolute, Number(stat.size)) } })
  const taken = new Set<string>()
  for (const attestation of attestations) {
    const plain = prefix + attestation.file
    const extension = extname(plain)
    const name =
      platform === undefined ? plain : `${plain.slice(0, plain.length - extension.length)}.${platform}${extension}`
    if (taken.has(name) || name.includes('/'))
      throw new SlipwayError('conflict', `duplicate attestation path name ${name}`)
    taken.add(name)
    writeFileSync(join(directory, name), JSON.stringify(statementOf(attestation, subjects), undefined, 2), {
      mode: 0o600,
    })
  }
}
