/** How a build is remembered that was not asked for in BuildKit's words: as a client of BuildKit would have asked. */
import { randomBytes } from 'node:crypto'
import { relative } from 'node:path'
import type { BuildOutput, BuildRequest, BuildResult, ExportResponse } from '../types.ts'

/** As buildx makes them: 25 letters and digits. */
const newRef = (): string =>
  BigInt(`0x${randomBytes(16).toString('hex')}`)
    .toString(36)
    .padStart(25, '0')
    .slice(-25)

/** The file by its name in the context where it is there. */
const fileOf = (given: BuildRequest['dockerfile'], place: string | undefined): string | undefined => {
  if (given === undefined) return 'Dockerfile'
  if (!('path' in given)) return undefined
  const inside = place === undefined ? '..' : relative(place, given.path)
  return inside.startsWith('..') ? given.path : inside
}

const placeOf = (context: BuildRequest['context']): string | undefined =>
  'directory' in context ? context.directory : 'git' in context ? context.git : undefined

/** Nothing secret is in it. */
export const recordOf = (
  request: BuildRequest,
  outputs: readonly Pick<BuildOutput, 'type' | 'attrs'>[],
): Exclude<NonNullable<BuildRequest['record']>, 'none'> => {
  const { context, dockerfile, target, args, labels, attest = {}, platform, noCache, pull, network } = request
  const { platforms = platform === undefined ? [] : [platform], noCacheFilter = [] } = request
  const place = placeOf(context)
  const prefixed = (prefix: string, values: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(values).map(([key, value]) => [prefix + key, value])
  const attrs: [string, string | undefined][] = [
    ['context', 'url' in context ? context.url : place],
    ['filename', fileOf(dockerfile, 'directory' in context ? place : undefined)],
    ['target', target],
    ['platform', platforms.join(',') || undefined],
    ['no-cache', noCache ? '' : noCacheFilter.join(',') || undefined],
    ['image-resolve-mode', pull ? 'pull' : undefined],
    ['force-network-mode', network],
    ...prefixed('build-arg:', args),
    ...prefixed('label:', labels),
    ...prefixed('attest:', attest),
  ]
  return {
    ref: newRef(),
    attrs: Object.fromEntries(attrs.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))),
    exporters: outputs.map(({ type, attrs: given }) => ({ type, attrs: { ...given } })),
  }
}

/** Of a build for the images here, in the words of BuildKit's exporter. */
export const resultOf = ({ tags }: Pick<BuildRequest, 'tags'>, { image }: BuildResult): ExportResponse => ({
  'containerimage.digest': image.id,
  'containerimage.config.digest': image.id,
  ...(tags.length > 0 ? { 'image.name': tags.join(',') } : {}),
})
