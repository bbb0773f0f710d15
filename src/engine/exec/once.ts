import { SlipwayError } from '../../errors.ts'
import type { Context } from '../containers/context.ts'
import { execDirect } from './direct.ts'
import { execProcess, runningRecord } from './process.ts'

interface OnceOptions {
  timeoutMs?: number
  maxOutput?: number
  signal?: AbortSignal
}

/** For probes and hooks: runs to the end, or is killed by its timeout ('timeout') or the caller ('cancelled'): `details.output` is what it has written. */
export const execOnce = async (
  ctx: Context,
  reference: string,
  args: string[],
  options: OnceOptions = {},
): Promise<{ exitCode: number; output: string }> => {
  const record = runningRecord(ctx, reference)
  const process = await execProcess(ctx, record, { args, tty: false })
  const exec = await execDirect(ctx, record, process, { stdin: false, stdout: true, stderr: true })
  let why: SlipwayError | undefined
  const stop = (reason: SlipwayError): void => {
    why ??= reason
    exec.kill()
  }
  const onAbort = (): void => stop(new SlipwayError('cancelled', 'cancelled', { cause: options.signal?.reason }))
  if (options.signal?.aborted) onAbort()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => stop(new SlipwayError('timeout', `command timed out after ${options.timeoutMs} ms`)),
          options.timeoutMs,
        )
  try {
    const limit = options.maxOutput ?? 4096
    const kept: Buffer[] = []
    let size = 0
    for await (const { data } of exec.output) {
      if (size < limit) kept.push(data.subarray(0, limit - size))
      size += data.length
    }
    const exitCode = await exec.exited
    const output = Buffer.concat(kept).toString('utf8')
    if (why) throw new SlipwayError(why.code, why.message, { details: { output }, cause: why.cause })
    return { exitCode, output }
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
  }
}
