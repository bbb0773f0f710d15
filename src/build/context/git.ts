/**
 * Git repositories as build contexts and sources of ADD, by Debian's git. A commit becomes a tar that is kept; which commit a
 * branch is, is asked each time. Forms of the address as in BuildKit: REMOTE[#REF[:SUBDIRECTORY]] or REMOTE?branch=…&subdir=….
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { isError, SlipwayError } from '../../errors.ts'
import { redacted } from '../../lib/redacted.ts'
import { goBool } from '../../lib/go-bool.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { lstatExact, namesIn } from '../../lib/named-files.ts'
import type { Processes, SpecialFiles, Sys } from '../../sys/sys.ts'
import type { FetchedSource } from '../cache/collect.ts'
import { packTrees } from '../output/files.ts'
import { CommitFiles } from './commit-files.ts'
import type { Download } from './download.ts'

export interface GitAddress {
  remote: string
  /** Branch, tag or commit; undefined: the remote's default branch. */
  ref: string | undefined
  /** '' is the whole repository. */
  subdirectory: string
  /** The commit, or its first digits, that must come of it. */
  checksum?: string | undefined
  /** Default: no. */
  keepGitDir?: boolean | undefined
  /** Default: yes. */
  submodules?: boolean | undefined
  /** Times of the files: the commit's (default), or when they were checked out. */
  mtime?: 'commit' | 'checkout' | undefined
  /** Keys of the server, as in ssh's known_hosts; default: any. */
  knownHosts?: string | undefined
  /** Id of the client's agent for ssh; default: 'default'. */
  agent?: string | undefined
}

/**
 * undefined: not the address of a repository. A query that says nothing known is 'invalid'. `anyHttp`: an http(s) address is one
 * also when it does not end in .git.
 */
export const parseGitAddress = (text: string, { anyHttp = false } = {}): GitAddress | undefined => {
  const [, before = '', query, fragment = ''] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? []
  const known =
    /^(git:\/\/|ssh:\/\/)/.test(before) ||
    /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(before) ||
    (anyHttp ? /^https?:\/\/./ : /^https?:\/\/.+\.git$/).test(before) ||
    /^github\.com\/./.test(before)
  if (!known) return undefined
  const [ref, ...subdirectory] = fragment.split(':')
  const address = {
    remote: before.startsWith('github.com/') ? `https://${before}` : before,
    ref: ref || undefined,
    subdirectory: subdirectory.join(':'),
  }
  const whole = query === undefined ? address : withQuery(address, new URLSearchParams(query))
  return { ...whole, subdirectory: whole.subdirectory.replace(/^\/+|\/+$/g, '') }
}

/** `?branch=…&subdir=…`, which says the same as `#…` and more (buildx 0.28). */
const withQuery = (address: GitAddress, query: URLSearchParams): GitAddress => {
  const invalid = (why: string): SlipwayError => new SlipwayError('invalid', `invalid git address: ${why}`)
  const found: GitAddress = { ...address }
  const setRef = (ref: string): void => {
    if (found.ref !== undefined && found.ref !== ref) throw invalid(`ref conflicts: "${found.ref}" vs "${ref}"`)
    found.ref = ref
  }
  const flag = (key: string, value: string): boolean => {
    const known = value === '' || goBool(value)
    if (known === undefined) throw invalid(`invalid ${key} value: "${value}"`)
    return known
  }
  if (query.has('tag') && query.has('branch')) throw invalid('branch conflicts with tag')
  for (const [key, value] of query) {
    if (query.getAll(key).length > 1) throw invalid(`query "${key}" has multiple values`)
    if (key === 'submodules') found.submodules = flag(key, value)
    else if (key === 'mtime') {
      if (value !== 'commit' && value !== 'checkout') throw invalid(`invalid mtime value: "${value}"`)
      found.mtime = value
    } else if (key === 'keep-git-dir') found.keepGitDir = flag(key, value)
    else if (value === '') throw invalid(`query "${key}" has no value`)
    else if (key === 'ref') setRef(value)
    else if (key === 'tag') setRef(value.startsWith('refs/tags/') ? value : `refs/tags/${value}`)
    else if (key === 'branch') setRef(value.startsWith('refs/heads/') ? value : `refs/heads/${value}`)
    else if (key === 'checksum' || key === 'commit') found.checksum = value
    else if (key === 'subdir') {
      if (found.subdirectory !== '' && found.subdirectory !== value)
        throw invalid(`subdir conflicts: "${found.subdirectory}" vs "${value}"`)
      found.subdirectory = value
    } else throw invalid(`unexpected query "${key}"`)
  }
  return { ...found, ref: found.ref ?? found.checksum }
}

/** Does it take keys to get there? */
export const needsAgent = ({ remote }: GitAddress): boolean => !/^(git|https?):\/\//.test(remote)

interface GitOptions {
  signal: AbortSignal
  /** Path of an agent's socket. */
  agent?: string | undefined
  /** As git's GIT_ALLOW_PROTOCOL; default: those of the network. */
  protocols?: string | undefined
  /** Value of the header Authorization for the repository's server. */
  authorization?: string | undefined
}

interface GitRun extends Omit<GitOptions, 'authorization'> {
  header?: { scope: string; value: string } | undefined
  /** Path of a file as ssh's known_hosts. */
  knownHosts?: string | undefined
}

/** Git sends the header to the repository only; at github.com, where one token is good for many, to all of them. */
const scopeOf = (remote: string): string => {
  if (remote.startsWith('https://github.com/')) return 'https://github.com/'
  const url = new URL(remote)
  url.username = ''
  url.password = ''
  return url.href
}

export class GitSources {
  readonly #processes: Processes
  readonly #files: SpecialFiles
  readonly #base: string
  readonly #mutex = new KeyedMutex()

  constructor({ processes, files }: Pick<Sys, 'processes' | 'files'>, base: string) {
    this.#processes = processes
    this.#files = files
    this.#base = base
  }

  /** `digest` is the commit; `path` is a tar of its files, or of the subdirectory's. */
  async get(address: GitAddress, options: GitOptions): Promise<Download> {
    return await this.#at(address, options, async (repository, commit, options) => {
      const { subdirectory, keepGitDir = false, submodules = true, mtime = 'commit' } = address
      const wanted = [commit, subdirectory, keepGitDir, submodules, ...(mtime === 'commit' ? [] : [mtime])]
      const path = join(repository, `${hash(JSON.stringify(wanted))}.tar`)
      if (!existsSync(path)) await this.#archive(repository, commit, address, path, options)
      return { path, digest: commit, modifiedMs: 0 }
    })
  }

  /** Reads files of the commit that the address means now, by their paths below its subdirectory; not those of submodules. */
  async files(address: GitAddress, options: GitOptions): Promise<CommitFiles> {
    return await this.#at(address, options, async (repository, commit) => {
      const time = await this.time(address, commit, options.signal)
      const run = (args: string[]): Promise<Buffer | undefined> => this.#read(repository, args)
      return new CommitFiles(commit, time, address.subdirectory, run)
    })
  }

  /** With the repository's commit here, and nobody else in the repository. */
  async #at<T>(
    address: GitAddress,
    { authorization, ...rest }: GitOptions,
    task: (repository: string, commit: string, options: GitRun) => Promise<T>,
  ): Promise<T> {
    const { remote, ref = 'HEAD', subdirectory, checksum } = address
    if (ref.startsWith('-') || remote.startsWith('-') || subdirectory.split('/').includes('..'))
      throw new SlipwayError('bad-request', `invalid git address ${redacted(remote)}#${ref}:${subdirectory}`)
    const repository = join(this.#base, hash(remote))
    return await this.#mutex.run(repository, async () => {
      await this.#prepare(repository, rest)
      const options: GitRun = {
        ...rest,
        ...(authorization && { header: { scope: scopeOf(remote), value: authorization } }),
        ...(address.knownHosts && { knownHosts: join(repository, 'known_hosts') }),
      }
      if (options.knownHosts) writeFileSync(options.knownHosts, address.knownHosts!)
      const now = new Date()
      utimesSync(repository, now, now)
      const commit = await this.#fetchAny(repository, remote, ref, options)
      if (checksum !== undefined && !commit.startsWith(checksum))
        throw new SlipwayError('invalid', `expected checksum to match ${checksum}, got ${commit}`)
      return await task(repository, commit, options)
    })
  }

  /** When the commit, which was got before, was made (s). */
  async time({ remote }: GitAddress, commit: string, signal: AbortSignal): Promise<number> {
    const repository = join(this.#base, hash(remote))
    return Number((await this.#git(repository, ['show', '-s', '--format=%ct', commit], { signal })).trim())
  }

  async #prepare(repository: string, options: GitRun): Promise<void> {
    if (existsSync(join(repository, 'HEAD'))) return
    mkdirSync(repository, { recursive: true, mode: 0o700 })
    await this.#git(repository, ['init', '--quiet', '--bare', '.'], options)
  }

  /** A repository whose objects go by SHA-256 cannot be fetched into one of the usual kind: then it is made anew. */
  async #fetchAny(repository: string, remote: string, ref: string, options: GitRun): Promise<string> {
    try {
      return await this.#fetch(repository, remote, ref, options)
    } catch (error) {
      options.signal.throwIfAborted()
      const listed = await this.#try(repository, ['ls-remote', '--quiet', remote, 'HEAD'], options)
      const format = (await this.#try(repository, ['rev-parse', '--show-object-format'], options)).stdout.trim()
      if (format === 'sha256' || !/^[0-9a-f]{64}\s/.test(listed.stdout)) throw error
      for (const name of readdirSync(repository))
        if (name !== 'known_hosts') rmSync(join(repository, name), { recursive: true })
      await this.#git(repository, ['init', '--quiet', '--bare', '--object-format=sha256', '.'], options)
      return await this.#fetch(repository, remote, ref, options)
    }
  }

  async #fetch(repository: string, remote: string, ref: string, options: GitRun): Promise<string> {
    const shallow = await this.#try(repository, ['fetch', '--quiet', '--depth=1', '--no-tags', remote, ref], options)
    if (shallow.code === 0) {
      return (await this.#git(repository, ['rev-parse', '--verify', 'FETCH_HEAD^{commit}'], options)).trim()
    }
    // A server that has no shallow fetches, or an abbreviated commit.
    const all = ref === 'HEAD' ? [ref] : ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*']
    const whole = await this.#try(repository, ['fetch', '--quiet', '--update-head-ok', remote, ...all], options)
    const name = ref === 'HEAD' ? 'FETCH_HEAD' : ref
    const found =
      whole.code === 0
        ? await this.#try(repository, ['rev-parse', '--verify', '--quiet', `${name}^{commit}`], options)
        : whole
    if (found.code === 0) return found.stdout.trim()
    const said = (shallow.stderr || whole.stderr).trim()
    const reason = whole.code === 0 ? `repository does not contain ref ${ref}, output: ${JSON.stringify(said)}` : said
    throw new SlipwayError(
      'unavailable',
      `failed to load ${redacted(remote)}#${ref}: ${reason.replaceAll(remote, redacted(remote))}`,
      {
        hint: 'Check the address, the reference and the network.',
      },
    )
  }

  async #archive(
    repository: string,
    commit: string,
    { subdirectory, keepGitDir, submodules, remote, mtime }: GitAddress,
    path: string,
    options: GitRun,
  ): Promise<void> {
    const work = join(repository, `${randomUUID()}.part`)
    const partial = `${work}.part`
    const git = (...args: string[]): Promise<string> => this.#git(work, args, options)
    try {
      mkdirSync(work, { mode: 0o700 })
      await git('init', '--quiet', `--object-format=${commit.length === 64 ? 'sha256' : 'sha1'}`, '.')
      await git('remote', 'add', 'origin', withoutPassword(remote))
      const near = { ...options, protocols: 'file' }
      await this.#git(repository, ['config', 'uploadpack.allowAnySHA1InWant', 'true'], options)
      await this.#git(work, ['fetch', '--quiet', '--no-tags', '--depth=1', `file://${repository}`, commit], near)
      await git('checkout', '--quiet', '--detach', commit)
      if (submodules !== false && existsSync(join(work, '.gitmodules')))
        await git('submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1')
      const time = BigInt((await git('show', '-s', '--format=%ct', commit)).trim()) * 1_000_000_000n
      if (keepGitDir) rmSync(join(work, '.git/FETCH_HEAD'), { force: true })
      else dropGitFiles(work)
      // It may be a link of the repository's, or lie behind one.
      const root = join(work, this.#files.resolveInRoot(work, subdirectory))
      if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
        throw new SlipwayError('not-found', `${subdirectory}: not found in the repository`)
      const tar = packTrees([{ path: '', root }], this.#files, mtime === 'checkout' ? undefined : time)
      await pipeline(tar, createWriteStream(partial), { signal: options.signal })
      renameSync(partial, path)
    } finally {
      rmSync(work, { recursive: true, force: true })
      rmSync(partial, { force: true })
    }
  }

  async #git(repository: string, args: string[], options: GitRun): Promise<string> {
    const { code, stdout, stderr } = await this.#try(repository, args, options)
    if (code !== 0) throw new SlipwayError('internal', `git ${args[0]}: ${stderr.trim()}`)
    return stdout
  }

  async #try(repository: string, args: string[], options: GitRun) {
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

  /** What a command of git's says, byte for byte; undefined: it failed. */
  async #read(repository: string, args: string[]): Promise<Buffer | undefined> {
    const child = this.#processes.spawn(['git', ...args], {
      cwd: repository,
      env: environment({}),
      fds: ['ignore', 'pipe', 'ignore'],
    })
    const chunks: Buffer[] = []
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) chunks.push(chunk)
    return (await child.exited).code === 0 ? Buffer.concat(chunks) : undefined
  }

  /** Repositories with what was made of them. */
  list(): FetchedSource[] {
    return (existsSync(this.#base) ? readdirSync(this.#base) : []).map((id) => {
      const path = join(this.#base, id)
      const { birthtimeMs, mtimeMs } = statSync(path)
      const times = { createdAt: birthtimeMs, lastUsedAt: mtimeMs }
      const remove = (): void => rmSync(path, { recursive: true, force: true })
      return { id, type: 'source.git.checkout', description: 'git repository', path, ...times, remove }
    })
  }

  /** Drops what a kill left half written. */
  recover(): void {
    if (!existsSync(this.#base)) return
    for (const name of readdirSync(this.#base))
      for (const file of readdirSync(join(this.#base, name)))
        if (file.endsWith('.part')) rmSync(join(this.#base, name, file), { recursive: true, force: true })
  }
}

/** Of the repository and its submodules. */
const dropGitFiles = (directory: string): void => {
  for (const name of namesIn(directory)) {
    const path = join(directory, name)
    if (name === '.git') rmSync(path, { recursive: true, force: true })
    else if (lstatExact(path).isDirectory()) dropGitFiles(path)
  }
}

const withoutPassword = (remote: string): string => {
  if (!URL.canParse(remote)) return remote
  const url = new URL(remote)
  if (url.password === '') return remote
  url.password = 'xxxxx'
  return url.href
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** Nobody is asked anything, and nothing but the network is read. */
const environment = ({ agent, protocols, header, knownHosts }: Omit<GitRun, 'signal'>): Record<string, string> => ({
  PATH: process.env.PATH ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_TERMINAL_PROMPT: '0',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_ALLOW_PROTOCOL: protocols ?? 'git:http:https:ssh',
  GIT_SSH_COMMAND: knownHosts
    ? `ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o 'UserKnownHostsFile="${knownHosts}"'`
    : 'ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null',
  ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
  // Not as an argument, which everyone on the machine can read.
  ...(header && {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `http.${header.scope}.extraheader`,
    GIT_CONFIG_VALUE_0: `Authorization: ${header.value}`,
  }),
})
