/** A Dockerfile's instructions in order, each with the vertices it has in the graph that is solved. */
import type { Dockerfile } from '../dockerfile/parser.ts'
import type { BuildOutline } from '../types.ts'
import type { Rootfs, Source, Vertex } from './graph.ts'

/** Every vertex below the roots. */
const verticesOf = (roots: readonly Rootfs[]): Vertex[] => {
  const seen = new Set<Source>()
  const found: Vertex[] = []
  const visit = (at: Source): void => {
    if (seen.has(at) || at.kind === 'scratch' || at.kind === 'local') return
    seen.add(at)
    found.push(at.vertex)
    if (at.kind === 'image') return
    visit(at.input)
    if (at.kind === 'merge') visit(at.layer)
    else for (const source of at.sources) if (source) visit(source)
  }
  for (const root of roots) visit(root)
  return found
}

export const outlineOf = ({ lines, source }: Dockerfile, roots: readonly Rootfs[]): BuildOutline['steps'] => {
  const byLine = new Map<number, string[]>()
  for (const { id, at } of verticesOf(roots)) {
    if (at?.line === undefined || at.file !== source.file) continue
    byLine.set(at.line, [...(byLine.get(at.line) ?? []), id])
  }
  return lines.statements.map(({ name, flags, rest, range }) => ({
    instruction: name,
    text: [name, ...flags, rest].filter((word) => word !== '').join(' '),
    vertices: byLine.get(range.start) ?? [],
  }))
}
