/**
 * What the file system says of very many files, without an object for each: directories are read as getdents64 gives them,
 * statx writes into one buffer, and what is in it is hashed.
 */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, constants, openSync } from 'node:fs'
import koffi from 'koffi'
import { settlesAt } from '../../lib/file-times.ts'
import { decodeName, encodeName, nameBytes } from '../../lib/tar/index.ts'
import type { SpecialFiles, TreeFacts } from '../sys.ts'

const libc = koffi.load('libc.so.6')
// Addresses as numbers: to take a buffer's costs more than the call.
const native = {
  statx: libc.func('int statx(int dirfd, uint64 path, int flags, uint mask, uint64 result)'),
  getdents64: libc.func('long getdents64(int fd, uint64 entries, size_t size)'),
}

const [atFdcwd, atSymlinkNofollow, basicStats] = [-100, 0x100, 0x7ff]
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const dot = '.'.charCodeAt(0)

/** Of struct statx (offsets in bytes): the last field that is taken ends at 144; the last of all at 256. */
const fields = { size: 144, room: 256, mode: 28, blocks: 48, accessed: 64, born: 80, changed: 96 } as const
const stats = 1024
/** Of struct linux_dirent64: inode, offset, length of the record, type, then the name with a zero at its end. */
const record = { offset: 8, length: 16, name: 19 } as const

const addressOf = (buffer: Buffer): number => Number(koffi.address(buffer))

/** What the calls write into. */
class Room {
  readonly names = Buffer.from(new ArrayBuffer(64 * 1024))
  readonly nameWords = new Uint32Array(this.names.buffer)
  readonly namesAt = addressOf(this.names)
  readonly facts = Buffer.from(new ArrayBuffer(stats * fields.size + fields.room))
  readonly words = new Uint32Array(this.facts.buffer)
  readonly halves = new Uint16Array(this.facts.buffer)
  readonly factsAt = addressOf(this.facts)
  #used = 0

  /** The address of a path. */
  put(path: string): number {
    this.#used = Math.max(this.#used, nameBytes(`${path}\0`).copy(this.names))
    return this.namesAt
  }

  /** How many bytes of names there are now; negative: an error. */
  readNames(fd: number): number {
    // Between a name's end and the next record stays what was there before.
    this.names.fill(0, 0, this.#used)
    const got = native.getdents64(fd, this.namesAt, this.names.length) as number
    this.#used = got < 0 ? this.names.length : got
    return got
  }
}

/** For the next one: most look at few files. */
let spare: Room | undefined

export const treeFacts: SpecialFiles['treeFacts'] = async (root, { leaveOut, pace }) => {
  const room = spare ?? new Room()
  spare = undefined
  try {
    const reader = new FactsReader(room, leaveOut)
    return (await reader.read(root, pace)) ? reader.finish() : undefined
  } finally {
    spare = room
  }
}

class FactsReader {
  readonly #hash: Hash = createHash('sha256')
  readonly #room: Room
  readonly #leaveOut: ((path: string) => boolean) | undefined
  #used = 0
  #settledMs = 0
  readonly #now = Date.now()

  constructor(room: Room, leaveOut: ((path: string) => boolean) | undefined) {
    this.#room = room
    this.#leaveOut = leaveOut
  }

  finish(): TreeFacts {
    this.#flush()
    return {
      digest: this.#hash.digest('hex'),
      settledMs: this.#settledMs,
    }
  }

  /** False where something could not be looked at. */
  async read(root: string, pace: () => Promise<void> | undefined): Promise<boolean> {
    const kind = this.#look(atFdcwd, this.#room.put(root))
    if (kind !== constants.S_IFDIR) return kind !== undefined
    return await this.#directory(root, '', pace)
  }

  async #directory(absolute: string, path: string, pace: () => Promise<void> | undefined): Promise<boolean> {
    const below: string[] = []
    let fd: number
    try {
      fd = openSync(encodeName(absolute), directoryFlags)
    } catch {
      return false
    }
    try {
      for (;;) {
        const got = this.#room.readNames(fd)
        if (got < 0) return false
        if (got === 0) break
        if (!this.#entries(fd, got, path, below)) return false
        await pace()
      }
    } finally {
      closeSync(fd)
    }
    for (const name of below) {
      const inside = path === '' ? name : `${path}/${name}`
      if (!(await this.#directory(`${absolute}/${name}`, inside, pace))) return false
    }
    return true
  }

  /** What one call has given. */
  #entries(fd: number, got: number, path: string, below: string[]): boolean {
    const { names, nameWords, namesAt } = this.#room
    for (let at = 0; at < got; ) {
      const end = at + (names[at + record.length]! | (names[at + record.length + 1]! << 8))
      // A cookie for the file system itself.
      nameWords[(at + record.offset) >> 2] = 0
      nameWords[(at + record.offset + 4) >> 2] = 0
      const name = at + record.name
      if (isDots(names, name)) names.fill(0, at, end)
      else if (this.#leaveOut?.(joined(path, textAt(names, name)))) names.fill(0, at, end)
      else {
        const kind = this.#look(fd, namesAt + name)
        if (kind === undefined) return false
        if (kind === constants.S_IFDIR) below.push(textAt(names, name))
      }
      at = end
    }
    this.#update('names', names.subarray(0, got))
    return true
  }

  /** Its kind, as in st_mode. */
  #look(fd: number, name: number): number | undefined {
    if (this.#used === stats) this.#flush()
    const { words, halves, factsAt } = this.#room
    const at = this.#used * fields.size
    if (native.statx(fd, name, atSymlinkNofollow, basicStats, factsAt + at) !== 0) return undefined
    this.#used++
    // Reading a file and writing it out change these.
    for (const [field, size] of volatile) for (let i = 0; i < size; i++) words[((at + field) >> 2) + i] = 0
    const seconds = words[(at + fields.changed) >> 2]! + words[((at + fields.changed) >> 2) + 1]! * 2 ** 32
    const nanoseconds = words[((at + fields.changed) >> 2) + 2]!
    this.#settledMs = Math.max(this.#settledMs, settlesAt(seconds, nanoseconds, this.#now))
    return halves[(at + fields.mode) >> 1]! & constants.S_IFMT
  }

  #flush(): void {
    this.#update('facts', this.#room.facts.subarray(0, this.#used * fields.size))
    this.#used = 0
  }

  /** With its length, so that nothing else can give the same bytes. */
  #update(what: string, bytes: Buffer): void {
    this.#hash.update(`${what} ${bytes.length}\n`).update(bytes)
  }
}

/** In words of 32 bits. */
const volatile = [
  [fields.blocks, 2],
  [fields.accessed, 4],
  [fields.born, 4],
] as const

const isDots = (names: Buffer, at: number): boolean =>
  names[at] === dot && (names[at + 1] === 0 || (names[at + 1] === dot && names[at + 2] === 0))

const textAt = (names: Buffer, at: number): string => decodeName(names.subarray(at, names.indexOf(0, at)))

const joined = (path: string, name: string): string => (path === '' ? name : `${path}/${name}`)
