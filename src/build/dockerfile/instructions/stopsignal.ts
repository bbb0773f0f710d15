import { constants } from 'node:os'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'

export const stopsignal = instruction<{ signal: string }>('STOPSIGNAL', {
  parse(statement) {
    readFlags(statement.flags)
    if (statement.rest === '') throw new SyntaxFault('STOPSIGNAL requires exactly one argument')
    return { signal: statement.rest }
  },
  lower(node, stage) {
    const signal = stage.expand(node.signal)
    if (!isSignal(signal)) throw new SyntaxFault(`invalid signal: ${signal}`, { near: node.signal })
    return { config: { StopSignal: signal }, history: `STOPSIGNAL ${signal}` }
  },
})

/** A number from 1 to 64, or a name with or without SIG, real-time ones as SIGRTMIN+N and SIGRTMAX-N. */
const isSignal = (text: string): boolean => {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 64
  const name = text.toUpperCase().replace(/^SIG/, '')
  return /^RTM(IN(\+\d+)?|AX(-\d+)?)$/.test(name) || `SIG${name}` in constants.signals
}
