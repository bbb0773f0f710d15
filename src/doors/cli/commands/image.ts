/** `slipway image …`: docker's image commands for machines without a docker client, over the same API. */
import { isError } from '../../../errors.ts'
import { parseReference } from '../../../spec/oci/index.ts'
import { bootstrap, importRoot, load, pull, push, save } from '../app/image-transfer.ts'
import { login, logout } from '../app/login.ts'
import { humanDuration, out, table } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { list, text, toggle } from '../framework/flags.ts'
import {
  type Call,
  family,
  filtersOf,
  forEach,
  inspectEach,
  many,
  type Subcommand,
  shortId,
} from '../framework/subcommands.ts'
import { humanSize } from '../progress/transfer.ts'

interface Listed {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Created: number
  Size: number
}
type Removal = { Untagged: string } | { Deleted: string }

const quiet = toggle('-q, --quiet', 'Only ids, or no progress')
const platform = text('--platform', 'OS/ARCH', 'The platform of an image for several')
const age = (seconds: number): string => `${humanDuration(Date.now() - seconds * 1000)} ago`
const path = (reference: string, rest: string): string => `/images/${encodeURI(reference)}${rest}`

const ls = async ({ shell, args, flags }: Call): Promise<number> => {
  const filter = [...((flags.filter as string[] | undefined) ?? []), ...args.map((name) => `reference=${name}`)]
  const engine = await openEngine(shell)
  const images = await engine.json<Listed[]>('/images/json', { query: { filters: filtersOf(filter) } })
  if (flags.format === 'json') {
    for (const image of images) out(shell, JSON.stringify(image))
    return 0
  }
  const rows = images.flatMap((image) => rowsOf(image).map((row) => ({ ...row, image })))
  const id = ({ image }: { image: Listed }): string => (flags['no-trunc'] === true ? image.Id : shortId(image.Id))
  if (flags.quiet === true) {
    for (const each of new Set(rows.map(id))) out(shell, each)
    return 0
  }
  const digests = flags.digests === true
  const titles = ['REPOSITORY', 'TAG', ...(digests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE']
  const cells = rows.map((row) => [
    row.repository,
    row.tag,
    ...(digests ? [row.digest] : []),
    id(row),
    age(row.image.Created),
    humanSize(row.image.Size, 3),
  ])
  out(shell, table(titles, cells))
  return 0
}

const splitName = (name: string): { repository: string; rest: string } => {
  const at = name.indexOf('@') === -1 ? name.lastIndexOf(':') : name.indexOf('@')
  return { repository: name.slice(0, at), rest: name.slice(at + 1) }
}
const rowsOf = ({ RepoTags, RepoDigests }: Listed): { repository: string; tag: string; digest: string }[] => {
  const digests = (RepoDigests ?? []).map(splitName)
  const digest = (repository: string): string =>
    digests.find((each) => each.repository === repository)?.rest ?? '<none>'
  if (RepoTags?.length)
    return RepoTags.map(splitName).map(({ repository, rest }) => ({
      repository,
      tag: rest,
      digest: digest(repository),
    }))
  const { repository = '<none>', rest = '<none>' } = digests[0] ?? {}
  return [{ repository, tag: '<none>', digest: rest }]
}

const tag = async ({ shell, args }: Call): Promise<number> => {
  const target = parseReference(args[1]!)
  const repo = args[1]!.slice(0, target.tag === undefined ? undefined : -(target.tag.length + 1))
  const engine = await openEngine(shell)
  await engine.json(path(args[0]!, '/tag'), { method: 'POST', query: { repo, tag: target.tag ?? 'latest' } })
  return 0
}

const printRemovals = (shell: Call['shell'], removals: Removal[]): void => {
  for (const each of removals)
    out(shell, 'Untagged' in each ? `Untagged: ${each.Untagged}` : `Deleted: ${each.Deleted}`)
}

const rm = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  const force = call.flags.force === true
  return forEach(call, async (name) => {
    try {
      printRemovals(call.shell, await engine.json<Removal[]>(path(name, ''), { method: 'DELETE', query: { force } }))
    } catch (error) {
      if (!force || !isError(error, 'not-found')) throw error
    }
    return undefined
  })
}

const inspect = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  return inspectEach(call, (name) => engine.json(path(name, '/json')))
}

const history = async ({ shell, args, flags }: Call): Promise<number> => {
  type Entry = { Id: string; Created: number; CreatedBy: string; Size: number; Comment: string }
  const engine = await openEngine(shell)
  const entries = await engine.json<Entry[]>(path(args[0]!, '/history'))
  const whole = flags['no-trunc'] === true
  const id = ({ Id }: Entry): string => (whole || Id.startsWith('<') ? Id : shortId(Id))
  if (flags.quiet === true) {
    for (const entry of entries) out(shell, id(entry))
    return 0
  }
  const by = (command: string): string => (whole || command.length <= 45 ? command : `${command.slice(0, 44)}…`)
  const rows = entries.map((e) => [
    id(e),
    age(e.Created),
    by(e.CreatedBy.replace(/\s+/g, ' ')),
    humanSize(e.Size, 3),
    e.Comment,
  ])
  out(shell, table(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows))
  return 0
}

const prune = async ({ shell, flags }: Call): Promise<number> => {
  const all = flags.all === true ? ['dangling=false'] : []
  const filters = filtersOf([...all, ...((flags.filter as string[] | undefined) ?? [])])
  const engine = await openEngine(shell)
  const { ImagesDeleted, SpaceReclaimed } = await engine.json<{
    ImagesDeleted: Removal[] | null
    SpaceReclaimed: number
  }>('/images/prune', { method: 'POST', query: { filters } })
  if (ImagesDeleted?.length) {
    out(shell, 'Deleted Images:')
    printRemovals(shell, ImagesDeleted)
    out(shell, '')
  }
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
}

const filter = list('--filter', 'NAME=VALUE', 'Only those it fits (dangling, label, reference, before, since, until)')
const noTrunc = toggle('--no-trunc', 'Whole ids and commands')
const subcommands: Record<string, Subcommand> = {
  ls: {
    usage: '[NAME]',
    summary: 'List images',
    args: [0, 1],
    flags: [
      toggle('-a, --all', 'All of them (there are no hidden ones)'),
      quiet,
      noTrunc,
      filter,
      toggle('--digests', 'Show digests'),
      text('--format', 'FORMAT', 'table or json', ['table', 'json']),
    ],
    run: ls,
  },
  pull: {
    usage: 'NAME[:TAG|@DIGEST]',
    summary: 'Download an image from a registry',
    args: [1, 1],
    flags: [toggle('-a, --all-tags', 'Every tag of the repository'), platform, quiet],
    run: pull,
  },
  push: {
    usage: 'NAME[:TAG]',
    summary: 'Upload an image to a registry',
    args: [1, 1],
    flags: [toggle('-a, --all-tags', 'Every tag of the repository'), quiet],
    run: push,
  },
  tag: { usage: 'SOURCE TARGET', summary: 'Give an image another name', args: [2, 2], flags: [], run: tag },
  rm: {
    usage: 'IMAGE...',
    summary: 'Remove names, and images with their last name',
    args: [1, many],
    flags: [toggle('-f, --force', 'Also an image that stopped containers use')],
    run: rm,
  },
  inspect: {
    usage: 'IMAGE...',
    summary: 'All that is known of images, as JSON',
    args: [1, many],
    flags: [],
    run: inspect,
  },
  history: { usage: 'IMAGE', summary: 'How an image came about', args: [1, 1], flags: [noTrunc, quiet], run: history },
  save: {
    usage: 'IMAGE...',
    summary: 'Write images to an archive that docker and OCI tools read',
    args: [1, many],
    flags: [text('-o, --output', 'FILE', 'Write to a file instead of stdout')],
    run: save,
  },
  load: {
    usage: '',
    summary: 'Read images from an archive of docker or an OCI layout, plain or compressed',
    args: [0, 0],
    flags: [text('-i, --input', 'FILE', 'Read from a file instead of stdin'), platform, quiet],
    run: load,
  },
  import: {
    usage: 'FILE|URL|- [NAME[:TAG]]',
    summary: 'Make an image of a root filesystem (tar)',
    args: [1, 2],
    flags: [
      list('-c, --change', 'INSTRUCTION', 'Dockerfile instructions to apply'),
      text('-m, --message', 'TEXT', 'Comment in its history'),
      platform,
    ],
    run: importRoot,
  },
  prune: {
    usage: '',
    summary: 'Remove images without a name',
    args: [0, 0],
    flags: [
      toggle('-a, --all', 'Every image that no container uses'),
      toggle('-f, --force', 'Accepted for scripts: nothing is asked'),
      filter,
    ],
    run: prune,
  },
  bootstrap: {
    usage: 'debian:SUITE[-slim]',
    summary: "Make a base image from Debian's signed package archive, without a registry",
    args: [1, 1],
    flags: [quiet],
    run: bootstrap,
  },
  login: {
    usage: '[REGISTRY]',
    summary: 'Check and keep the credentials for a registry',
    args: [0, 1],
    flags: [
      text('-u, --username', 'NAME', 'User name'),
      text('-p, --password', 'WORD', 'Password or token; seen by everybody on this machine'),
      toggle('--password-stdin', 'Read the password from stdin'),
    ],
    run: login,
  },
  logout: {
    usage: '[REGISTRY]',
    summary: 'Forget the credentials for a registry',
    args: [0, 1],
    flags: [],
    run: logout,
  },
}

export const image = family({ name: 'image', summary: 'Manage images', subcommands })
