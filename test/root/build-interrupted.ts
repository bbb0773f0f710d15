/** A daemon that kills itself at the nth thing it has to tell of a build: argv are its home, the context, and n. */
import { join } from 'node:path'
import { interruptedBuild } from './build-interruptions.ts'
import { openBuildRoomAt } from './build-room.ts'

// What is awaited need not keep a process alive; a daemon has sockets for that.
setInterval(() => {}, 1000)
const [home = '', context = '', last = ''] = process.argv.slice(2)
const room = await openBuildRoomAt(home)
let events = 0
await room.builder.export(
  {
    ...interruptedBuild(context),
    progress: () => {
      if (++events === Number(last)) process.kill(process.pid, 'SIGKILL')
    },
  },
  [{ type: 'oci', attrs: {}, archive: async (data) => void (await data.resume().toArray()) }],
)
process.stdout.write(`${join(home)} ended after ${events}\n`)
process.exit(0)
