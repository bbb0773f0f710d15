/** `image ls --tree`: a row for each image, its names above one another. The columns are docker's. */
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

interface Column {
  title: string
  width: number
  align: 'left' | 'right' | 'center'
  value(image: ListedImage): string
}
const columns: readonly Column[] = [
  { title: 'ID', width: 12, align: 'left', value: ({ Id }) => shortId(Id) },
  { title: 'DISK USAGE', width: 10, align: 'right', value: ({ Size }) => humanSize(Size, 3) },
  // Of archives as a registry has them; layers are kept unpacked.
  { title: 'CONTENT SIZE', width: 12, align: 'right', value: () => humanSize(0, 3) },
  { title: 'EXTRA', width: 5, align: 'center', value: ({ Containers }) => (Containers > 0 ? 'U' : '') },
]
const gap = '   '
const narrowestName = 12

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
    .map((image) => ({ image, names: image.RepoTags?.length ? image.RepoTags.toSorted() : all ? ['<untagged>'] : [] }))
    .filter(({ names }) => names.length > 0)
    .sort((a, b) => b.image.Created - a.image.Created)
  const { shown, nameWidth } = fitting(
    Math.max(width, 20),
    Math.max('IMAGE'.length, ...rows.flatMap(({ names }) => names.map((name) => name.length))),
  )
  const line = (name: string, cells: readonly string[]): string =>
    [cut(name, nameWidth).padEnd(nameWidth), ...cells.map((cell, i) => aligned(cell, shown[i]!))].join(gap)
  const legend = 'Info ->  U In Use '
  return [
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.",
    legend.padStart(width),
    '',
    line(
      'IMAGE',
      shown.map(({ title }) => title),
    ),
    ...rows.flatMap(({ image, names }) => [
      ...names.slice(0, -1),
      line(
        names.at(-1)!,
        shown.map(({ value }) => value(image)),
      ),
    ]),
    '',
  ].join('\n')
}
