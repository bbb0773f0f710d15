/** --progress=rawjson: BuildKit's SolveStatus, a document a line. */
import { createHash } from 'node:crypto'
import type { BuildProgress } from '../../../build/types.ts'

interface Vertex {
  digest: string
  name: string
  started?: string
  completed?: string
  cached?: boolean
  error?: string
}

const digestOf = (id: string): string => `sha256:${createHash('sha256').update(id).digest('hex')}`
const iso = (ms: number): string => new Date(ms).toISOString()

/** Each event as lines, '' for none. Clients keep the last of a vertex, so each has all that is known. */
export const rawJson = (now: () => number): ((event: BuildProgress) => string) => {
  const vertices = new Map<string, Vertex>()
  const begun = new Map<string, string>()
  const vertex = (id: string, change: Partial<Vertex>): string => {
    const known = { ...(vertices.get(id) ?? { digest: digestOf(id), name: id }), ...change }
    vertices.set(id, known)
    return line({ vertexes: [known] })
  }
  const line = (status: object): string => `${JSON.stringify(status)}\n`
  return (event) => {
    switch (event.type) {
      case 'vertex':
        return vertex(event.id, { name: event.name })
      case 'started':
        return vertex(event.id, { started: iso(event.time) })
      case 'done': {
        const error = event.cancelled ? 'context canceled' : event.error
        return vertex(event.id, {
          ...{ completed: iso(event.time), cached: event.cached },
          ...(error !== undefined && { error }),
        })
      }
      case 'status': {
        const { id, name, current, total = 0 } = event
        const key = `${id} ${name}`
        const time = iso(now())
        if (!begun.has(key)) begun.set(key, time)
        const completed = total > 0 && current >= total ? { completed: time } : {}
        const common = { id: name, vertex: digestOf(id), total, current, timestamp: time, started: begun.get(key) }
        return line({ statuses: [{ ...common, ...completed }] })
      }
      case 'log': {
        const stream = event.stream === 'stderr' ? 2 : 1
        const data = event.data.toString('base64')
        return line({ logs: [{ vertex: digestOf(event.id), stream, data, timestamp: iso(now()) }] })
      }
      case 'warning': {
        const { rule, message, description, url, at, endLine } = event
        const first = at.line ?? 1
        const short = Buffer.from(`${rule}: ${message} (line ${first})`).toString('base64')
        const range = [{ start: { line: first }, end: { line: endLine } }]
        return line({
          warnings: [
            {
              level: 1,
              short,
              detail: [Buffer.from(description).toString('base64')],
              url,
              range,
              sourceInfo: { filename: at.file },
            },
          ],
        })
      }
      case 'notice':
        return line({ warnings: [{ level: 1, short: Buffer.from(event.message).toString('base64') }] })
      case 'outline':
        return ''
    }
  }
}
