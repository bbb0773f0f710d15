/**
 * Which builds are meant: fields of BuildKit's history (solver/llbsolver/history/filter.go). A filter is a line of conditions
 * that must all hold; of several filters one must.
 */
import { SlipwayError } from '../../errors.ts'
import { parseGitAddress } from '../context/git.ts'
import { duration } from '../dockerfile/durations.ts'
import type { BuildRecord } from '../types.ts'

type Holds = (record: BuildRecord) => boolean

export const matcher = (filters: readonly string[], now: number): Holds => {
  const all = filters.map((filter) => filter.split(',').map((condition) => conditionOf(condition.trim(), now)))
  return (record) => all.length === 0 || all.some((conditions) => conditions.every((holds) => holds(record)))
}

const statusOf = ({ completedAt, error }: BuildRecord): 'running' | 'completed' | 'canceled' | 'error' => {
  if (completedAt === undefined) return 'running'
  if (!error) return 'completed'
  return error.code === 1 ? 'canceled' : 'error'
}

const repositoryOf = ({ attrs }: BuildRecord): string =>
  attrs['vcs:source'] ?? parseGitAddress(attrs.context ?? '')?.remote ?? ''

const texts: Record<string, (record: BuildRecord) => string> = {
  ref: ({ ref }) => ref,
  status: statusOf,
  repository: repositoryOf,
}

/** ms; of a build that runs, there is no end. */
const numbers: Record<string, (record: BuildRecord) => number | undefined> = {
  startedAt: ({ startedAt }) => startedAt,
  completedAt: ({ completedAt }) => completedAt,
  duration: ({ startedAt, completedAt }) => (completedAt === undefined ? undefined : completedAt - startedAt),
}

const conditionOf = (text: string, now: number): Holds => {
  const [, name = '', operator = '', value = ''] = /^([A-Za-z]+)(==|!=|~=|<=|>=|<|>)(.*)$/s.exec(text) ?? []
  const wrong = new SlipwayError('bad-request', `invalid filter ${JSON.stringify(text)}`)
  const textOf = texts[name]
  if (textOf && ['==', '!=', '~='].includes(operator)) {
    if (operator !== '~=') return (record) => (textOf(record) === value) === (operator === '==')
    const pattern = patternOf(value, wrong)
    return (record) => pattern.test(textOf(record))
  }
  const numberOf = numbers[name]
  if (!numberOf || !['<=', '>=', '<', '>'].includes(operator)) throw wrong
  const bound = name === 'duration' ? milliseconds(value) : (ago(value, now) ?? Date.parse(value))
  if (bound === undefined || Number.isNaN(bound)) throw wrong
  return (record) => {
    const found = numberOf(record)
    if (found === undefined) return false
    if (operator.startsWith('<')) return found < bound || (operator === '<=' && found === bound)
    return found > bound || (operator === '>=' && found === bound)
  }
}

const patternOf = (value: string, wrong: SlipwayError): RegExp => {
  try {
    return new RegExp(value)
  } catch {
    throw wrong
  }
}

const ago = (value: string, now: number): number | undefined => {
  const ms = milliseconds(value)
  return ms === undefined ? undefined : now - ms
}

const milliseconds = (value: string): number | undefined => {
  try {
    return duration(value) / 1e6
  } catch {
    return undefined // it may still be a time
  }
}
