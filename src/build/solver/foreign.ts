/** Programs of other architectures: the kernel runs them with an emulator that is registered with binfmt_misc. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostPlatform, parsePlatform } from '../../spec/oci/index.ts'

/** e_machine of ELF headers (elf(5)), by the names platforms have. */
const machines: Record<string, number> = {
  '386': 3,
  amd64: 62,
  arm: 40,
  arm64: 183,
  loong64: 258,
  mips64le: 8,
  ppc64le: 21,
  riscv64: 243,
  s390x: 22,
}
/** What a processor runs besides its own. */
const alsoNative: Record<string, string[]> = { amd64: ['386'], arm64: ['arm'] }

/** Why programs for the platform do not run here; undefined where they might. */
export const cannotRun = (platform: string, registry = '/proc/sys/fs/binfmt_misc'): string | undefined => {
  const { architecture } = parsePlatform(platform)
  const own = hostPlatform().architecture
  if (architecture === own || alsoNative[own]?.includes(architecture)) return undefined
  const machine = machines[architecture]
  if (machine === undefined || entriesIn(registry).some((entry) => runs(entry, machine))) return undefined
  return `${platform} programs do not run on this machine (linux/${own}): no emulator for them is registered with binfmt_misc (Debian: apt-get install qemu-user-static)`
}

/** Platforms whose programs run here, this machine's own first. */
export const runnable = (): string[] =>
  [hostPlatform().architecture, ...Object.keys(machines)]
    .filter((each, i, all) => all.indexOf(each) === i)
    .map((each) => `linux/${each}`)
    .filter((platform) => cannotRun(platform) === undefined)

const entriesIn = (registry: string): string[] => {
  try {
    return readdirSync(registry)
      .filter((name) => name !== 'register' && name !== 'status')
      .map((name) => readFileSync(join(registry, name), 'utf8'))
  } catch {
    return [] // not mounted
  }
}

/** Is the entry enabled, and for ELF programs of this machine? The type stands at offset 18, in the order offset 5 names. */
const runs = (entry: string, machine: number): boolean => {
  const magic = /^magic ([0-9a-f]+)$/m.exec(entry)?.[1]
  if (!/^enabled/m.test(entry) || magic === undefined || magic.length < 40 || !magic.startsWith('7f454c46'))
    return false
  const header = Buffer.from(magic, 'hex')
  return (header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18)) === machine
}
