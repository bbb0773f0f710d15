/** What a tar archive (POSIX ustar, PAX, GNU) says about one file. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'link' | 'char' | 'block' | 'fifo'

export interface TarEntry {
  /** As stored, without cleaning: it may be absolute or hold '..'. Bytes that are not UTF-8 are lone surrogates; see names.ts. */
  path: string
  type: TarEntryType
  /** Permission bits with setuid, setgid and sticky (0o7777). */
  mode: number
  uid: number
  gid: number
  /** Bytes of a file's content, holes included; 0 for all other types. */
  size: number
  /** Nanoseconds since the epoch. */
  mtimeNs: bigint
  /** Target of a symlink, or path of the entry a hard link refers to; '' otherwise. */
  linkName: string
  devMajor: number
  devMinor: number
  uname: string
  gname: string
  /** Extended attributes by full name ('security.capability'). */
  xattrs: Map<string, Buffer>
}

/** A complete entry from the few facts given: a root-owned file of mode 0644 (directory 0755), time 0. */
export const tarEntry = (given: Partial<TarEntry> & Pick<TarEntry, 'path'>): TarEntry => ({
  type: 'file',
  mode: given.type === 'directory' ? 0o755 : given.type === 'symlink' ? 0o777 : 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  linkName: '',
  devMajor: 0,
  devMinor: 0,
  uname: '',
  gname: '',
  xattrs: new Map(),
  ...given,
})
