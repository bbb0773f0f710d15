/** Arguments that exist before the first stage: the platform's, and ARGs above FROM (Dockerfile reference, "Scope"). */
import { formatPlatform, type Platform } from '../../spec/oci/index.ts'
import { Allowance, expand } from '../dockerfile/expand.ts'
import type { Dockerfile } from '../dockerfile/parser.ts'
import { parsing, SyntaxFault } from '../dockerfile/source.ts'

export interface GlobalScope {
  /** With --build-arg values. */
  values: Map<string, string>
  /** With the defaults of the file alone. */
  defaults: Map<string, string>
  /** ARGs of the file that have no value at all. */
  declared: Set<string>
  /** Of all that is expanded with these and with what stages add to them. */
  allowance: Allowance
}

/** The value of TARGETSTAGE: the target, or the name of the stage that is built without one. */
export const targetStage = (dockerfile: Dockerfile, target: string | undefined): string | undefined =>
  target || dockerfile.stages.at(-1)?.from.name

export const platformArgs = (build: Platform, target: Platform, stage: string | undefined): [string, string][] => [
  ['BUILDPLATFORM', formatPlatform(build)],
  ['BUILDOS', build.os],
  ['BUILDOSVERSION', ''],
  ['BUILDARCH', build.architecture],
  ['BUILDVARIANT', build.variant ?? ''],
  ['TARGETPLATFORM', formatPlatform(target)],
  ['TARGETOS', target.os],
  ['TARGETOSVERSION', ''],
  ['TARGETARCH', target.architecture],
  ['TARGETVARIANT', target.variant ?? ''],
  ['TARGETSTAGE', stage ?? 'default'],
]

/** A default that needs a variable with a value, `${v:?}`, is none as long as nobody gives one. */
const setDefault = (
  { defaults, allowance }: Pick<GlobalScope, 'defaults' | 'allowance'>,
  key: string,
  value: string,
  options: { escape: string },
): void => {
  try {
    defaults.set(key, expand(value, allowance.lookup(defaults), options).text)
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
  }
}

export const globalScope = (
  dockerfile: Dockerfile,
  platform: [string, string][],
  buildArgs: Readonly<Record<string, string>>,
): GlobalScope => {
  const values = new Map(platform.map(([key, value]) => [key, buildArgs[key] ?? value]))
  const defaults = new Map(platform)
  const declared = new Set<string>()
  const allowance = new Allowance()
  const lookup = allowance.lookup(values)
  for (const { declarations, statement } of dockerfile.globals) {
    parsing(dockerfile.source, statement.range, () => {
      const known = { escape: statement.escape }
      for (const { key: written, value } of declarations) {
        const key = expand(written, lookup, known).text
        declared.add(key)
        const given = buildArgs[key]
        if (given !== undefined) values.set(key, given)
        else if (value !== undefined) values.set(key, expand(value, lookup, known).text)
        if (value !== undefined) setDefault({ defaults, allowance }, key, value, known)
      }
    })
  }
  return { values, defaults, declared, allowance }
}
