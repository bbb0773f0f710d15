import { SlipwayError } from '../../errors.ts'
import type { OciProcess } from '../../spec/oci/index.ts'
import { type Context, isRunning } from '../containers/context.ts'
import { diagnose } from '../containers/diagnose.ts'
import { linkVariables } from '../containers/links.ts'
import { mergeEnv, runtimeEnv } from '../containers/process.ts'
import type { ContainerRecord } from '../containers/records.ts'
import { processConfig } from '../runtime/config.ts'
import { resolveUserIn } from '../runtime/user.ts'
import type { ExecSpec } from '../types.ts'

/** The container to run in, in docker's words when it cannot be. */
export const runningRecord = (ctx: Context, reference: string): ContainerRecord => {
  const record = ctx.records.must(reference)
  if (!isRunning(record)) throw new SlipwayError('conflict', `container ${record.id} is not running`)
  if (record.status === 'paused')
    throw new SlipwayError('conflict', `container ${reference} is paused, unpause the container before exec`)
  return record
}

const magic = /^\/proc\/(self|thread-self|\d+)(\/|$)/

/** The process document for the runtime. Ids are resolved here: runtimes have had holes in that. */
export const execProcess = (
  ctx: Context,
  record: ContainerRecord,
  spec: Pick<ExecSpec, 'args' | 'env' | 'workingDir' | 'user' | 'tty' | 'privileged'> & {
    consoleSize?: { width: number; height: number } | undefined
  },
): OciProcess => {
  const user = resolveUserIn(ctx.sys.files, record.paths.rootfs, spec.user || record.process.user, record.spec.groups)
  const cwd = spec.workingDir || record.process.cwd
  if (magic.test(cwd) || magic.test(ctx.sys.files.resolveInRoot(record.paths.rootfs, cwd)))
    throw new SlipwayError('bad-request', `the working directory '${cwd}' is invalid: it leads into /proc`)
  const hostname = ctx.sandboxes.get(record.sandboxId)?.spec.hostname
  const own = mergeEnv(linkVariables(record.spec, ctx.sandboxes), record.process.env)
  const env = mergeEnv(own, spec.env ?? [])
  return processConfig(
    {
      args: spec.args,
      env: runtimeEnv(env, { hostname, tty: spec.tty, home: user.home }),
      cwd,
      user,
      tty: spec.tty,
      consoleSize: spec.consoleSize,
      security: spec.privileged ? { ...record.spec.security, privileged: true } : record.spec.security,
      ulimits: record.spec.ulimits,
    },
    ctx.machine,
  )
}

/** What the runtime could not do, as docker tells it, with the exit code for it. */
export const execFailure = (
  ctx: Context,
  record: ContainerRecord,
  program: string,
  message: string,
): { exitCode: number; message: string } => {
  const chdir = /^chdir `(.*)`: (.*)$/.exec(message)
  const reason = chdir
    ? {
        exitCode: chdir[2]!.startsWith('No such') || chdir[2]!.startsWith('Not a') ? 127 : 126,
        message: `chdir to cwd ("${chdir[1]}") set in config.json failed: ${chdir[2]!.toLowerCase()}`,
      }
    : diagnose(ctx, record, program)
  return {
    exitCode: reason?.exitCode ?? 126,
    message: `OCI runtime exec failed: exec failed: unable to start container process: ${reason?.message ?? message}: unknown`,
  }
}
