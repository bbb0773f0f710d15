/** Lifecycle hooks: exec, httpGet or sleep. */
import type { Containers } from '../../engine/index.ts'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Container, Lifecycle } from '../../spec/kube/generated/types.ts'
import { httpProbe } from './probe-handlers.ts'

type Handler = NonNullable<Lifecycle['preStop']>

/** Rejects when the hook fails; `timeoutMs` bounds its time; a hook without is over when it is, or by the signal. */
export const runHook = async (
  handler: Handler,
  at: {
    containerId: string
    container: Container
    podIP: string | undefined
    timeoutMs: number | undefined
    signal: AbortSignal
  },
  containers: Pick<Containers, 'execOnce'>,
  clock: Clock,
): Promise<void> => {
  if (handler.exec) {
    const { exitCode, output } = await containers.execOnce(at.containerId, handler.exec.command ?? [], {
      ...(at.timeoutMs === undefined ? {} : { timeoutMs: at.timeoutMs }),
      signal: at.signal,
    })
    if (exitCode !== 0)
      throw new SlipwayError(
        'internal',
        `command '${handler.exec.command?.join(' ')}' exited with ${exitCode}: ${output}`,
      )
    return
  }
  if (handler.sleep)
    return clock.sleep(Math.min(handler.sleep.seconds * 1000, at.timeoutMs ?? Number.POSITIVE_INFINITY), at.signal)
  if (handler.httpGet) {
    if (!at.podIP) throw new SlipwayError('internal', 'the pod has no address')
    const { ok, output } = await httpProbe(at.podIP, at.container, handler.httpGet, at.timeoutMs ?? 600_000)
    if (!ok) throw new SlipwayError('internal', output)
  }
}
