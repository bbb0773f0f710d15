import { SlipwayError } from '../../errors.ts'
import type { OciProcess } from '../../spec/oci/index.ts'
import { type Context, isAlive, isRunning } from '../containers/context.ts'
import { diagnose } from '../containers/diagnose.ts'
import { linkVariables } from '../containers/links.ts'
import { mergeEnv, runtimeEnv } from '../containers/process.ts'
import type { ContainerRecord } from '../containers/records.ts'
import { profileOf } from '../runtime/apparmor.ts'
import { processConfig } from '../runtime/config.ts'
import { resolveUserIn } from '../runtime/user.ts'
import type { ExecSpec } from '../types.ts'

/** The container to run in, in docker's words when it cannot be. */
export const runningRecord = (ctx: Context, reference: string): ContainerRecord => {
  const record = ctx.records.must(reference)
  if (!isRunning(record)) throw new SlipwayError('conflict', `container ${record.id} is not running`)
  if (record.status === 'paused')
    throw new SlipwayError('conflict', `Container ${reference} is paused, unpause the container before exec`)
  return record
}

const magic = /^\/proc\/(self|thread-self|\d+)(\/|$)/

/** The process document for the runtime. Ids are resolved here: runtimes have had holes in that. */
export const execProcess = async (
  ctx: Context,
  record: ContainerRecord,
  spec: Pick<ExecSpec, 'args' | 'env' | 'workingDir' | 'user' | 'tty' | 'privileged'> & {
    consoleSize?: { width: number; height: number } | undefined
  },
): Promise<OciProcess> => {
  const user = resolveUserIn(ctx.sys.files, record.paths.rootfs, spec.user || record.process.user, record.spec.groups)
  const cwd = spec.workingDir || record.process.cwd
  if (magic.test(cwd) || magic.test(ctx.sys.files.resolveInRoot(record.paths.rootfs, cwd)))
    throw new SlipwayError('bad-request', `the working directory '${cwd}' is invalid: it leads into /proc`)
  const hostname = ctx.sandboxes.get(record.sandboxId)?.spec.hostname
  const own = mergeEnv(linkVariables(record.spec, ctx.sandboxes), record.process.env)
  const env = mergeEnv(own, spec.env ?? [])
  const { security } = record.spec
  const process = processConfig(
    {
      args: spec.args,
      env: runtimeEnv(env, { hostname, tty: spec.tty, home: user.home }),
      cwd,
      user,
      tty: spec.tty,
      consoleSize: spec.consoleSize,
      // As dockerd has it, all capabilities do not lead out of the container's profile.
      security: spec.privileged
        ? { ...security, privileged: true, apparmor: profileOf(security, ctx.machine) }
        : security,
      ulimits: record.spec.ulimits,
    },
    ctx.machine,
  )
  await ctx.loadProfile(process.apparmorProfile)
  return process
}

/** What the runtime says when a container ends under its hands, besides other things. */
export const endingWords = /^(setns `|fail startup|write to sync socket|fork: |the container `|error opening file `)/
/** So long the last of an ending container's processes may take to be gone. */
const endingMs = 2000

/** Has the container ended, or does it within so many milliseconds? */
export const endsWithin = async (ctx: Context, { pid, internal }: ContainerRecord, ms: number): Promise<boolean> => {
  for (let waited = 0; waited < ms && isAlive(ctx, pid, internal.pidStart); waited += 10) await ctx.clock.sleep(10)
  return !isAlive(ctx, pid, internal.pidStart)
}

/** What the runtime could not do, as docker tells it, with the exit code for it. */
export const execFailure = async (
  ctx: Context,
  record: ContainerRecord,
  process: OciProcess,
  message: string,
): Promise<{ exitCode: number; message: string }> => {
  const prefix = 'OCI runtime exec failed: exec failed:'
  // Of an ended container nothing is there to be looked at, and what the runtime has met first says little.
  const reason = (await endsWithin(ctx, record, 0)) ? undefined : reasonOf(ctx, record, process, message)
  if (!reason && (await endsWithin(ctx, record, endingWords.test(message) ? endingMs : 0)))
    return { exitCode: 126, message: `${prefix} cannot exec in a stopped container: unknown` }
  return {
    exitCode: reason?.exitCode ?? 126,
    message: `${prefix} unable to start container process: ${reason?.message ?? message}: unknown`,
  }
}

/** undefined: it is not the program's fault. */
const reasonOf = (ctx: Context, record: ContainerRecord, process: OciProcess, message: string) => {
  const chdir = /^chdir `(.*)`: (.*)$/.exec(message)
  if (!chdir) return diagnose(ctx, record, process)
  return {
    exitCode: chdir[2]!.startsWith('No such') || chdir[2]!.startsWith('Not a') ? 127 : 126,
    message: `chdir to cwd ("${chdir[1]}") set in config.json failed: ${chdir[2]!.toLowerCase()}`,
  }
}
