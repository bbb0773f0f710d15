import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Env, must, run } from './program.ts'

export const repository = join(import.meta.dirname, '..')
export const launcher = join(repository, 'slipway')

/** An instance of slipway in a directory of its own, driven from outside. */
export class Instance {
  readonly home = mkdtempSync(join(tmpdir(), 'slipway-bench-'))
  readonly host = `unix://${this.home}/run/docker.sock`
  readonly env: Env
  readonly #enter: readonly string[]

  /** `enter` goes in front of every call of the slipway command. */
  constructor(env: Env, enter: readonly string[] = []) {
    this.#enter = enter
    this.env = { ...env, SLIPWAY_HOME: this.home, KUBECONFIG: `${this.home}/lib/kubeconfig`, NO_COLOR: '1' }
  }

  slipway(...args: string[]) {
    return must([...this.#enter, launcher, '--progress', 'plain', ...args], this.env, { limitMs: 600_000 })
  }

  kubectl(input: string | undefined, ...args: string[]) {
    return must(['kubectl', ...args], this.env, input === undefined ? {} : { input: Buffer.from(input) })
  }

  pid(): number {
    return (JSON.parse(readFileSync(join(this.home, 'run/daemon.json'), 'utf8')) as { pid: number }).pid
  }

  async remove(): Promise<void> {
    const { code, stderr } = await run([...this.#enter, launcher, 'system', 'reset', '--yes'], this.env)
    rmSync(this.home, { recursive: true, force: true })
    if (code !== 0) throw new Error(`system reset failed: ${stderr}`)
  }
}

/** Resident memory of a process in MB (10^6 bytes). */
export const residentMB = (pid: number): number =>
  (Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024) / 1e6

/** Processor time of a process itself, in ms, without its children. */
export const processorMs = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  return fields.slice(11, 13).reduce((sum, ticks) => sum + ticks, 0) * 10 // USER_HZ is 100
}
