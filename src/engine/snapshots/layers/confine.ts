import { SlipwayError } from '../../../errors.ts'

/**
 * The path an archive names, relative to the root, '' for the root itself. A leading slash is dropped, as every reader
 * does; a path that climbs above the root is refused. Purely lexical: links are the unpacker's affair.
 */
export const confine = (path: string, what = 'path'): string => {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') {
      if (part.length > 255 && Buffer.byteLength(part) > 255)
        throw new SlipwayError('invalid', `invalid ${what} in layer: file name too long`)
      parts.push(part)
      continue
    }
    if (parts.pop() === undefined)
      throw new SlipwayError('invalid', `invalid ${what} in layer: "${path}" is outside of the root`)
  }
  return parts.join('/')
}
