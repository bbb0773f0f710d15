import { randomInt } from 'node:crypto'
import { messageOf } from '../../errors.ts'
import { BindError, type HeldPort, holdPort, portOwner } from '../../lib/host-ports/index.ts'
import type { Log } from '../../lib/log.ts'
import type { Claim } from './plan.ts'

export interface Refusal {
  claim: Claim
  /** "port 80/tcp of this machine is in use by nginx (pid 1)" */
  message: string
}

const idOf = ({ protocol, port }: Pick<Claim, 'protocol' | 'port'>): string => `${protocol} ${port}`

/** Holds the host ports of services, so that they are nobody else's. */
export const createNodePorts = (log: Log, onStray: () => void) => {
  const held = new Map<string, { port: HeldPort | undefined; claim: Claim }>()

  const refusal = (claim: Claim, error: unknown): Refusal => {
    const { protocol, port } = claim
    const owner = protocol === 'sctp' ? undefined : portOwner(protocol, port)
    const who = owner && owner.pid !== process.pid ? `in use by ${owner.command} (pid ${owner.pid})` : 'in use'
    const why = error instanceof BindError && error.errno === 'EADDRINUSE' ? who : `not available: ${messageOf(error)}`
    return { claim, message: `port ${port}/${protocol} of this machine is ${why}` }
  }

  const hold = async (claim: Claim): Promise<void> => {
    const port = claim.protocol === 'sctp' ? undefined : await holdPort('', claim.port, claim.protocol)
    const entry = { port, claim }
    if (port) {
      port.onStray = onStray
      port.target = () => {
        const { targets } = entry.claim.plan
        return targets.length === 0 ? undefined : targets[randomInt(targets.length)]
      }
    }
    held.set(idOf(claim), entry)
  }

  return {
    /** Holds these and lets go of all others. Returns those that are ours, and why others are not. */
    async settle(claims: readonly Claim[]): Promise<{ won: Claim[]; refused: Refusal[] }> {
      const wanted = new Map(claims.map((claim) => [idOf(claim), claim]))
      for (const [id, { port }] of held) {
        if (wanted.has(id)) continue
        held.delete(id)
        port?.close()
      }
      const won: Claim[] = []
      const refused: Refusal[] = []
      for (const [id, claim] of wanted) {
        const known = held.get(id)
        try {
          if (known) known.claim = claim
          else await hold(claim)
          won.push(claim)
        } catch (error) {
          log.debug('host port not held', { id, error: messageOf(error) })
          refused.push(refusal(claim, error))
        }
      }
      return { won, refused }
    },
    close(): void {
      for (const { port } of held.values()) port?.close()
      held.clear()
    },
  }
}

export type NodePorts = ReturnType<typeof createNodePorts>
