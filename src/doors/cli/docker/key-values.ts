/** Files of NAME=VALUE lines, and the environment that flags and files make together. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Shell } from '../framework/command.ts'
import type { Flags } from '../framework/flags.ts'

type FileShell = Pick<Shell, 'env' | 'cwd'>

const linesOf = (file: string, { cwd }: FileShell): string[] => {
  let content: Buffer
  try {
    content = readFileSync(resolve(cwd, file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Error(`open ${file}: no such file or directory`)
    throw error
  }
  const invalid = (why: string): Error => new Error(`invalid env file (${file}): ${why}`)
  return content
    .toString()
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.replace(/^[ \t]+/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const name = line.split('=', 1)[0]!
      if (name === '') throw invalid(`no variable name on line '${line}'`)
      if (/[ \t]/.test(line.includes('=') ? name : name.trim()))
        throw invalid(`variable '${name}' contains whitespaces`)
      return line.includes('=') ? line : name.trim()
    })
}

/** As they stand. */
export const keyValueLines = (files: readonly string[], shell: FileShell): string[] =>
  files.flatMap((file) => linesOf(file, shell))

/**
 * --env-file, then --env, so that the flag wins. A name alone has the value it has here; where it has none, a flag takes it
 * away from what the image says, and a file says nothing.
 */
export const environment = (flags: Flags, shell: FileShell): string[] => {
  const here = (line: string): string | undefined => {
    if (line.includes('=')) return line
    const value = shell.env[line]
    return value === undefined ? undefined : `${line}=${value}`
  }
  const fromFiles = keyValueLines((flags['env-file'] as string[] | undefined) ?? [], shell).flatMap(
    (line) => here(line) ?? [],
  )
  return [...fromFiles, ...((flags.env as string[] | undefined) ?? []).map((line) => here(line) ?? line)]
}
