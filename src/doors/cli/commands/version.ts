import { type Command, out } from '../framework/command.ts'
import { toggle } from '../framework/flags.ts'

export const slipwayVersion = '0.1.0'

export const version: Command = {
  name: 'version',
  usage: '',
  summary: 'Print the version',
  group: 'system',
  flags: [toggle('--short', 'The number only')],
  async run({ shell, flags }) {
    out(shell, flags.short === true ? slipwayVersion : `slipway version ${slipwayVersion}`)
    return 0
  },
}
