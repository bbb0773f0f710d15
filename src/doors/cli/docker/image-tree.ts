/** `image ls --tree`: a row for each image, its names above one another. The columns are docker's. */
import { formatPlatform } from '../../../spec/oci/index.ts'
import { Exit } from '../framework/failure.ts'
import type { ListedImage } from './image-list.ts'
import { humanSize, shortId } from './units.ts'

const refused = [
  ['quiet', 'quiet'],
  ['no-trunc', 'no-trunc'],
  // Docker's own word for it.
  ['digests', 'show-digest'],
  ['format', 'format'],
] as const

export const checkTreeFlags = (flags: Readonly<Record<string, unknown>>): void => {
  for (const [name, shown] of refused) if (flags[name]) throw new Exit(1, `--${shown} is not yet supported with --tree`)
}

interface Shown {
  id: string
  disk: number
  /** Of archives as a registry has them. */
  content: number
  used: boolean
}
interface Column {
  title: string
  width: number
  align: 'left' | 'right' | 'center'
  value(shown: Shown): string
}
const columns: readonly Column[] = [
  { title: 'ID', width: 12, align: 'left', value: ({ id }) => shortId(id) },
  { title: 'DISK USAGE', width: 10, align: 'right', value: ({ disk }) => humanSize(disk, 3) },
  { title: 'CONTENT SIZE', width: 12, align: 'right', value: ({ content }) => humanSize(content, 3) },
  { title: 'EXTRA', width: 5, align: 'center', value: ({ used }) => (used ? 'U' : '') },
]
const childrenOf = ({ Manifests = [] }: ListedImage): (Shown & { platform: string })[] =>
  Manifests.flatMap(({ ID, Kind, Size, ImageData }) =>
    Kind === 'image' && ImageData
      ? [
          {
            ...{ id: ID, disk: Size.Total, content: Size.Content, used: ImageData.Containers.length > 0 },
            platform: formatPlatform(ImageData.Platform),
          },
        ]
      : [],
  )
const byLength = (names: readonly string[]): string[] => names.toSorted((a, b) => b.length - a.length)
const ownOf = ({ Id, Size, Containers, Manifests = [] }: ListedImage, children: readonly Shown[]): Shown => ({
  id: Id,
  disk: Size,
  // Attestations count, too.
  content: Manifests.reduce((bytes, manifest) => bytes + manifest.Size.Content, 0),
  used: Containers > 0 || children.some(({ used }) => used),
})
const gap = '   '
const narrowestName = 12
/** Before the last platform; docker measures its width in bytes. */
const branch = '└─ '

const aligned = (text: string, { width, align }: Pick<Column, 'width' | 'align'>): string => {
  if (align === 'left') return text.padEnd(width)
  if (align === 'right') return text.padStart(width)
  return text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width)
}
const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text)

/** Columns that leave the name enough of the width, and the width of the name. */
const fitting = (width: number, widest: number): { shown: Column[]; nameWidth: number } => {
  const shown: Column[] = []
  let left = width
  for (const column of columns) {
    if (left - column.width - gap.length < narrowestName) break
    left -= column.width + gap.length
    shown.push(column)
  }
  return { shown, nameWidth: Math.min(left, widest) }
}

/** `width`: columns of the terminal. Images without a name are shown with `all` only. */
export const imageTree = (images: readonly ListedImage[], { width, all }: { width: number; all: boolean }): string => {
  const rows = images
    .map((image) => {
      const children = childrenOf(image)
      const names = image.RepoTags?.length ? byLength(image.RepoTags) : all ? ['<untagged>'] : []
      return { image, names, own: ownOf(image, children), children }
    })
    .filter(({ names }) => names.length > 0)
    .sort((a, b) => b.image.Created - a.image.Created)
  const { shown, nameWidth } = fitting(
    Math.max(width, 20),
    Math.max(
      'IMAGE'.length,
      ...rows.flatMap(({ names }) => names.map((name) => name.length)),
      ...rows.flatMap(({ children }) => children.map(({ platform }) => platform.length + Buffer.byteLength(branch))),
    ),
  )
  const line = (name: string, cells: readonly string[]): string =>
    [cut(name, nameWidth).padEnd(nameWidth), ...cells.map((cell, i) => aligned(cell, shown[i]!))].join(gap)
  const cells = (one: Shown): string[] => shown.map(({ value }) => value(one))
  const spaced = rows.some(({ children }) => children.length > 0)
  const legend = 'Info ->  U In Use '
  return [
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.",
    legend.padStart(width),
    '',
    line(
      'IMAGE',
      shown.map(({ title }) => title),
    ),
    ...rows.flatMap(({ own, names, children }) => [
      ...names.slice(0, -1),
      line(names.at(-1)!, cells(own)),
      ...children.map((child, i) => line((i === children.length - 1 ? branch : '├─ ') + child.platform, cells(child))),
      ...(spaced ? [''] : []),
    ]),
    '',
  ].join('\n')
}
