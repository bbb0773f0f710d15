/** Ports that `up` is about to publish on this machine: taken ones are found out before anything is changed. */
import { SlipwayError } from '../../../errors.ts'
import { BindError, holdPort, portOwner } from '../../../lib/host-ports/index.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Service } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'
import { projectLabel, serviceLabel } from './labels.ts'

interface Wanted {
  service: string
  /** '' is every address. */
  host: string
  port: number
  protocol: 'tcp' | 'udp'
}

/** Set by the embedded cluster on a LoadBalancer Service. */
const portsBound = 'slipway.dev/PortsBound'

const identity = (s: Service): string => `${s.metadata.namespace}/${s.metadata.name}`
const portsOf = (s: Service): Wanted[] =>
  s.spec?.type !== 'LoadBalancer'
    ? []
    : (s.spec.ports ?? []).map((p) => ({
        service: s.metadata.labels?.[serviceLabel] ?? s.metadata.name!,
        host: s.metadata.annotations?.[hostIpAnnotation] ?? '',
        port: p.port,
        protocol: p.protocol === 'UDP' ? 'udp' : 'tcp',
      }))

const clash = (a: Wanted, b: Wanted): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.host === '' || b.host === '' || a.host === b.host)

const taken = (wanted: Wanted, by: string): SlipwayError =>
  new SlipwayError(
    'conflict',
    `service ${wanted.service}: port ${wanted.port}/${wanted.protocol} is already in use by ${by}`,
    { hint: `Stop that, or publish another port: ports: ["OTHER:…"]. Nothing was changed.` },
  )

/** Rejects with 'conflict', naming the port and who has it. What the project itself has published already is fine. */
export const checkPorts = async (client: ObjectClient, objects: readonly kinds.KubeObject[]): Promise<void> => {
  const wanted = objects.filter((o) => o.kind === 'Service') as Service[]
  const mine = new Set(wanted.map(identity))
  if (!wanted.some((s) => portsOf(s).length > 0)) return
  const { items } = await client.list(kinds.Service)
  const held = items.filter((s) => mine.has(identity(s)) && bound(s)).flatMap(portsOf)
  const others = items.filter((s) => !mine.has(identity(s)))
  for (const port of wanted.flatMap(portsOf)) {
    if (held.some((h) => clash(h, port))) continue
    const other = others.find((s) => portsOf(s).some((p) => clash(p, port)))
    // A Service of this project under an old name goes away with this very `up`.
    const stale = other?.metadata.namespace === wanted[0]!.metadata.namespace
    if (other && !stale)
      throw taken(port, `service ${portsOf(other)[0]!.service} of project ${other.metadata.labels?.[projectLabel]}`)
    if (!other) await tryPort(port)
  }
}

const bound = (s: Service): boolean => (s.status?.loadBalancer?.ingress ?? []).length > 0

const tryPort = async (port: Wanted): Promise<void> => {
  try {
    const held = await holdPort(port.host, port.port, port.protocol)
    held.close()
  } catch (error) {
    if (!(error instanceof BindError)) throw error
    if (error.errno === 'EADDRINUSE') {
      const owner = portOwner(port.protocol, port.port)
      throw taken(port, owner ? `${owner.command} (pid ${owner.pid})` : 'another program')
    }
    if (error.errno === 'EADDRNOTAVAIL')
      throw new SlipwayError('invalid', `service ${port.service}: this machine has no address ${port.host}`, {
        hint: 'Publish on 127.0.0.1, on an address of this machine, or on all: leave the address out.',
      })
    // EACCES and others: the daemon, which is root, may do what this process may not.
  }
}

const patienceMs = 3000

/** Somebody may have been quicker: waits until the cluster has the ports; 'conflict' with its reason when it cannot get them. */
export const waitForPorts = async (
  client: ObjectClient,
  objects: readonly kinds.KubeObject[],
  signal: AbortSignal,
): Promise<void> => {
  const published = (objects.filter((o) => o.kind === 'Service') as Service[]).filter((s) => portsOf(s).length > 0)
  for (const { metadata } of published) {
    const deadline = Date.now() + patienceMs
    for (let wait = 5; !signal.aborted; wait = Math.min(wait * 2, 200)) {
      const now = await client.get(kinds.Service, { namespace: metadata.namespace, name: metadata.name! })
      if (!now || bound(now)) break
      const condition = now.status?.conditions?.find((c) => c.type === portsBound && c.status === 'False')
      if (Date.now() > deadline) {
        if (!condition) break
        const { service } = portsOf(now)[0]!
        throw new SlipwayError('conflict', `service ${service}: ${condition.message}`, {
          hint: 'It runs, but cannot be reached there. Stop what has the port: it is tried again by itself.',
        })
      }
      await new Promise((go) => setTimeout(go, wait))
    }
  }
}
