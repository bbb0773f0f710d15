import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import type { OciConfig, OciSeccomp } from '../../spec/oci/index.ts'
import type { OciRuntime } from '../../sys/sys.ts'

/** crun then loads this program instead of compiling the profile, which takes it longer than all the rest of a start. */
const annotation = 'run.oci.seccomp_bpf_data'
/** A program is an array of 8-byte instructions, at most 4096 (BPF_MAXINSNS). */
const instruction = 8
const largest = 4096 * instruction

/**
 * Compiled seccomp profiles. crun leaves what it has compiled in its state directory: kept from the first container with
 * a profile, it serves all later ones. The profile itself stays in config.json, for whoever reads it.
 */
export class SeccompCache {
  readonly #dir: string
  readonly #programs = new Map<string, string>()

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Compiled by another version, or for another kernel, a program may differ. */
  #key(seccomp: OciSeccomp, runtime: OciRuntime): string {
    return createHash('sha256')
      .update(`${runtime.version}\n${release()}\n${JSON.stringify(seccomp)}`)
      .digest('hex')
  }

  #find(key: string): string | undefined {
    const known = this.#programs.get(key)
    if (known !== undefined) return known
    const file = join(this.#dir, key)
    if (!existsSync(file)) return undefined
    const program = readFileSync(file)
    if (program.length === 0 || program.length % instruction !== 0 || program.length > largest) return undefined
    const text = program.toString('base64')
    this.#programs.set(key, text)
    return text
  }

  /** The configuration with the compiled profile, where there is one. */
  apply(config: OciConfig, runtime: OciRuntime): OciConfig {
    const { seccomp } = config.linux
    const program = seccomp && runtime.name === 'crun' ? this.#find(this.#key(seccomp, runtime)) : undefined
    return program === undefined ? config : { ...config, annotations: { ...config.annotations, [annotation]: program } }
  }

  /** Keeps what the runtime has compiled for a container it has just made. `state` is the container's state directory. */
  keep(seccomp: OciSeccomp | undefined, runtime: OciRuntime, state: string): void {
    const compiled = join(state, 'seccomp.bpf')
    if (seccomp === undefined || runtime.name !== 'crun') return
    const key = this.#key(seccomp, runtime)
    if (this.#find(key) !== undefined || !existsSync(compiled)) return
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
    const temporary = join(this.#dir, `.${key}`)
    writeFileSync(temporary, readFileSync(compiled), { mode: 0o600 })
    renameSync(temporary, join(this.#dir, key))
  }
}
