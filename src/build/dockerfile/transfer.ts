/** What COPY and ADD share. */
import { posix } from 'node:path'
import { type GitAddress, parseGitAddress } from '../context/git.ts'
import type { CopySource } from '../ops.ts'
import type { FlagValues } from './flags.ts'
import { contentOf, heredocOf } from './heredoc.ts'
import type { Lowered, StageState } from './instruction.ts'
import type { Statement } from './lines.ts'
import { SyntaxFault } from './source.ts'
import { blankWords, jsonArray } from './words.ts'

export interface Transfer {
  keepGitDir?: boolean | undefined
  verb: 'ADD' | 'COPY'
  sources: string[]
  documents: { name: string; data: string; expand: boolean }[]
  dest: string
  chown?: string | undefined
  chmod?: string | undefined
  link: boolean
  exclude: string[]
  from?: string | undefined
  parents?: boolean | undefined
  checksum?: string | undefined
  unpack?: boolean | undefined
}

type Words = Pick<Transfer, 'verb' | 'sources' | 'documents' | 'dest'>

export const parseTransfer = (verb: Transfer['verb'], statement: Statement): Words => {
  const words = jsonArray(statement.rest) ?? blankWords(statement.rest)
  if (words.length < 2) {
    const count = words.length === 1 ? 'only one was provided' : 'none was provided'
    throw new SyntaxFault(`${verb} requires at least two arguments, but ${count}. Destination could not be determined`)
  }
  const dest = words.at(-1)!
  if (heredocOf(dest)) throw new SyntaxFault(`${verb} cannot accept a heredoc as a destination`, { near: dest })
  const sources: string[] = []
  const documents: Transfer['documents'] = []
  for (const word of words.slice(0, -1)) {
    const name = heredocOf(word)?.name
    const document = name === undefined ? undefined : statement.heredocs.find((heredoc) => heredoc.name === name)
    if (document) documents.push({ name: document.name, data: contentOf(document), expand: document.expand })
    else sources.push(word)
  }
  return { verb, sources, documents, dest }
}

export const readBy = (flags: FlagValues): Pick<Transfer, 'chown' | 'chmod' | 'link' | 'exclude'> => ({
  chown: flags.string('chown') || undefined,
  chmod: flags.string('chmod') || undefined,
  link: flags.boolean('link') ?? false,
  exclude: flags.list('exclude'),
})

export const lowerTransfer = (node: Transfer, stage: StageState): Lowered => {
  const written = node.sources.map((source) => stage.expand(source))
  const dest = stage.expand(node.dest)
  const chown = node.chown === undefined ? undefined : stage.expand(node.chown)
  const chmod = node.chmod === undefined ? undefined : stage.expand(node.chmod)
  if (chmod !== undefined) checkMode(chmod)
  const checksum = node.checksum === undefined ? undefined : stage.expand(node.checksum)
  if (checksum !== undefined) checkChecksum(checksum, written, node)
  const documents = node.documents.map((document): CopySource => {
    const data = document.expand ? stage.expand(document.data, { skipQuotes: true }) : document.data
    return { kind: 'inline', name: document.name, data }
  })
  const words = [
    node.verb,
    ...(node.parents ? ['--parents'] : []),
    ...(chown ? [`--chown=${chown}`] : []),
    ...(chmod ? [`--chmod=${chmod}`] : []),
    ...written,
    ...node.documents.map(({ name }) => `<<${name}`),
    dest,
  ]
  return {
    op: {
      kind: 'copy',
      verb: node.verb,
      from: node.from === undefined ? { kind: 'context' } : { kind: 'named', name: node.from },
      sources: [...written.map((source) => sourceOf(node, source, checksum)), ...documents],
      dest: resolveDest(stage.config.WorkingDir ?? '/', dest),
      chown: chown || undefined,
      chmod: chmod || undefined,
      parents: node.parents ?? false,
      exclude: node.exclude.map((pattern) => stage.expand(pattern)),
      link: node.link,
    },
    history: words.join(' '),
  }
}

/** Against the working directory; a directory keeps (or gets) its trailing slash. */
const resolveDest = (workdir: string, dest: string): string => {
  const path = posix.resolve('/', workdir, dest)
  const directory = dest === '' || /(^|\/)\.?$/.test(dest)
  return directory && path !== '/' ? `${path}/` : path
}

/** Without a scheme it is a path. */
const gitAddress = (source: string, node: Pick<Transfer, 'keepGitDir'>): GitAddress | undefined =>
  // Who speaks of a .git directory means a repository, however its address ends.
  source.startsWith('github.com/') ? undefined : parseGitAddress(source, { anyHttp: node.keepGitDir !== undefined })

const sourceOf = (node: Transfer, source: string, checksum: string | undefined): CopySource => {
  const remote = /^https?:\/\//.test(source)
  const repository = gitAddress(source, node)
  if (repository) {
    if (node.verb === 'COPY') throw new SyntaxFault("source can't be a git ref for COPY", { near: source })
    const keepGitDir = node.keepGitDir ?? repository.keepGitDir
    if (keepGitDir !== (repository.keepGitDir ?? keepGitDir))
      throw new SyntaxFault('inconsistent keep-git-dir configuration', { near: '--keep-git-dir' })
    if (checksum !== undefined && checksum !== (repository.checksum ?? checksum))
      throw new SyntaxFault(`checksum mismatch "${checksum}" != "${repository.checksum}"`, { near: '--checksum' })
    const keep = keepGitDir ? { keepGitDir: true } : {}
    return { kind: 'url', url: source, name: 'repository.tar', unpack: true, checksum, git: true, ...keep }
  }
  if (remote) {
    if (node.verb === 'COPY')
      throw new SyntaxFault("source can't be a URL for COPY", { near: source, hint: 'ADD can.' })
    return { kind: 'url', url: source, name: urlName(source), unpack: node.unpack ?? false, checksum }
  }
  const unpack = node.unpack ?? node.verb === 'ADD'
  if (!node.parents) return { kind: 'path', path: posix.join('/', source), unpack }
  const at = source.indexOf('/./')
  if (at < 0) return { kind: 'path', path: posix.join('/', source), pivot: '/', unpack }
  const pivot = posix.join('/', source.slice(0, at))
  return { kind: 'path', path: posix.join(pivot, posix.join('/', source.slice(at + 3))), pivot, unpack }
}

const urlName = (url: string): string => {
  const base = URL.canParse(url) ? posix.basename(new URL(url).pathname) : ''
  return base === '' ? '__unnamed__' : decodeURIComponent(base).replaceAll('/', '_')
}

const checkMode = (mode: string): void => {
  if (/^\d+$/.test(mode) ? /^[0-7]+$/.test(mode) && Number.parseInt(mode, 8) <= 0o7777 : symbolic.test(mode)) return
  const text = `invalid chmod parameter: '${mode}'. it should be octal string and between 0 and 07777`
  throw new SyntaxFault(text, { near: '--chmod', hint: 'Or symbolic, as for chmod(1): u=rwX,go=rX.' })
}
const symbolic = /^[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*$/

const checkChecksum = (checksum: string, sources: string[], node: Transfer): void => {
  const near = { near: '--checksum' }
  if (sources.length !== 1) throw new SyntaxFault("checksum can't be specified for multiple sources", near)
  if (gitAddress(sources[0]!, node)) {
    if (!/^[0-9a-f]{7,64}$/.test(checksum))
      throw new SyntaxFault(`invalid checksum "${checksum}": expected hex commit hash`, near)
    return
  }
  if (!/^https?:\/\//.test(sources[0]!)) throw new SyntaxFault('checksum requires HTTP(S) or Git sources', near)
  const [, algorithm, hex = ''] = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(checksum) ?? []
  if (algorithm === undefined) throw new SyntaxFault('invalid checksum digest format', near)
  if (algorithm !== 'sha256') throw new SyntaxFault('unsupported digest algorithm', near)
  if (hex.length !== 64) throw new SyntaxFault('invalid checksum digest length', near)
  if (!/^[0-9a-f]+$/.test(hex)) throw new SyntaxFault('invalid checksum digest format', near)
}
