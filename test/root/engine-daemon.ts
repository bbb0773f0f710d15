/** A daemon to be killed: opens the engine on the state in argv[2], starts what argv[3] (JSON specs) says, then says so and waits. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ContainerSpec, createEngine, type Instance } from '../../src/engine/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'

const instance = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Instance
const specs = JSON.parse(readFileSync(process.argv[3]!, 'utf8')) as ContainerSpec[]
const log = createLog((line) => void process.stderr.write(line), 'error')
const sys = createLinux(instance, log)
const engine = createEngine({
  instance,
  sys,
  db: openDatabase(join(instance.stateDir, 'state.db')),
  log,
  clock: systemClock,
})
setInterval(() => {}, 60_000)
await engine.recover()
process.stdout.write('open\n')
for (const spec of specs) {
  const { id } = await engine.containers.create(spec)
  process.stdout.write(`created ${id}\n`)
  await engine.containers.start(id)
  process.stdout.write(`started ${id}\n`)
}
process.stdout.write('ready\n')
