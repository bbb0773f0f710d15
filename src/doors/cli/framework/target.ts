/** Which cluster a command works on: the embedded one of this instance, or any other by --context. */

import { type ControlClient, createControlClient } from '../../../clients/control/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import { runHelper } from '../../../sys/daemonize.ts'
import type { Invocation } from './command.ts'
import { ensureDaemon } from './daemon.ts'

export interface Target {
  destination: 'local' | 'cluster'
  /** '' for the embedded cluster. */
  context: string
  client: ObjectClient
}

export const openControl = async ({ shell }: Invocation): Promise<ControlClient> => {
  await ensureDaemon(shell)
  return createControlClient(socketsOf(placeOf(shell.env)).control)
}

/** Starts the daemon when the embedded cluster is meant. An unknown context: 'not-found' that lists those there are. */
export const openTarget = async (invocation: Invocation): Promise<Target> => {
  const { shell, globals } = invocation
  // Not for those who only want the daemon's own door.
  const { createHttpClient, loadKubeconfig } = await import('../../../clients/kube/index.ts')
  const context = (globals.context as string | undefined) ?? ''
  if (context === '') {
    await ensureDaemon(shell)
    return {
      destination: 'local',
      context,
      client: createHttpClient({ socketPath: socketsOf(placeOf(shell.env)).kube }),
    }
  }
  const config = await loadKubeconfig({ context, env: shell.env, run: runHelper })
  return { destination: 'cluster', context, client: createHttpClient(config) }
}
