/**
 * Users build, push, pull, save, load, run and remove images side by side for as long as one likes, while the daemon is killed,
 * its children are, the disk fills up and lines are cut. After each round everything that was promised has to be there, whole,
 * and nothing else. What each user does is drawn from the seed; how it interleaves is the machine's.
 *
 * npm run soak -- [--seed TEXT] [--minutes N] [--users N] [--seconds N (of a round)] [--calm] [--only OP,OP…]
 *   [--troubles NAME,NAME…] [--disk MB] [--keep-going]
 */
import { parseArgs } from 'node:util'
import { Rounds } from './rounds.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    minutes: { type: 'string', default: '10' },
    users: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '15' },
    calm: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    troubles: { type: 'string', default: '' },
    disk: { type: 'string', default: '1500' },
    'keep-going': { type: 'boolean', default: false },
  },
})
const list = (text: string): string[] => text.split(',').filter(Boolean)

const rounds = new Rounds({
  seed: values.seed,
  users: Number(values.users),
  roundMs: Number(values.seconds) * 1000,
  calm: values.calm,
  only: list(values.only),
  troubles: list(values.troubles),
  diskMB: Number(values.disk),
})
process.stdout.write(`seed ${values.seed}\n`)
// Also where a signal ends it.
process.once('exit', () => rounds.close())
const end = Date.now() + Number(values.minutes) * 60_000
await rounds.open()
for (let round = 1; Date.now() < end; round++) {
  await rounds.round(round)
  if (rounds.faults.length > 0 && !values['keep-going']) break
}
await rounds.last()
process.stdout.write(`${rounds.faults.length} faults, seed ${values.seed}\n${rounds.faults.join('\n')}\n`)
process.exit(rounds.faults.length > 0 ? 1 : 0)
