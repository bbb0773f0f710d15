/** A daemon that is killed in the middle of a build: argv[2] is its home. It says 'running' once the step runs. */
import { openBuildRoomAt } from './build-room.ts'

// What is awaited need not keep a process alive; a daemon has sockets for that.
setInterval(() => {}, 1000)
const room = await openBuildRoomAt(process.argv[2]!)
await room.build(
  'FROM base:1\nRUN echo done > /first\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t echo up && sleep 60',
  {
    watch: (event) => {
      if (event.type === 'log') process.stdout.write('running\n')
    },
  },
)
