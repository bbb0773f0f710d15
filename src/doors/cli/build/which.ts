/** `slipway build` is about a directory, or about services of a compose file. */
import { resolve } from 'node:path'
import { statSync } from '../../../lib/fs.ts'
import { type Flag, type Flags, parseFlags, toggle } from '../framework/flags.ts'

/** No service can be called so. */
const isPlace = (word: string): boolean => word === '-' || /^\.\.?$|[/:]/.test(word)

/** Flags that only make sense for one image. */
const ofImages = ['tag', 'output', 'target', 'platform', 'call', 'check', 'iidfile', 'metadata-file', 'load', 'secret']

/**
 * Is it about a directory? The argument says so, being a path, an address or '-'; or it is the name of a directory and a
 * flag is given that a compose file's services do not have.
 */
export const isImageBuild = (argv: readonly string[], flags: readonly Flag[], cwd: string): boolean => {
  let parsed: { flags: Flags; args: string[] }
  try {
    parsed = parseFlags(argv, [...flags, toggle('--help', '')], { interspersed: true, command: 'slipway build' })
  } catch {
    // A flag that images have no use for; but what is said of a wrong value belongs to the build it is about.
    return (
      argv.some((word) => ofImages.some((name) => word === `--${name}` || word.startsWith(`--${name}=`))) ||
      argv.includes('-t')
    )
  }
  const [place, ...others] = parsed.args
  if (place === undefined || others.length > 0)
    return place === undefined && ofImages.some((name) => parsed.flags[name] !== undefined)
  if (isPlace(place)) return true
  const directory = statSync(resolve(cwd, place), { throwIfNoEntry: false })?.isDirectory() === true
  return directory && ofImages.some((name) => parsed.flags[name] !== undefined)
}
