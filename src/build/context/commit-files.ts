/** Single files of a commit, read from the repository's own objects: nothing is checked out for them. */
import { posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'

export interface CommitFile {
  data: Buffer
  mode: number
  /** Of the commit (s). */
  time: number
}

const maxLinks = 40

export class CommitFiles {
  readonly commit: string
  readonly #time: number
  readonly #directory: string
  readonly #git: (args: string[]) => Promise<Buffer | undefined>

  /** `git` runs in the repository and gives what git says, or undefined where it fails. */
  constructor(commit: string, time: number, directory: string, git: (args: string[]) => Promise<Buffer | undefined>) {
    this.commit = commit
    this.#time = time
    this.#directory = directory
    this.#git = git
  }

  /** Follows links within the subdirectory. undefined: there is no regular file. */
  async read(path: string): Promise<CommitFile | undefined> {
    let names = namesOf(path)
    const done: string[] = []
    for (let links = 0; ; ) {
      const name = names.shift()
      if (name === undefined) return undefined
      if (name === '..') {
        done.pop()
        continue
      }
      const entry = await this.#entry([...done, name].join('/'))
      if (!entry) return undefined
      if (entry.mode === '120000') {
        if (++links > maxLinks) return undefined
        const target = (await this.#blob(entry.object)).toString()
        if (target.startsWith('/')) done.length = 0
        names = [...namesOf(target), ...names]
      } else if (entry.type === 'tree') done.push(name)
      else if (entry.type !== 'blob' || names.length > 0) return undefined
      else {
        const mode = Number.parseInt(entry.mode.slice(-3), 8)
        return { data: await this.#blob(entry.object), mode, time: this.#time }
      }
    }
  }

  async #entry(path: string): Promise<{ mode: string; type: string; object: string } | undefined> {
    const whole = posix.join(this.#directory, path)
    const said = await this.#git(['--literal-pathspecs', 'ls-tree', '-z', this.commit, '--', whole])
    const [, mode, type, object] = /^(\d+) (\w+) ([0-9a-f]+)\t/.exec(said?.toString() ?? '') ?? []
    return mode && type && object ? { mode, type, object } : undefined
  }

  async #blob(object: string): Promise<Buffer> {
    const data = await this.#git(['cat-file', 'blob', object])
    if (!data) throw new SlipwayError('unavailable', `object ${object} of commit ${this.commit} is not there any more`)
    return data
  }
}

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.')
