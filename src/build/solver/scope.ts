/** Arguments that exist before the first stage: the platform's, and ARGs above FROM (Dockerfile reference, "Scope"). */
import { formatPlatform, type Platform } from '../../spec/oci/index.ts'
import { expand } from '../dockerfile/expand.ts'
import type { Dockerfile } from '../dockerfile/parser.ts'
import { parsing } from '../dockerfile/source.ts'

export interface GlobalScope {
  /** With --build-arg values. */
  values: Map<string, string>
  /** With the defaults of the file alone. */
  defaults: Map<string, string>
  /** ARGs of the file that have no value at all. */
  declared: Set<string>
}

export const platformArgs = (build: Platform, target: Platform, stage: string | undefined): [string, string][] => [
  ['BUILDPLATFORM', formatPlatform(build)],
  ['BUILDOS', build.os],
  ['BUILDARCH', build.architecture],
  ['BUILDVARIANT', build.variant ?? ''],
  ['TARGETPLATFORM', formatPlatform(target)],
  ['TARGETOS', target.os],
  ['TARGETARCH', target.architecture],
  ['TARGETVARIANT', target.variant ?? ''],
  ['TARGETSTAGE', stage ?? 'default'],
]

export const globalScope = (
  dockerfile: Dockerfile,
  platform: [string, string][],
  buildArgs: Readonly<Record<string, string>>,
): GlobalScope => {
  const values = new Map(platform.map(([key, value]) => [key, buildArgs[key] ?? value]))
  const defaults = new Map(platform)
  const declared = new Set<string>()
  for (const { declarations, statement } of dockerfile.globals) {
    parsing(dockerfile.source, statement.range, () => {
      const known = { escape: statement.escape }
      for (const { key: written, value } of declarations) {
        const key = expand(written, (name) => values.get(name), known).text
        declared.add(key)
        const given = buildArgs[key]
        if (given !== undefined) values.set(key, given)
        else if (value !== undefined) values.set(key, expand(value, (name) => values.get(name), known).text)
        if (value !== undefined) defaults.set(key, expand(value, (name) => defaults.get(name), known).text)
      }
    })
  }
  return { values, defaults, declared }
}
