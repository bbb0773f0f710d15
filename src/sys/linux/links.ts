import { readFileSync, writeFileSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import type { Links, Namespaces, RunOptions, RunResult } from '../sys.ts'
import { must, run } from './processes.ts'

/** A child forked while this thread is in a namespace starts in it: no nsenter needed. */
export type RunIn = (
  runner: typeof run,
  netns: string | undefined,
  argv: readonly string[],
  options?: RunOptions,
) => Promise<RunResult>

export const createRunIn =
  (namespaces: Namespaces): RunIn =>
  (runner, netns, argv, options) =>
    netns === undefined ? runner(argv, options) : namespaces.within(netns, () => runner(argv, options))

/** ip says "Command failed -:LINE" after the reason. */
const failingLine = (stderr: string, lines: readonly string[]): string | undefined => {
  const at = /Command failed -:(\d+)/.exec(stderr)?.[1]
  return at === undefined ? undefined : lines[Number(at) - 1]
}

export const createLinks = (namespaces: Namespaces, runIn: RunIn): Links => ({
  async batch(lines, options = {}) {
    if (lines.length === 0) return
    const argv = ['ip', ...(options.force ? ['-force'] : []), '-batch', '-']
    const result = await runIn(run, options.netns, argv, { input: `${lines.join('\n')}\n` })
    if (result.code === 0 || options.force) return
    const line = failingLine(result.stderr, lines)
    const reason = result.stderr.replace(/\s*Command failed -:\d+\s*/g, '').trim()
    throw new SlipwayError('internal', `ip ${line ?? lines.join('; ')}: ${reason || `exit code ${result.code}`}`, {
      details: { ...result, line },
    })
  },
  async query(args, options = {}) {
    const { stdout } = await runIn(must, options.netns, ['ip', '-json', ...args], { maxOutput: 64 << 20 })
    return stdout.trim() === '' ? [] : JSON.parse(stdout)
  },
  names(options = {}) {
    // Not /sys/class/net: that shows the namespace in which /sys was mounted.
    const read = (): string => readFileSync('/proc/thread-self/net/dev', 'utf8')
    const text = options.netns === undefined ? read() : namespaces.within(options.netns, read)
    return new Set(
      text
        .split('\n')
        .slice(2)
        .map((line) => line.trim().split(':')[0]!)
        .filter((name) => name !== ''),
    )
  },
  sysctl(key, value, options = {}) {
    const path = `/proc/sys/${key}`
    const write = (): void => {
      try {
        writeFileSync(path, value, { flag: 'r+' })
      } catch (error) {
        throw sysctlError(path, value, error as NodeJS.ErrnoException)
      }
    }
    if (options.netns === undefined) write()
    else namespaces.within(options.netns, write)
  },
})

const sysctlError = (path: string, value: string, error: NodeJS.ErrnoException): SlipwayError => {
  const name = path.slice('/proc/sys/'.length).replaceAll('/', '.')
  if (error.code === 'ENOENT') return new SlipwayError('not-found', `sysctl ${name} does not exist`, { cause: error })
  let now = ''
  try {
    now = ` (it is ${readFileSync(path, 'utf8').trim()})`
  } catch {
    // Write-only ones cannot be read: the message does without.
  }
  return new SlipwayError('invalid', `sysctl ${name}=${value}: ${error.code}${now}`, { cause: error })
}
