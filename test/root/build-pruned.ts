/** A daemon that is killed while it prunes the cache of builds: argv[2] is its home. It says 'pruning' when that begins. */
import { openBuildRoomAt } from './build-room.ts'

// What is awaited need not keep a process alive; a daemon has sockets for that.
setInterval(() => {}, 1000)
const room = await openBuildRoomAt(process.argv[2]!)
process.stdout.write('pruning\n')
await room.builder.prune({ all: true })
process.stdout.write('pruned\n')
