import { later, type Subcommand } from '../framework/subcommands.ts'
import { buildFlags } from './flags.ts'

export const buildCommand: Subcommand = {
  usage: 'PATH | URL | -',
  summary: 'Make an image of a Dockerfile',
  args: [1, 1],
  flags: buildFlags,
  run: later(async () => (await import('./run.ts')).runBuild),
}
