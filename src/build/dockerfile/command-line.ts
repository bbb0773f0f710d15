import type { ImageProcessConfig } from '../../spec/oci/index.ts'
import { jsonArray } from './words.ts'

/** The two forms of RUN, CMD and ENTRYPOINT. What is no JSON array of strings is silently the shell form. */
export interface CommandLine {
  shell: boolean
  args: string[]
}

export const commandLine = (rest: string): CommandLine => {
  const args = jsonArray(rest)
  return args ? { shell: false, args } : { shell: true, args: rest === '' ? [] : [rest] }
}

const defaultShell = (os: string): string[] => (os === 'windows' ? ['cmd', '/S', '/C'] : ['/bin/sh', '-c'])

/** argv as it runs: with the image's SHELL in front of a shell form. */
export const argvOf = (
  line: CommandLine,
  { config, os }: { config: Pick<ImageProcessConfig, 'Shell'>; os: string },
): string[] =>
  line.shell ? [...(config.Shell?.length ? config.Shell : defaultShell(os)), line.args.join(' ')] : line.args

const controls: Record<string, string> = { '\x07': '\\a', '\x0b': '\\v' }

/** Go's %q of a list of strings: `["a" "b"]`. */
export const quoted = (list: readonly string[]): string => `[${list.map(quotedText).join(' ')}]`

const quotedText = (text: string): string =>
  JSON.stringify(text).replace(/\\\\|\\u00(..)|\x7f/g, (found, digits: string | undefined) => {
    if (found === '\\\\') return found
    return controls[String.fromCharCode(Number.parseInt(digits ?? '7f', 16))] ?? `\\x${digits ?? '7f'}`
  })

/** Go's %q of a number: that of the character of this number, between single quotes. */
export const quotedNumber = (value: number): string => {
  const text = quotedText(String.fromCodePoint(Math.min(value, 0x10ffff))).slice(1, -1)
  return `'${text === "'" ? "\\'" : text === '\\"' ? '"' : text}'`
}
