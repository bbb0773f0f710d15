/** Takes away all of an instance that a machine loses when its power is cut. */
import { instanceOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import { removeTraces } from '../../src/reset.ts'
import { createLinux } from '../../src/sys/linux/index.ts'

export const tearDown = async (home: string): Promise<void> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  await removeTraces(createLinux(instance, silentLog), instance)
}
