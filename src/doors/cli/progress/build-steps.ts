/** The steps of a build that run just now, with the last lines each has said: what a terminal shows while it works. */
import type { BuildProgress } from '../../../build/types.ts'

const logLines = 3
const shownSteps = 4

interface Step {
  name: string
  since: number
  log: string[]
  rest: string
}

interface BuildSteps {
  event(event: BuildProgress): void
  end(): void
}

/** Calls `show` with the lines on every change; `end` clears them. */
export const buildSteps = (show: (lines: () => string[]) => void): BuildSteps => {
  const names = new Map<string, string>()
  const running = new Map<string, Step>()
  const lines = (): string[] =>
    [...running.values()]
      .slice(-shownSteps)
      .flatMap((step) => [
        `=> ${step.name}  ${((Date.now() - step.since) / 1000).toFixed(1)}s`,
        ...step.log.map((line) => `   # ${line}`),
      ])
  const log = (step: Step, data: Buffer): void => {
    const all = (step.rest + data.toString()).split('\n')
    step.rest = all.pop()!
    step.log = [...step.log, ...all.map((l) => l.replace(/^.*\r(?=.)/, '').trimEnd()).filter(Boolean)].slice(-logLines)
  }
  return {
    event(event) {
      if (event.type === 'vertex') names.set(event.id, event.name)
      else if (event.type === 'started')
        running.set(event.id, { name: names.get(event.id) ?? event.id, since: Date.now(), log: [], rest: '' })
      else if (event.type === 'done') running.delete(event.id)
      else if (event.type === 'log') {
        const step = running.get(event.id)
        if (step) log(step, event.data)
      } else return
      show(lines)
    },
    end() {
      running.clear()
      show(() => [])
    },
  }
}
