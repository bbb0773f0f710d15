/** A .dockerignore file: comments only in column 0, blanks around a pattern do not count, `!` makes an exception. */
import { posix } from 'node:path'

export const parseDockerignore = (text: string): string[] =>
  text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const exception = line.startsWith('!')
      const pattern = exception ? line.slice(1).trim() : line
      if (pattern === '') return line
      // Relative to the root of the context, whatever it is written like.
      const cleaned = posix.normalize(pattern).replace(/(.)\/$/, '$1')
      const relative = cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned
      return exception ? `!${relative}` : relative
    })
