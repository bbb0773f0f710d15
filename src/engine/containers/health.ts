import { isError, messageOf } from '../../errors.ts'
import type { HealthcheckConfig } from '../../spec/oci/index.ts'
import { execOnce } from '../exec/once.ts'
import type { HealthState } from '../types.ts'
import { type Context, emit, ownsSandbox } from './context.ts'
import type { ContainerRecord } from './records.ts'

/** Milliseconds. */
interface HealthPlan {
  args: string[]
  intervalMs: number
  timeoutMs: number
  startPeriodMs: number
  startIntervalMs: number
  retries: number
}

const keptResults = 5
const keptOutput = 4096

/** The check to run: the container's own over the image's, field by field; undefined: none. Defaults are docker's. */
export const healthPlan = (
  own: HealthcheckConfig | undefined,
  image: HealthcheckConfig | undefined,
  shell: readonly string[] = ['/bin/sh', '-c'],
): HealthPlan | undefined => {
  const test = own?.Test?.length ? own.Test : (image?.Test ?? [])
  const [kind, ...words] = test
  const args = kind === 'CMD' ? words : kind === 'CMD-SHELL' ? [...shell, words.join(' ')] : []
  if (args.length === 0) return undefined
  const ms = (field: 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval', fallback: number): number =>
    (own?.[field] || image?.[field] || fallback * 1e6) / 1e6
  return {
    args,
    intervalMs: ms('Interval', 30_000),
    timeoutMs: ms('Timeout', 30_000),
    startPeriodMs: ms('StartPeriod', 0),
    startIntervalMs: ms('StartInterval', 5_000),
    retries: own?.Retries || image?.Retries || 3,
  }
}

/** The state after one more result. A failure within the start period does not count until a success has ended it. */
export const nextHealth = (
  before: HealthState,
  result: HealthState['log'][number],
  plan: HealthPlan,
  startedAt: number,
): HealthState => {
  const log = [...before.log, result].slice(-keptResults)
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log }
  if (before.status === 'starting' && result.start - startedAt < plan.startPeriodMs) return { ...before, log }
  const failingStreak = before.failingStreak + 1
  return { status: failingStreak >= plan.retries ? 'unhealthy' : before.status, failingStreak, log }
}

/** As Go writes a duration: "50ms", "1.5s", "1m30s", "1h0m0s". */
const goDuration = (ms: number): string => {
  if (ms < 1000) return `${ms}ms`
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60]
  const seconds = `${(ms % 60_000) / 1000}s`
  return hours > 0 ? `${hours}h${minutes}m${seconds}` : minutes > 0 ? `${minutes}m${seconds}` : seconds
}
export const exceeded = ({ timeoutMs }: Pick<HealthPlan, 'timeoutMs'>, { output }: { output: string }): string =>
  `Health check exceeded timeout (${goDuration(timeoutMs)})${output && `: ${output}`}`

const probe = async (
  ctx: Context,
  id: string,
  plan: HealthPlan,
  signal: AbortSignal,
): Promise<HealthState['log'][number]> => {
  const start = ctx.clock.now()
  try {
    const { exitCode, output } = await execOnce(ctx, id, plan.args, {
      timeoutMs: plan.timeoutMs,
      maxOutput: keptOutput,
      signal,
    })
    return { start, end: ctx.clock.now(), exitCode, output }
  } catch (error) {
    signal.throwIfAborted()
    const output = isError(error, 'timeout') ? exceeded(plan, error.details as { output: string }) : messageOf(error)
    return { start, end: ctx.clock.now(), exitCode: -1, output }
  }
}

const check = async (ctx: Context, id: string, plan: HealthPlan, signal: AbortSignal): Promise<void> => {
  for (;;) {
    const { startedAt = 0, health } = ctx.records.must(id)
    const early = health?.status === 'starting' && ctx.clock.now() - startedAt < plan.startPeriodMs
    await ctx.clock.sleep(early ? Math.min(plan.startIntervalMs, plan.intervalMs) : plan.intervalMs, signal)
    if (ctx.records.must(id).status === 'paused') continue
    const result = await probe(ctx, id, plan, signal)
    const record = ctx.records.must(id)
    const before = record.health ?? freshHealth
    const after = nextHealth(before, result, plan, startedAt)
    ctx.records.change(id, { health: after })
    if (after.status !== before.status) emit(ctx, record, `health_status: ${after.status}`)
  }
}

/** Pods have probes of their own: only containers with their own sandbox are checked. */
export const planFor = async (ctx: Context, record: ContainerRecord): Promise<HealthPlan | undefined> => {
  if (!ownsSandbox(record)) return undefined
  const image = (await ctx.images.get(record.imageId))?.config.config
  return healthPlan(record.spec.healthcheck, image?.Healthcheck, image?.Shell)
}

export const freshHealth: HealthState = { status: 'starting', failingStreak: 0, log: [] }

/** Checks until `signal`. */
export const watchHealth = (ctx: Context, record: ContainerRecord, signal: AbortSignal): void => {
  planFor(ctx, record)
    .then((plan) => (plan && !signal.aborted ? check(ctx, record.id, plan, signal) : undefined))
    .catch((error) => {
      if (!signal.aborted) ctx.log.error('health checks ended', { id: record.id, error: messageOf(error) })
    })
}
