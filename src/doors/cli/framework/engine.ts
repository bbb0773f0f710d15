import { createEngineClient, type EngineClient } from '../../../clients/engine/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { Shell } from './command.ts'
import { ensureDaemon } from './daemon.ts'

/** The Docker Engine API of this instance; its daemon is started when it does not run. */
export const openEngine = async (shell: Shell): Promise<EngineClient> => {
  await ensureDaemon(shell)
  return createEngineClient(socketsOf(placeOf(shell.env)).docker)
}
