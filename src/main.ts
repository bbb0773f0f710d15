/** The entry: a daemon, or one command of the command line. The only place that reads the process's globals. */
import type { Shell } from './doors/cli/index.ts'

const [first, second] = process.argv.slice(2)

// What a command waits for (children, locks) does not always hold the process by itself.
setInterval(() => {}, 2 ** 30)

if (first === 'daemon' && second === 'run') {
  const { runDaemon } = await import('./daemon.ts')
  const { restartOnceCompiled } = await import('./sys/daemonize.ts')
  restartOnceCompiled(process.env)
  process.exit(await runDaemon(process.env)) // clients that never hang up must not keep it
} else {
  const { runCli } = await import('./doors/cli/index.ts')
  const stop = new AbortController()
  const again = new AbortController()
  let caught: { names: readonly string[]; handler: (signal: string) => void } | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (caught?.names.includes(signal)) caught.handler(signal)
    else (stop.signal.aborted ? again : stop).abort()
  }
  const catchSignals: Shell['catchSignals'] = (names, handler) => {
    caught = { names, handler }
    const others = names.filter((name) => name !== 'SIGINT' && name !== 'SIGTERM')
    for (const name of others) process.on(name, onSignal)
    return () => {
      caught = undefined
      for (const name of others) process.off(name, onSignal)
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // A reader that went away (slipway logs | head) ends us quietly.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const code = await runCli(process.argv.slice(2), {
    // Made when it is first asked for: most commands read nothing.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    signal: stop.signal,
    again: again.signal,
    catchSignals,
    reset: async () => (await import('./reset.ts')).resetInstance(process.env),
    startDaemon: async (log) => (await import('./sys/linux/index.ts')).spawnDaemon(process.env, log),
  })
  // What is still open (keep-alive sockets, an idle stdin) must not hold the command back.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
