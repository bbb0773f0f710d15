/** `inspect`: everything about things as a list of JSON, or each by a Go template. */
import { Absent, type GoMap, TemplateError, type Value } from '../../../lib/go-template/index.ts'
import { SlipwayError } from '../../../errors.ts'
import { err, out } from '../framework/command.ts'
import type { Call } from '../framework/subcommands.ts'
import { fill, readable } from './format.ts'

/** Fields that the API leaves out where they are empty, by the object they are in. They read as their zero values. */
const optional: Record<string, Record<string, '' | 0 | null>> = {
  '': { SizeRw: null, SizeRootFs: null, Comment: '', GraphDriver: null, Status: null, UsageData: null, Options: null },
  State: { Health: null },
  Config: {
    Healthcheck: null,
    Shell: null,
    StopSignal: '',
    StopTimeout: null,
    ExposedPorts: null,
    Volumes: null,
    MacAddress: '',
    NetworkDisabled: null,
  },
  HostConfig: {
    Init: null,
    Mounts: null,
    Sysctls: null,
    Tmpfs: null,
    StorageOpt: null,
    Annotations: null,
    Runtime: '',
  },
}

const withOptional = (value: unknown): Value => {
  const object = value as GoMap
  const complete = (at: GoMap, name: string): GoMap => ({
    ...Object.fromEntries(Object.entries(optional[name] ?? {}).map(([key, zero]) => [key, new Absent(zero)])),
    ...at,
  })
  const whole = complete(object, '')
  for (const name of ['State', 'Config', 'HostConfig'])
    if (typeof whole[name] === 'object' && whole[name] !== null) whole[name] = complete(whole[name] as GoMap, name)
  return whole
}

/**
 * `read` gives an object's JSON. What is missing, and what a template does not fit, is told after the rest. `type`: Go's name
 * of what `read` gives, where docker's client knows no other fields than those of it.
 */
export const inspect = async (
  { shell, args, flags }: Pick<Call, 'shell' | 'args' | 'flags'>,
  read: (name: string) => Promise<unknown>,
  type?: string,
): Promise<number> => {
  const format = (flags.format as string | undefined) ?? ''
  const found: unknown[] = []
  const failed: string[] = []
  const templated = format !== '' && format !== 'json'
  // A template that cannot be read is an error of its own, whatever there is to show.
  if (templated) readable(format)
  for (const name of args)
    try {
      const object = await read(name)
      found.push(templated ? filled(format, object, type) : object)
    } catch (error) {
      if (error instanceof TemplateError) failed.push(`template parsing error: ${error.message}`)
      else if (!(error instanceof SlipwayError) || shell.signal.aborted) throw error
      else failed.push(error.message)
    }
  if (!templated) out(shell, JSON.stringify(found, undefined, format === '' ? 4 : undefined))
  else out(shell, found.join('\n'))
  for (const message of failed) err(shell, message)
  return failed.length > 0 ? 1 : 0
}

const filled = (format: string, object: unknown, type: string | undefined): string => {
  try {
    return fill(format, withOptional(object), 'error')
  } catch (error) {
    if (!(error instanceof TemplateError) || type === undefined) throw error
    const known = error.message.replace(/map has no entry for key "(\w+)"$/, `can't evaluate field $1 in type ${type}`)
    throw new TemplateError(known)
  }
}
