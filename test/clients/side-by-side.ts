/** One list of commands through docker's client and through `slipway docker`, and what differs. */
import { PassThrough, Readable } from 'node:stream'
import { runCli } from '../../src/doors/cli/index.ts'
import { collect, type Ran, type RunOptions } from './docker-kit.ts'

/** `slipway ARGS` in this process: starting a program for each of hundreds of commands would take the most time. */
export const slipwayHere = async (args: readonly string[], options: RunOptions): Promise<Ran> => {
  const begun = performance.now()
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const text = async (stream: PassThrough): Promise<string> => {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString()
  }
  const said = [text(stdout), text(stderr)]
  const never = new AbortController().signal
  let limit: NodeJS.Timeout | undefined
  const hangs = new Promise<never>((_, reject) => {
    limit = setTimeout(() => reject(new Error(`slipway ${args.join(' ')} hangs`)), options.timeoutMs ?? 20_000)
  })
  const ended = runCli(args, {
    stdin: Readable.from([Buffer.from(options.input ?? '')].filter((chunk) => chunk.length > 0)),
    stdout,
    stderr,
    env: options.env ?? process.env,
    cwd: options.cwd ?? process.cwd(),
    signal: never,
    again: never,
    startDaemon: () => Promise.reject(new Error('the daemon runs already')),
    reset: () => Promise.reject(new Error('not in a test')),
  })
  const code = await Promise.race([ended, hangs]).finally(() => clearTimeout(limit))
  stdout.end()
  stderr.end()
  const [out, err] = await Promise.all(said)
  return { code, stdout: out!, stderr: err!, took: performance.now() - begun }
}

/** What two runs cannot have in common: ids, times, ports that were free, the program's own name. */
const normal = (text: string, suffix: string): string => {
  const alike = common(text, suffix)
  // Columns are as wide as what is in them.
  return /<(?:age|time|id|port)>/.test(alike) ? alike.replace(/ {2,}/g, '  ') : alike
}
const common = (text: string, suffix: string): string =>
  text
    .replaceAll('slipway docker', 'docker')
    .replace(/^slipway: /gm, 'docker: ')
    .replaceAll(suffix, '@')
    // A slip of the pen in docker's text.
    .replace(/^SRun/m, 'See')
    .replace(/[0-9a-f]{64}/g, '<id>')
    .replace(/\b[0-9a-f]{12}\b/g, '<id>')
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?/g, '<time>')
    .replace(/(?:About an? |Less than a |\d+ )(?:second|minute|hour)s?/g, '<age>')
    .replace(/:(?:3\d|4\d|5\d|6\d)\d{3}\b/g, ':<port>')
    // Its logger's lines depend on what it happened to be doing.
    .replace(/^time="[^"]*" level=error .*\n/gm, '')

/** Lines that only one of the two has. */
const differing = (docker: string, slipway: string): string => {
  const [theirs, ours] = [docker.split('\n'), slipway.split('\n')]
  return [
    ...theirs.filter((line) => !ours.includes(line)).map((line) => `docker:  ${line}`),
    ...ours.filter((line) => !theirs.includes(line)).map((line) => `slipway: ${line}`),
  ].join('\n')
}

/**
 * Runs `args` by both. '@' in them is a suffix of each client's own, for names of things that the command makes or takes.
 * '': the same came of it; else what differs.
 */
export const compare = async (args: readonly string[], options: RunOptions): Promise<string> => {
  const as = (suffix: string): string[] => args.map((word) => word.replaceAll('@', suffix))
  const theirs = await collect('docker', as('-dk'), options)
  const ours = await slipwayHere(['docker', ...as('-sw')], options)
  const shown = ({ code, stdout, stderr }: Ran, suffix: string): string =>
    `exit code ${code}\n--- stdout\n${normal(stdout, suffix)}--- stderr\n${normal(stderr, suffix)}`
  const [a, b] = [shown(theirs, '-dk'), shown(ours, '-sw')]
  return a === b ? '' : differing(a, b) || `docker:\n${a}\nslipway:\n${b}`
}
