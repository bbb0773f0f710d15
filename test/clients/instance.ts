/** A daemon of its own for a test file: real, with an empty home, and gone without a trace afterwards. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const slipway = fileURLToPath(new URL('../../slipway', import.meta.url))

export interface TestInstance {
  home: string
  dockerSocket: string
  kubeSocket: string
  /** For clients: DOCKER_HOST, KUBECONFIG and configuration directories of their own. */
  env: NodeJS.ProcessEnv
  /** Runs the slipway command line on this instance; its standard output. */
  slipway(...args: string[]): string
  /** Takes the daemon and everything of it away. */
  stop(): void
}

/** `within` goes in front of every call of the slipway command, like "nsenter --net=FILE". */
export const startInstance = (within: readonly string[] = []): TestInstance => {
  if (process.getuid?.() !== 0) throw new Error('these tests start a daemon: run them as root')
  const home = mkdtempSync(join(tmpdir(), 'slipway-test-'))
  const dockerSocket = join(home, 'run', 'docker.sock')
  const env = {
    ...process.env,
    SLIPWAY_HOME: home,
    DOCKER_HOST: `unix://${dockerSocket}`,
    DOCKER_CONFIG: join(home, 'docker-config'),
    DOCKER_CLI_HINTS: 'false',
    KUBECONFIG: join(home, 'lib', 'kubeconfig'),
  }
  const [program, ...words] = [...within, slipway]
  const run = (...args: string[]): string =>
    execFileSync(program!, [...words, ...args], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    })
  let stopped = false
  const stop = (): void => {
    if (stopped) return
    stopped = true
    process.off('exit', stop)
    run('system', 'reset', '--yes')
    rmSync(home, { recursive: true, force: true })
  }
  process.once('exit', stop)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  try {
    run('daemon', 'start')
  } catch (error) {
    stop()
    throw error
  }
  return { home, dockerSocket, kubeSocket: join(home, 'run', 'kube.sock'), env, slipway: run, stop }
}
