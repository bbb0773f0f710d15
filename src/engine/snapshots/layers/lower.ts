import type { Stats } from 'node:fs'
import { lstatOrNone, namesIn } from '../../../lib/named-files.ts'
import { isWhiteout } from './files.ts'

/**
 * The merged view of the layers below, by path relative to their roots. Layers are asked component by component, so a
 * symlink in one of them is never followed. `isOpaque` tells whether a directory hides what is below it.
 */
export class LowerView {
  readonly #roots: string[]
  readonly #isOpaque: (path: string) => boolean
  #cache = new Map<string, string[]>()

  /** `roots`: top first. */
  constructor(roots: string[], isOpaque: (path: string) => boolean) {
    this.#roots = roots
    this.#isOpaque = isOpaque
    this.#cache.set('', roots)
  }

  /** What stands at the path, or undefined. */
  find(path: string): { stat: Stats; file: string } | undefined {
    for (const root of this.#layersOf(parentOf(path))) {
      const file = `${root}/${path}`
      const stat = lstatOrNone(file)
      if (stat) return isWhiteout(stat) ? undefined : { stat, file }
    }
    return undefined
  }

  /** Names in the merged directory, sorted. */
  names(path: string): string[] {
    const seen = new Map<string, boolean>()
    for (const root of this.#layersOf(path))
      for (const name of namesIn(`${root}/${path}`))
        if (!seen.has(name)) seen.set(name, !isWhiteout(lstatOrNone(`${root}/${path}/${name}`)!))
    return [...seen].flatMap(([name, there]) => (there ? [name] : [])).sort()
  }

  /** The layers whose directory `path` is part of the merged one. */
  #layersOf(path: string): string[] {
    const known = this.#cache.get(path)
    if (known) return known
    const layers: string[] = []
    for (const root of this.#layersOf(parentOf(path))) {
      const file = `${root}/${path}`
      const stat = lstatOrNone(file)
      if (!stat) continue
      if (!stat.isDirectory()) break
      layers.push(root)
      if (this.#roots.length > 1 && this.#isOpaque(file)) break
    }
    this.#cache.set(path, layers)
    return layers
  }
}

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))
export const baseOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
