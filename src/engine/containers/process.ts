import { SlipwayError } from '../../errors.ts'
import type { ImageProcessConfig } from '../../spec/oci/index.ts'
import type { ContainerSpec } from '../types.ts'

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const keyOf = (entry: string): string => entry.split('=', 1)[0]!

/** `over` wins over `base`; "KEY" without '=' removes. Order: as first named. */
export const mergeEnv = (base: readonly string[], over: readonly string[]): string[] => {
  const merged = new Map(base.map((entry) => [keyOf(entry), entry]))
  for (const entry of over) {
    if (entry.includes('=')) merged.set(keyOf(entry), entry)
    else merged.delete(entry)
  }
  return [...merged.values()]
}

/** Entrypoint and command as docker combines them: a given entrypoint drops the image's command. */
export const commandLine = (spec: Pick<ContainerSpec, 'entrypoint' | 'cmd'>, image: ImageProcessConfig): string[] => {
  const given = spec.entrypoint?.length === 1 && spec.entrypoint[0] === '' ? [] : spec.entrypoint
  const entrypoint = given ?? image.Entrypoint ?? []
  const cmd = spec.cmd ?? (given === undefined ? (image.Cmd ?? []) : [])
  const args = [...entrypoint, ...cmd]
  if (args.length === 0)
    throw new SlipwayError('bad-request', 'no command specified', {
      hint: 'The image names no command: give one.',
    })
  return args
}

/** The environment on record: the image's and the caller's, with a PATH. */
export const environment = (spec: Pick<ContainerSpec, 'env'>, image: ImageProcessConfig): string[] => {
  const merged = mergeEnv(image.Env ?? [], spec.env)
  return merged.some((entry) => entry.startsWith('PATH=')) ? merged : [defaultPath, ...merged]
}

/** What is added when it runs: HOSTNAME, TERM with a terminal, HOME from the passwd file. The record's own values win. */
export const runtimeEnv = (
  env: readonly string[],
  { hostname, tty, home }: { hostname: string | undefined; tty: boolean; home: string },
): string[] => {
  const [path = defaultPath] = env.filter((entry) => entry.startsWith('PATH='))
  const first = [path, ...(hostname === undefined ? [] : [`HOSTNAME=${hostname}`]), ...(tty ? ['TERM=xterm'] : [])]
  const merged = mergeEnv(first, env)
  return merged.some((entry) => entry.startsWith('HOME=')) ? merged : [...merged, `HOME=${home}`]
}
