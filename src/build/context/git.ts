/**
 * Git repositories as build contexts and sources of ADD, by Debian's git. A commit becomes a tar that is kept; which commit a
 * branch is, is asked each time. Forms of the address as in BuildKit: REMOTE[#REF[:SUBDIRECTORY]].
 */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { isError, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { Processes } from '../../sys/sys.ts'
import type { Download } from './download.ts'

export interface GitAddress {
  remote: string
  /** Branch, tag or commit; undefined: the remote's default branch. */
  ref: string | undefined
  /** '' is the whole repository. */
  subdirectory: string
}

/** undefined: not the address of a repository. */
export const parseGitAddress = (text: string): GitAddress | undefined => {
  const known =
    /^(git:\/\/|ssh:\/\/)/.test(text) ||
    /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(text) ||
    /^https?:\/\/[^#?]+\.git(?:#|$)/.test(text) ||
    /^github\.com\/[^#]+/.test(text)
  if (!known) return undefined
  const at = text.indexOf('#')
  const remote = at < 0 ? text : text.slice(0, at)
  const [ref, ...subdirectory] = (at < 0 ? '' : text.slice(at + 1)).split(':')
  return {
    remote: remote.startsWith('github.com/') ? `https://${remote}` : remote,
    ref: ref || undefined,
    subdirectory: subdirectory.join(':').replace(/^\/+|\/+$/g, ''),
  }
}

/** Does it take keys to get there? */
export const needsAgent = ({ remote }: GitAddress): boolean => !/^(git|https?):\/\//.test(remote)

interface GitOptions {
  signal: AbortSignal
  /** Path of an agent's socket. */
  agent?: string | undefined
}

export class GitSources {
  readonly #processes: Processes
  readonly #base: string
  readonly #mutex = new KeyedMutex()

  constructor(processes: Processes, base: string) {
    this.#processes = processes
    this.#base = base
  }

  /** `digest` is the commit; `path` is a tar of its files, or of the subdirectory's. */
  async get(address: GitAddress, options: GitOptions): Promise<Download> {
    const { remote, ref = 'HEAD', subdirectory } = address
    if (ref.startsWith('-') || remote.startsWith('-') || subdirectory.split('/').includes('..'))
      throw new SlipwayError('bad-request', `invalid git address ${remote}#${ref}:${subdirectory}`)
    const repository = join(this.#base, hash(remote))
    return await this.#mutex.run(repository, async () => {
      await this.#prepare(repository, options)
      const commit = await this.#fetch(repository, remote, ref, options)
      const path = join(repository, `${hash(`${commit}:${subdirectory}`)}.tar`)
      if (!existsSync(path)) await this.#archive(repository, commit, subdirectory, path, options)
      return { path, digest: commit, modifiedMs: 0 }
    })
  }

  async #prepare(repository: string, options: GitOptions): Promise<void> {
    if (existsSync(join(repository, 'HEAD'))) return
    mkdirSync(repository, { recursive: true, mode: 0o700 })
    await this.#git(repository, ['init', '--quiet', '--bare', '.'], options)
    // An archive is what a checkout would be, whatever the repository says about exports.
    mkdirSync(join(repository, 'info'), { recursive: true })
    writeFileSync(join(repository, 'info/attributes'), '* -export-ignore -export-subst\n')
  }

  async #fetch(repository: string, remote: string, ref: string, options: GitOptions): Promise<string> {
    const shallow = await this.#try(repository, ['fetch', '--quiet', '--depth=1', '--no-tags', remote, ref], options)
    if (shallow.code === 0) {
      return (await this.#git(repository, ['rev-parse', '--verify', 'FETCH_HEAD^{commit}'], options)).trim()
    }
    // A server that has no shallow fetches, or an abbreviated commit.
    const all = ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*']
    const whole = await this.#try(repository, ['fetch', '--quiet', '--update-head-ok', remote, ...all], options)
    const found =
      whole.code === 0
        ? await this.#try(repository, ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], options)
        : whole
    if (found.code === 0) return found.stdout.trim()
    const reason = (shallow.stderr || whole.stderr).trim()
    throw new SlipwayError('unavailable', `failed to load ${remote}#${ref}: ${reason}`, {
      hint: 'Check the address, the reference and the network.',
    })
  }

  async #archive(
    repository: string,
    commit: string,
    subdirectory: string,
    path: string,
    options: GitOptions,
  ): Promise<void> {
    const tree = subdirectory === '' ? commit : `${commit}:${subdirectory}`
    const child = this.#processes.spawn(['git', 'archive', '--format=tar', tree], {
      cwd: repository,
      env: environment(options),
      fds: ['ignore', 'pipe', 'ignore'],
    })
    const partial = join(repository, `${randomUUID()}.part`)
    try {
      await pipeline(child.stdout!, createWriteStream(partial), { signal: options.signal })
      const { code } = await child.exited
      if (code !== 0) throw new SlipwayError('not-found', `${subdirectory || commit}: not found in the repository`)
      renameSync(partial, path)
    } finally {
      child.kill('SIGKILL')
      rmSync(partial, { force: true })
    }
  }

  async #git(repository: string, args: string[], options: GitOptions): Promise<string> {
    const { code, stdout, stderr } = await this.#try(repository, args, options)
    if (code !== 0) throw new SlipwayError('internal', `git ${args[0]}: ${stderr.trim()}`)
    return stdout
  }

  async #try(repository: string, args: string[], options: GitOptions) {
    try {
      return await this.#processes.run(['git', ...args], {
        cwd: repository,
        env: environment(options),
        signal: options.signal,
      })
    } catch (error) {
      if (!isError(error, 'not-found')) throw error
      throw new SlipwayError('unsupported', 'git is not installed on this machine', {
        hint: 'Install it (Debian: apt-get install git), or clone the repository and build from the directory.',
      })
    }
  }

  /** Drops what a kill left half written, and everything with `all`. */
  prune(all: boolean): void {
    if (all) rmSync(this.#base, { recursive: true, force: true })
    if (!existsSync(this.#base)) return
    for (const name of readdirSync(this.#base))
      for (const file of readdirSync(join(this.#base, name)))
        if (file.endsWith('.part')) rmSync(join(this.#base, name, file), { force: true })
  }
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** Nobody is asked anything, and nothing but the network is read. */
const environment = ({ agent }: GitOptions): Record<string, string> => ({
  PATH: process.env.PATH ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_TERMINAL_PROMPT: '0',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_ALLOW_PROTOCOL: 'git:http:https:ssh',
  GIT_SSH_COMMAND: 'ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null',
  ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
})
