import type { Mount } from '../../sys/sys.ts'

/** Directories of a snapshot, as a mount needs them. */
interface Layer {
  fs: string
  work: string
}

// What changes with a kernel's defaults would change what an upper directory means: a rename must copy, metadata too.
const fixed = ['index=off', 'redirect_dir=off', 'metacopy=off', 'xino=off']

/** Commas and colons separate overlay options and layers. */
const escaped = (path: string): string => path.replace(/[\\:,]/g, '\\$&')

const lowerdir = (lowers: readonly string[]): string => `lowerdir=${lowers.map(escaped).join(':')}`

/** The writable mount of `own` on `lowers` (top first); a bind of the directory itself where there is nothing below. */
export const writableMount = (own: Layer, lowers: readonly string[]): Mount =>
  lowers.length === 0
    ? { type: 'bind', source: own.fs, target: '', options: ['rbind', 'rw'] }
    : {
        type: 'overlay',
        source: 'overlay',
        target: '',
        options: [lowerdir(lowers), `upperdir=${escaped(own.fs)}`, `workdir=${escaped(own.work)}`, ...fixed],
      }

/** The read-only mount of a stack of layers, top first. */
export const readOnlyMount = (layers: readonly string[]): Mount =>
  layers.length === 1
    ? { type: 'bind', source: layers[0]!, target: '', options: ['rbind', 'ro'] }
    : { type: 'overlay', source: 'overlay', target: '', options: [lowerdir(layers), ...fixed, 'ro'] }
