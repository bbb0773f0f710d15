/** BuildKit's API for buildx and Compose: POST /session and POST /grpc, both HTTP/2 on a connection that is taken over. */
import type { Exchange, Route } from '../server.ts'
import { route } from '../server.ts'
import { Arrivals } from './arrivals.ts'
import { type ControlDeps, controlMethods } from './control.ts'
import { gatewayMethods } from './gateway.ts'
import type { Job } from './job.ts'
import { Results } from './results.ts'
import { serveGrpc } from './server.ts'
import { type Session, upgradedSession } from './session.ts'
import { sessionStream } from './session-stream.ts'
import { versionedBuild } from './versioned-build.ts'

interface BuildKit {
  routes: Route[]
  /** Serves POST /build of clients that ask for BuildKit there. */
  build(x: Exchange): Promise<void>
}

export const buildkit = (given: Omit<ControlDeps, 'sessions' | 'jobs' | 'results'>): BuildKit => {
  const deps: ControlDeps = {
    ...given,
    sessions: new Arrivals<Session>('active session'),
    jobs: new Arrivals<Job>('such job'),
    results: new Results(),
  }
  const methods = { ...controlMethods(deps), ...gatewayMethods(deps), ...sessionStream(deps.sessions) }
  const versioned = versionedBuild(deps)
  return {
    routes: [
      route('POST', '/grpc', (x) => serveGrpc(x.hijack('application/grpc'), methods, deps.log)),
      route('POST', '/session', (x) => openSession(deps, x)),
      ...versioned.routes,
    ],
    build: (x) => versioned.serve(x),
  }
}

const openSession = (deps: ControlDeps, x: Exchange): Promise<void> =>
  new Promise((closed) => {
    const session = upgradedSession(x, () => x.hijack('application/grpc'))
    deps.sessions.add(session.id, session)
    session.client.onClose(() => {
      deps.sessions.remove(session.id, session)
      closed()
    })
  })
