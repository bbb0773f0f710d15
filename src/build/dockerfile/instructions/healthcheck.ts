import type { HealthcheckConfig } from '../../../spec/oci/index.ts'
import { commandLine, quoted, quotedNumber } from '../command-line.ts'
import { duration, formatDuration } from '../durations.ts'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'
import { splitCommand } from '../words.ts'

const millisecond = 1_000_000

export const healthcheck = instruction<HealthcheckConfig>('HEALTHCHECK', {
  parse(statement) {
    const { name, rest } = splitType(statement.rest)
    if (name === '') throw new SyntaxFault('HEALTHCHECK requires at least one argument')
    if (name === 'NONE') {
      if (rest !== '') throw new SyntaxFault('HEALTHCHECK NONE takes no arguments')
      return { Test: ['NONE'] }
    }
    const flags = readFlags(statement.flags, {
      interval: 'string',
      timeout: 'string',
      'start-period': 'string',
      'start-interval': 'string',
      retries: 'string',
    })
    if (name !== 'CMD') throw new SyntaxFault(`Unknown type "${name}" in HEALTHCHECK (try CMD)`)
    const line = commandLine(rest)
    if (line.args.length === 0) throw new SyntaxFault('Missing command after HEALTHCHECK CMD')
    // 0 and absent mean the same: whoever runs the check takes its default.
    return {
      Test: [line.shell ? 'CMD-SHELL' : 'CMD', ...line.args],
      ...positive('Interval', interval('interval', flags.string('interval'))),
      ...positive('Timeout', interval('timeout', flags.string('timeout'))),
      ...positive('StartPeriod', interval('start-period', flags.string('start-period'))),
      ...positive('StartInterval', interval('start-interval', flags.string('start-interval'))),
      ...positive('Retries', retries(flags.string('retries'))),
    }
  },
  lower(check, stage) {
    stage.onlyOnce()
    const times = (['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const).map(
      (key) => `"${formatDuration(check[key] ?? 0)}"`,
    )
    const parts = [quoted(check.Test!), ...times, quotedNumber(check.Retries ?? 0)]
    return { config: { Healthcheck: check }, history: `HEALTHCHECK &{${parts.join(' ')}}` }
  },
})

const splitType = (text: string): { name: string; rest: string } => {
  const { name } = splitCommand(text)
  return { name: name.toUpperCase(), rest: text.trim().slice(name.length).trim() }
}

const positive = (key: string, value: number): HealthcheckConfig => (value > 0 ? { [key]: value } : {})

const interval = (flag: string, text: string | undefined): number => {
  if (text === undefined) return 0
  const value = duration(text)
  if (value !== 0 && value < millisecond)
    throw new SyntaxFault(`Interval "${flag}" cannot be less than 1ms`, { near: `--${flag}` })
  return value
}

const retries = (text: string | undefined): number => {
  if (text === undefined) return 0
  if (!/^[+-]?\d+$/.test(text)) throw new SyntaxFault(`invalid value for --retries: ${text}`, { near: '--retries' })
  if (Number(text) < 0) throw new SyntaxFault(`--retries cannot be negative (${text})`, { near: '--retries' })
  return Number(text)
}
