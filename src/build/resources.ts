import { SlipwayError } from '../errors.ts'
import type { BuildRequest } from './types.ts'

type Limits = NonNullable<BuildRequest['resources']>

/** Those that are numbers, as the engine calls them. */
const names = {
  memory: 'memory',
  'memory-swap': 'memorySwap',
  'cpu-shares': 'cpuShares',
  'cpu-period': 'cpuPeriod',
  'cpu-quota': 'cpuQuota',
} as const

/**
 * Limits of RUN steps, by the names of BuildKit's frontend; undefined and '' are none. Errors: 'bad-request', in its words
 * (frontend/dockerui).
 */
export const buildResources = (given: (name: string) => string | undefined): Limits => {
  const limits: Limits = {}
  for (const [name, key] of Object.entries(names) as [keyof typeof names, (typeof names)[keyof typeof names]][]) {
    const text = given(name)
    if (!text) continue
    const fault = `invalid ${name} value: ${text}`
    const isSwap = name === 'memory-swap'
    if (!/^-?\d+$/.test(text)) throw new SlipwayError('bad-request', `${fault}: not a number`)
    if (Number(text) <= 0 && !(isSwap && text === '-1'))
      throw new SlipwayError('bad-request', `${fault}: must be ${isSwap ? '-1 (unlimited) or > 0' : '> 0'}`)
    limits[key] = Number(text)
  }
  const [cpus, mems] = ['cpuset-cpus', 'cpuset-mems'].map((name) => {
    const text = given(name)
    if (text && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text))
      throw new SlipwayError('bad-request', `invalid ${name} value: ${text}`)
    return text
  })
  return { ...limits, ...(cpus ? { cpusetCpus: cpus } : {}), ...(mems ? { cpusetMems: mems } : {}) }
}

/** Is the limit a number, of which 0 is none? */
export const isCounted = (name: string): boolean => Object.hasOwn(names, name)
