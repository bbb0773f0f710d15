/** Takes away all of an instance that a machine loses when its power is cut. */
import { readFileSync } from 'node:fs'
import { instanceOf, socketsOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import { removeTraces } from '../../src/reset.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import { endSupervisor } from '../../src/sys/supervisor.ts'

export const tearDown = async (home: string): Promise<void> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  endSupervisor(instance.runDir)
  const { pid } = JSON.parse(readFileSync(socketsOf(instance).daemon, 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  await removeTraces(createLinux(instance, silentLog), instance)
}
