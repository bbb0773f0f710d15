/** Times of a CronJob. Patterns are those of robfig/cron's standard parser: five fields, @hourly and its kin, @every. */
import type { CronJob } from '../../../spec/kube/generated/types.ts'

export interface Schedule {
  /** The first time after `after` (ms since the epoch); undefined: never. */
  next(after: number): number | undefined
  /** The latest time at or before `now` and after `since`. */
  latest(since: number, now: number): number | undefined
}

const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000 }
/** A Go duration such as "1h30m", in ms. */
const duration = (text: string): number | undefined => {
  if (!/^(\d+(\.\d+)?[hms])+$/.test(text)) return undefined
  return [...text.matchAll(/(\d+(?:\.\d+)?)([hms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit!]!, 0)
}

/** Throws an Error that says what is wrong with the pattern or the time zone. */
export const createSchedule = async (pattern: string, timeZone: string | undefined): Promise<Schedule> => {
  const every = /^@every\s+(\S+)$/.exec(pattern)
  if (every) {
    const delay = duration(every[1]!)
    if (!delay) throw new Error(`failed to parse duration ${every[1]}`)
    const whole = Math.max(1000, Math.round(delay / 1000) * 1000)
    return {
      next: (after) => Math.floor(after / 1000) * 1000 + whole,
      latest: (since, now) => (now - since < whole ? undefined : since + Math.floor((now - since) / whole) * whole),
    }
  }
  const { Cron } = await import('croner')
  // Without a time zone Kubernetes means that of its controller; containers of controllers run on UTC.
  const cron = new Cron(pattern, { mode: '5-part', timezone: timeZone || 'Etc/UTC', paused: true })
  cron.nextRun()
  return {
    next: (after) => cron.nextRun(new Date(after))?.getTime(),
    latest: (since, now) => {
      // Croner counts whole seconds, and looks before the one it is given.
      const [found] = cron.previousRuns(1, new Date((Math.floor(now / 1000) + 1) * 1000))
      const at = found?.getTime()
      return at !== undefined && at > since && at <= now ? at : undefined
    },
  }
}

/** How many times have passed unused, counted up to 101. */
export const missed = (schedule: Schedule, since: number, now: number): number => {
  let count = 0
  for (let at = schedule.next(since); at !== undefined && at <= now && count <= 100; at = schedule.next(at)) count++
  return count
}

/** From when on unused times count: the last use, the creation, or as long ago as a late start is allowed. */
export const earliest = (cron: CronJob, now: number): number => {
  const { startingDeadlineSeconds } = cron.spec!
  const from = Date.parse(cron.status?.lastScheduleTime ?? cron.metadata.creationTimestamp ?? '') || now
  if (startingDeadlineSeconds === undefined) return from
  return Math.max(from, now - startingDeadlineSeconds * 1000)
}
