/**
 * Files of an earlier result of a copy that a new one takes under a further name where all about them is the same, instead of
 * writing them again (decision 11). Nobody ever writes to a file of a committed snapshot.
 */
import { linkSync } from 'node:fs'
import { encodeName } from '../../lib/tar/index.ts'
import { hasSeveralNames } from './facts.ts'
import type { Entry } from './tree.ts'

/** What a file becomes: all that is seen of it, and where. */
type Mark = string

export interface Share {
  /** The earlier result's own layer. */
  readonly root: string | undefined
  readonly earlier: ReadonlySet<Mark>
  /** What the new result has, for the next one. */
  readonly marks: Mark[]
  /** Of the files behind the marks. */
  bytes: number
}

interface Attributes {
  uid: number
  gid: number
  mode: number
}

/** `inside`: absolute in the new layer. undefined: it has to be a file of its own. */
export const markOf = (entry: Entry, inside: string, { uid, gid, mode }: Attributes): Mark | undefined => {
  const { kind, data, digest, facts, mtimeNs, xattrs } = entry
  if (kind !== 'file' || data || digest === undefined || !facts || hasSeveralNames(facts)) return undefined
  if (!mayHaveNames(inside, mode)) return undefined
  const more = xattrs.length === 0 ? '' : JSON.stringify(xattrs.map(([name, value]) => [name, value.toString('hex')]))
  return `${digest} ${mode} ${uid} ${gid} ${mtimeNs} ${more}${inside}`
}

/**
 * A container sees how many names a file has. cron refuses tables with more than one, logrotate such logs; what is set-user-ID
 * is looked at askance. The rule is OSTree's: programs and data may be shared, /etc and /var are everybody's own.
 */
export const mayHaveNames = (inside: string, mode: number): boolean =>
  (mode & 0o6000) === 0 && !/^\/(?:etc|var)(?:\/|$)/.test(inside)

/** False where it cannot have another name there: another file system, one without links, as many as it can have, gone. */
export const nameToo = (file: string, name: string): boolean => {
  try {
    linkSync(encodeName(file), encodeName(name))
    return true
  } catch (error) {
    if (!['EXDEV', 'EMLINK', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return false
  }
}
