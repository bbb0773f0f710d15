import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from './context.ts'
import { candidatesFor } from './process.ts'
import type { ContainerRecord } from './records.ts'

/** Why a program could not be run: docker's exit codes 127 (not found) and 126 (not executable); undefined: not its fault. */
export const diagnose = (
  ctx: Context,
  record: ContainerRecord,
  { args, env, cwd }: { args: readonly string[]; env: readonly string[]; cwd: string },
): { exitCode: 126 | 127; message: string } | undefined => {
  const program = args[0]!
  let found = false
  let directory = false
  for (const candidate of candidatesFor(program, env, cwd)) {
    const host = hostPathOf(ctx, record, candidate)
    const stat = host === undefined ? undefined : statSync(host, { throwIfNoEntry: false })
    if (stat?.isDirectory()) directory = true
    if (!stat || stat.isDirectory()) continue
    found = true
    if (stat.mode & 0o111) return undefined
  }
  if (found) return { exitCode: 126, message: `exec: "${program}": permission denied` }
  if (directory && program.includes('/')) return { exitCode: 126, message: `exec: "${program}": is a directory` }
  return program.includes('/')
    ? { exitCode: 127, message: `exec: "${program}": stat ${program}: no such file or directory` }
    : { exitCode: 127, message: `exec: "${program}": executable file not found in $PATH` }
}

/** Where a path of the container is on the host, through its volumes and binds. */
const hostPathOf = (ctx: Context, record: ContainerRecord, path: string): string | undefined => {
  const inside = ctx.sys.files.resolveInRoot(record.paths.rootfs, path)
  const over = record.mounts
    .filter(({ target }) => inside === target || inside.startsWith(`${target}/`))
    .sort((a, b) => b.target.length - a.target.length)[0]
  if (over === undefined) return join(record.paths.rootfs, inside)
  return over.hostPath === undefined
    ? undefined
    : join(over.hostPath, ctx.sys.files.resolveInRoot(over.hostPath, inside.slice(over.target.length)))
}
