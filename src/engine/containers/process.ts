import { posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { ImageProcessConfig } from '../../spec/oci/index.ts'
import type { ContainerSpec } from '../types.ts'

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const keyOf = (entry: string): string => entry.split('=', 1)[0]!

/**
 * `over` wins over `base`. "KEY" without '=' takes a variable away, and stays: it may be one that is added when the program
 * runs. Order: as first named.
 */
export const mergeEnv = (base: readonly string[], over: readonly string[]): string[] => [
  ...new Map([...base, ...over].map((entry) => [keyOf(entry), entry])).values(),
]

/** Where programs are looked for. */
const pathIn = (env: readonly string[]): string =>
  (env.find((entry) => entry.startsWith('PATH=')) ?? defaultPath).slice('PATH='.length)

/** Paths at which a program is looked for. */
export const candidatesFor = (program: string, env: readonly string[], cwd: string): string[] =>
  program.includes('/')
    ? [posix.resolve(cwd, program)]
    : pathIn(env)
        .split(':')
        .map((dir) => posix.resolve(cwd, dir, program))

/** `--entrypoint ''`. */
export const isNone = (entrypoint: readonly string[] | undefined): boolean =>
  entrypoint?.length === 1 && entrypoint[0] === ''

/**
 * Entrypoint and command as docker combines them: a given entrypoint drops the image's command, an empty one only where it is
 * [''], and an empty command is none.
 */
export const commandLine = (spec: Pick<ContainerSpec, 'entrypoint' | 'cmd'>, image: ImageProcessConfig): string[] => {
  const entrypoint = isNone(spec.entrypoint) ? [] : (spec.entrypoint ?? image.Entrypoint ?? [])
  const cmd = spec.cmd?.length ? spec.cmd : spec.entrypoint?.length ? [] : (image.Cmd ?? [])
  const args = [...entrypoint, ...cmd]
  if (args.length === 0)
    throw new SlipwayError('bad-request', 'no command specified', {
      hint: 'The image names no command: give one.',
    })
  return args
}

/** The environment on record: the caller's, what the image adds to it, and a PATH unless it is to have none. */
export const environment = (spec: Pick<ContainerSpec, 'env'>, image: ImageProcessConfig): string[] => {
  const given = new Set(spec.env.map(keyOf))
  const merged = [...spec.env, ...(image.Env ?? []).filter((entry) => !given.has(keyOf(entry)))]
  return merged.some((entry) => keyOf(entry) === 'PATH') ? merged : [defaultPath, ...merged]
}

/**
 * What a program gets: HOSTNAME and TERM with a terminal are added, the record's own win. HOME comes from the passwd file
 * where it is not set, or empty.
 */
export const runtimeEnv = (
  env: readonly string[],
  more: { hostname: string | undefined; tty: boolean; home: string },
): string[] => {
  const path = `PATH=${pathIn(env)}`
  const added = [
    path,
    ...(more.hostname === undefined ? [] : [`HOSTNAME=${more.hostname}`]),
    ...(more.tty ? ['TERM=xterm'] : []),
  ]
  const merged = mergeEnv(added, env).filter((entry) => entry.includes('=') && entry !== 'HOME=')
  return merged.some((entry) => entry.startsWith('HOME=')) ? merged : [...merged, `HOME=${more.home}`]
}
