import { readFileSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import type { ContainerSpec } from '../types.ts'
import { capabilitiesOf } from './capabilities.ts'

/** What this process may hand down. */
export interface OwnLimits {
  capabilities: ReadonlySet<string>
  /** Hard limits by RLIMIT_ name; Infinity: none. */
  hard: Record<string, number>
  oomScoreAdj: number
}

const rowNames: Record<string, string> = {
  'Max cpu time': 'RLIMIT_CPU',
  'Max file size': 'RLIMIT_FSIZE',
  'Max data size': 'RLIMIT_DATA',
  'Max stack size': 'RLIMIT_STACK',
  'Max core file size': 'RLIMIT_CORE',
  'Max resident set': 'RLIMIT_RSS',
  'Max processes': 'RLIMIT_NPROC',
  'Max open files': 'RLIMIT_NOFILE',
  'Max locked memory': 'RLIMIT_MEMLOCK',
  'Max address space': 'RLIMIT_AS',
  'Max file locks': 'RLIMIT_LOCKS',
  'Max pending signals': 'RLIMIT_SIGPENDING',
  'Max msgqueue size': 'RLIMIT_MSGQUEUE',
  'Max nice priority': 'RLIMIT_NICE',
  'Max realtime priority': 'RLIMIT_RTPRIO',
  'Max realtime timeout': 'RLIMIT_RTTIME',
}

/** /proc/PID/limits has columns of fixed width: name (26), soft (21), hard. */
export const parseLimits = (text: string): Record<string, number> =>
  Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const name = rowNames[line.slice(0, 26).trim()]
      const hard = line.slice(47).trim().split(/\s+/)[0]
      return name === undefined || hard === undefined
        ? []
        : [[name, hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard)]]
    }),
  )

export const readOwnLimits = (): OwnLimits => {
  const mask = /^CapPrm:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return {
    capabilities: capabilitiesOf(mask),
    hard: parseLimits(readFileSync('/proc/self/limits', 'utf8')),
    oomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
  }
}

/** -1 is docker's "unlimited", here Infinity (see configText). Refused when it is more than this process may raise. */
export const rlimits = (
  ulimits: ContainerSpec['ulimits'],
  own: OwnLimits,
): { type: string; soft: number; hard: number }[] =>
  ulimits.map(({ name, soft, hard }) => {
    const type = `RLIMIT_${name.toUpperCase()}`
    const max = own.hard[type]
    if (max === undefined) throw new SlipwayError('bad-request', `invalid ulimit type: ${name}`)
    const value = (limit: number): number => (limit < 0 ? Number.POSITIVE_INFINITY : limit)
    if (value(soft) > value(hard))
      throw new SlipwayError(
        'bad-request',
        `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
      )
    if (value(hard) > max && !own.capabilities.has('CAP_SYS_RESOURCE'))
      throw new SlipwayError(
        'invalid',
        `ulimit ${name}: ${hard < 0 ? 'unlimited' : hard} is more than this machine allows (${max})`,
        {
          hint: `slipway runs without CAP_SYS_RESOURCE here and cannot raise limits: use at most ${name}=${max}.`,
        },
      )
    return { type, soft: value(soft), hard: value(hard) }
  })
