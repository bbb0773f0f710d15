/** Swarm's endpoints, answered as dockerd does on a machine that is in no swarm. */
import { SlipwayError } from '../../errors.ts'
import { type Handler, type Route, route } from './server.ts'

const noManager: Handler = () => {
  throw new SlipwayError(
    'unavailable',
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  )
}
const noSwarm: Handler = () => {
  throw new SlipwayError('unavailable', 'This node is not part of a swarm')
}
/** What would make it one. */
const notOffered: Handler = () => {
  throw new SlipwayError('unsupported', 'swarm mode is not offered by this engine', {
    hint: 'slipway up runs a Compose file with replicas, rolling updates and health checks.',
  })
}

/** A list, and one of it: read, changed, removed. */
const resource = (name: string): Route[] => [
  route('GET', `/${name}`, noManager),
  route('GET', `/${name}/:id`, noManager),
  route('DELETE', `/${name}/:id`, noManager),
  route('POST', `/${name}/:id/update`, noManager),
]

export const swarmRoutes: readonly Route[] = [
  route('GET', '/swarm', noManager),
  route('POST', '/swarm/init', notOffered),
  route('POST', '/swarm/join', notOffered),
  route('POST', '/swarm/leave', noSwarm),
  route('POST', '/swarm/update', noManager),
  route('GET', '/swarm/unlockkey', noManager),
  route('POST', '/swarm/unlock', noManager),
  ...['services', 'secrets', 'configs'].map((name) => route('POST', `/${name}/create`, noManager)),
  ...['services', 'nodes', 'secrets', 'configs'].flatMap(resource),
  route('GET', '/tasks', noManager),
  route('GET', '/tasks/:id', noManager),
  route('GET', '/services/:id/logs', noManager),
  route('GET', '/tasks/:id/logs', noManager),
]
