/** Pulls, pushes and loads as docker shows them: a line a layer, drawn anew on a terminal, said once elsewhere. */
import type { Writable } from 'node:stream'
import type { EngineLine } from '../../../clients/engine/index.ts'
import { humanSize } from '../docker/units.ts'

export interface TransferDisplay {
  show(line: EngineLine): void
}

export const createTransferDisplay = (out: Writable & { isTTY?: boolean; columns?: number }): TransferDisplay => {
  if (out.isTTY !== true)
    return {
      show(line) {
        for (const text of said(line)) out.write(`${text}\n`)
      },
    }
  const rows = new Map<string, number>()
  return {
    show(line) {
      if (line.id === undefined) {
        rows.clear() // a sentence ends the block: layers said after it stand below
        for (const text of said(line)) out.write(`${text}\n`)
        return
      }
      const width = out.columns || 80
      const text = `${line.id}: ${line.status ?? ''}${bar(line, width)}`.slice(0, width - 1)
      const row = rows.get(line.id)
      if (row === undefined) {
        rows.set(line.id, rows.size)
        out.write(`${text}\n`)
        return
      }
      const up = rows.size - row
      out.write(`\x1b[${up}A\r\x1b[2K${text}\r\x1b[${up}B`)
    },
  }
}

/** What is worth a line of its own where nothing can be drawn over. */
const said = ({ id, status, stream, progressDetail }: EngineLine): string[] => {
  if (stream !== undefined) return [stream.trimEnd()]
  if (status === undefined || progressDetail?.current !== undefined) return []
  return [id === undefined ? status : `${id}: ${status}`]
}

const bar = ({ progressDetail }: EngineLine, width: number): string => {
  const { current, total } = progressDetail ?? {}
  if (current === undefined) return ''
  if (total === undefined || total <= 0) return ` ${humanSize(current)}`
  const numbers = ` ${humanSize(Math.min(current, total))}/${humanSize(total)}`
  const length = Math.min(50, width - 70 - numbers.length + 20)
  if (length < 10) return numbers
  const done = Math.min(length, Math.floor((current / total) * length))
  return ` [${'='.repeat(Math.max(0, done - 1))}${done > 0 ? '>' : ''}${' '.repeat(length - done)}]${numbers}`
}
