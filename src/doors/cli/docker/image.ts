/** `slipway image …`: docker's image commands, on the same API. */
import { isError, messageOf } from '../../../errors.ts'
import { repositoryOf } from '../../../spec/oci/index.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { later, many, type Subcommand } from '../framework/subcommands.ts'
import { confirm, imagePath as path, withEngine } from './calls.ts'
import { configValue } from './client-config.ts'
import { formatList } from './format.ts'
import {
  type HistoryEntry,
  historyOf,
  historyTable,
  imageRows,
  images,
  imageTable,
  type ListedImage,
} from './image-list.ts'
import { checkTreeFlags, imageTree } from './image-tree.ts'
import { newTag, platformJson, referenceOf } from './reference.ts'
import { inspect } from './inspect.ts'
import { filterFlag, filtersOf, force, formatFlag, noTrunc, platform, quiet, inspectFormat, strings } from './option.ts'
import { humanSize } from './units.ts'

const transfers = (name: 'bootstrap' | 'load' | 'pull' | 'push' | 'save') =>
  later(async () => (await import('./image-transfer.ts'))[name])

type Removal = { Untagged: string } | { Deleted: string }
const given = (value: unknown): string => (value as string | undefined) ?? ''

const ls = withEngine(async ({ engine, shell, args, flags }) => {
  const more = args.map((name): [string, string] => ['reference', name])
  const query = { all: flags.all === true, filters: filtersOf(flags.filter, more) }
  if (flags.tree === true) {
    checkTreeFlags(flags)
    const found = await engine.json<ListedImage[]>('/images/json', { query: { ...query, manifests: true } })
    shell.stdout.write(imageTree(found, { width: shell.stdout.columns || 80, all: query.all }))
    return 0
  }
  const found = await engine.json<ListedImage[]>('/images/json', { query })
  const format = given(flags.format) || (flags.quiet === true ? '' : (configValue(shell.env, 'imagesFormat') ?? ''))
  const digests = flags.digests === true
  const rows = found.flatMap((image) => imageRows(image, digests || format.includes('{{.Digest}}')))
  const table = imageTable(digests)
  shell.stdout.write(
    formatList(images(flags['no-trunc'] !== true), rows, { given: format, table, quiet: flags.quiet === true }),
  )
  return 0
})

const history = withEngine(async ({ engine, shell, args, flags }) => {
  const query = { platform: platformJson(flags.platform) }
  const entries = await engine.json<HistoryEntry[]>(path(args[0]!, '/history'), { query })
  const human = flags.human !== false
  const format = { given: given(flags.format), table: historyTable(human), quiet: flags.quiet === true }
  shell.stdout.write(formatList(historyOf(flags['no-trunc'] !== true, human), entries, format))
  return 0
})

const tag = withEngine(async ({ engine, args }) => {
  const [source = '', target = ''] = args
  let reference: ReturnType<typeof referenceOf>
  try {
    reference = referenceOf(target)
  } catch (error) {
    throw new Exit(
      1,
      `Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: ${messageOf(error)}`,
    )
  }
  await engine.json(path(source, '/tag'), {
    method: 'POST',
    query: { repo: repositoryOf(reference), tag: newTag(reference) },
  })
  return 0
})

const printRemovals = (shell: Shell, removals: readonly Removal[], words: [string, string]): void => {
  for (const each of removals)
    out(shell, 'Untagged' in each ? `${words[0]}: ${each.Untagged}` : `${words[1]}: ${each.Deleted}`)
}

const rm = withEngine(async ({ engine, shell, args, flags }) => {
  const platforms = (flags.platform as string[] | undefined)?.map((each) => platformJson(each, '')!)
  const query = { force: flags.force === true, noprune: flags['no-prune'] === true, platforms }
  const failed: string[] = []
  let fatal = false
  for (const name of args)
    try {
      const removals = await engine.json<Removal[]>(path(name), { method: 'DELETE', query })
      printRemovals(shell, removals, ['Untagged', 'Deleted'])
    } catch (error) {
      if (!isError(error) || shell.signal.aborted) throw error
      failed.push(error.message)
      if (error.code !== 'not-found') fatal = true
    }
  for (const message of failed) err(shell, message)
  return failed.length > 0 && (fatal || flags.force !== true) ? 1 : 0
})

const warnings = {
  all: 'WARNING! This will remove all images without at least one container associated to them.\n',
  dangling: 'WARNING! This will remove all dangling images.\n',
}

const prune = withEngine(async ({ engine, shell, flags }) => {
  const all = flags.all === true
  if (flags.force !== true) await confirm(shell, all ? warnings.all : warnings.dangling)
  const filters = filtersOf(flags.filter, [['dangling', String(!all)]])
  const { ImagesDeleted, SpaceReclaimed } = await engine.json<{
    ImagesDeleted: Removal[] | null
    SpaceReclaimed: number
  }>('/images/prune', { method: 'POST', query: { filters } })
  if (ImagesDeleted?.length) {
    out(shell, 'Deleted Images:')
    printRemovals(shell, ImagesDeleted, ['untagged', 'deleted'])
    out(shell, '')
  }
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
})

const trust = toggle('--disable-content-trust', 'Accepted: there are no signatures to verify')
const allTags = toggle('-a, --all-tags', 'Every tag of the repository')

export const imageCommands = {
  bootstrap: {
    usage: 'debian:SUITE[-slim]',
    summary: "Make a base image from Debian's signed package archive, without a registry",
    args: [1, 1],
    flags: [quiet('Only its name')],
    run: transfers('bootstrap'),
  },
  history: {
    usage: 'IMAGE',
    summary: 'How an image came about',
    args: [1, 1],
    flags: [
      formatFlag(),
      toggle('-H, --human', 'Sizes and times for people; default: true'),
      noTrunc,
      platform('It must be of that'),
      quiet('Only ids'),
    ],
    run: history,
  },
  import: {
    usage: 'file|URL|- [REPOSITORY[:TAG]]',
    summary: 'Make an image of a root filesystem (tar)',
    args: [1, many],
    flags: [
      list('-c, --change', 'list', 'Dockerfile instructions to apply'),
      text('-m, --message', 'string', 'What it is'),
      platform('Its platform'),
    ],
    run: later(async () => (await import('./image-transfer.ts')).importRoot),
  },
  inspect: {
    usage: 'IMAGE [IMAGE...]',
    summary: 'All that is known of images',
    args: [1, many],
    flags: [inspectFormat, platform('It must be that')],
    run: withEngine(({ engine, ...call }) => {
      const query = { platform: platformJson(call.flags.platform) }
      return inspect(call, (name) => engine.json(path(name, '/json'), { query }))
    }),
  },
  load: {
    usage: '',
    summary: 'Read images from an archive of docker or an OCI layout, plain or compressed',
    args: [0, 0],
    flags: [
      text('-i, --input', 'string', 'File, instead of standard input'),
      platform('Only those of this platform'),
      quiet('Say nothing while it works'),
    ],
    run: transfers('load'),
  },
  ls: {
    usage: '[REPOSITORY[:TAG]]',
    summary: 'List images',
    args: [0, 1],
    flags: [
      toggle('-a, --all', 'All of them (there are no hidden ones)'),
      toggle('--digests', 'With digests'),
      filterFlag('-f, --filter', 'NAME=VALUE: dangling, label, reference, before, since, until'),
      formatFlag(),
      noTrunc,
      quiet('Only ids'),
      toggle('--tree', 'All names of an image together, and whether it is in use'),
    ],
    run: ls,
  },
  prune: {
    usage: '',
    summary: 'Remove images without a name',
    args: [0, 0],
    flags: [
      toggle('-a, --all', 'Every image that no container uses'),
      filterFlag('--filter', 'NAME=VALUE: label, until'),
      force,
    ],
    run: prune,
  },
  pull: {
    usage: 'NAME[:TAG|@DIGEST]',
    summary: 'Download an image from a registry',
    args: [1, 1],
    flags: [allTags, trust, platform('The platform of an image for several'), quiet('Only its name')],
    run: transfers('pull'),
  },
  push: {
    usage: 'NAME[:TAG]',
    summary: 'Upload an image to a registry',
    args: [1, 1],
    flags: [allTags, trust, platform('Only that one of an image for several'), quiet('Only its name')],
    run: transfers('push'),
  },
  rm: {
    usage: 'IMAGE [IMAGE...]',
    summary: 'Remove names, and images with their last name',
    args: [1, many],
    flags: [
      toggle('-f, --force', 'Also an image that stopped containers use'),
      toggle('--no-prune', 'Keep parents without a name'),
      strings('--platform', 'It must be that'),
    ],
    run: rm,
  },
  save: {
    usage: 'IMAGE [IMAGE...]',
    summary: 'Write images to an archive that docker and OCI tools read',
    args: [1, many],
    flags: [
      text('-o, --output', 'string', 'File, instead of standard output'),
      platform('Only that one of images for several'),
    ],
    run: transfers('save'),
  },
  tag: {
    usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
    summary: 'Give an image another name',
    args: [2, 2],
    flags: [],
    run: tag,
  },
} satisfies Record<string, Subcommand>
