/** A build as BuildKit's clients draw it: a line a step with its time, what it transfers and says below while it runs. Pure. */
import { columnsOf, fitting } from '../../../lib/columns.ts'
import { humanSize } from '../docker/units.ts'
import type { BuildSteps, Step, Transfer } from './steps.ts'

export interface Screen {
  columns: number
  rows: number
  now: number
  begun: number
  /** Nothing will follow: all of it, however long. */
  finished: boolean
  color: boolean
}

const logLines = 6
const label = 'slipway'

const seconds = (ms: number): string => `${(Math.max(0, ms) / 1000).toFixed(1)}s`
/** Output of others must not move our cursor. */
const plain = (line: string): string =>
  line.replaceAll('\t', '        ').replace(/\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u001f\u007f-\u009f]/g, '')

/** `text` to the left, `right` at the right edge; what does not fit is cut. */
const spread = (text: string, right: string, columns: number): string => {
  const room = columns - right.length - 1
  const left = fitting(text, room)
  return `${left}${' '.repeat(Math.max(1, columns - columnsOf(left) - right.length))}${right}`
}

const colors = { blue: 34, red: 31, yellow: 33 }
const painted = (line: string, color: keyof typeof colors | undefined, wanted: boolean): string =>
  color === undefined || !wanted ? line : `\u001b[${colors[color]}m${line}\u001b[0m`

const amount = ({ current, total }: Transfer): string => {
  if (current === 0 && !total) return ''
  return total ? ` ${humanSize(current, 3)} / ${humanSize(total, 3)}` : ` ${humanSize(current, 3)}`
}

const stepLines = (step: Step, { columns, now, color }: Screen): string[] => {
  const { completed, cached, cancelled, error, name } = step
  const mark = cancelled ? 'CANCELED ' : error !== undefined ? 'ERROR ' : cached ? 'CACHED ' : ''
  const paint = cancelled ? 'yellow' : error !== undefined ? 'red' : completed === undefined ? undefined : 'blue'
  const time = seconds((completed ?? now) - step.started)
  return [
    painted(spread(` => ${mark}${plain(name)}`, time, columns), paint, color),
    ...[...step.transfers.values()].map((transfer) => {
      const took = seconds((transfer.completed ?? completed ?? now) - transfer.started)
      const ended = transfer.completed !== undefined || completed !== undefined
      const line = spread(` => => ${plain(transfer.name)}${amount(transfer)}`, took, columns)
      return painted(line, ended ? 'blue' : undefined, color)
    }),
  ]
}

const outputOf = (step: Step, { columns }: Screen): string[] =>
  step.completed !== undefined
    ? []
    : [...step.log, ...[step.output.stdout.rest, step.output.stderr.rest].filter((rest) => rest !== '')]
        .slice(-logLines)
        .map((line) => fitting(` => => # ${plain(line)}`, columns - 1))

/** The lines of the display. While it goes on, they fit the terminal: what runs is kept, then what ended last. */
export const screenOf = (build: BuildSteps, screen: Screen): string[] => {
  const { steps } = build
  const ended = steps.filter(({ completed }) => completed !== undefined).length
  const done = screen.finished ? ' FINISHED' : ''
  const head = `[+] Building ${seconds(screen.now - screen.begun)} (${ended}/${Math.max(steps.length, build.known)})${done}`
  const header = painted(spread(head, label, screen.columns), screen.finished ? 'blue' : undefined, screen.color)
  if (screen.finished) return [header, ...steps.flatMap((step) => stepLines(step, screen))]
  const room = Math.max(2, screen.rows - 2)
  const blocks = steps.map((step) => ({ step, lines: stepLines(step, screen), output: outputOf(step, screen) }))
  const total = (): number => blocks.reduce((sum, { lines, output }) => sum + lines.length + output.length, 0)
  const shrink = (which: (step: Step) => boolean, to: (block: (typeof blocks)[number]) => void): void => {
    for (const block of blocks) if (total() > room && which(block.step)) to(block)
  }
  const isDone = ({ completed }: Step): boolean => completed !== undefined
  // First the details of what is done, then what is done, then output, then details of what runs.
  shrink(isDone, (block) => void (block.lines = block.lines.slice(0, 1)))
  shrink(isDone, (block) => void (block.lines = []))
  shrink(
    () => true,
    (block) => void (block.output = block.output.slice(-1)),
  )
  shrink(
    () => true,
    (block) => {
      block.output = []
      block.lines = block.lines.slice(0, 1)
    },
  )
  const lines = blocks.flatMap(({ lines: own, output }) => [...own, ...output])
  return [header, ...lines.slice(-room)]
}
