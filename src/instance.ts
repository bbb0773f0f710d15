import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Instance } from './engine/types.ts'

/** Where an instance keeps everything, and the names it may use: from SLIPWAY_HOME, else the machine-wide default. */
export const instanceOf = (env: Record<string, string | undefined>): Instance & { home: string | undefined } => {
  const home = env.SLIPWAY_HOME ? real(resolve(env.SLIPWAY_HOME)) : undefined
  const stateDir = home ? join(home, 'lib') : '/var/lib/slipway'
  const id = createHash('sha256').update(stateDir).digest('hex').slice(0, 4)
  return {
    home,
    stateDir,
    runDir: home ? join(home, 'run') : '/run/slipway',
    logDir: home ? join(home, 'log') : '/var/log/slipway',
    id,
    linkPrefix: `sw${id}`,
    nftTable: `slipway_${id}`,
    cgroupParent: `/slipway-${id}`,
  }
}

/** The same directory by two names is the same instance. */
const real = (path: string): string => {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** The sockets and files others find an instance by. */
export const socketsOf = (instance: Pick<Instance, 'runDir' | 'stateDir'>) => ({
  /** Docker Engine API, 0660. */
  docker: join(instance.runDir, 'docker.sock'),
  /** Kubernetes API without TLS, 0600: for our own command line. */
  kube: join(instance.runDir, 'kube.sock'),
  /** Daemon control, 0600. */
  control: join(instance.runDir, 'control.sock'),
  kubeconfig: join(instance.stateDir, 'kubeconfig'),
  /** What the running daemon says of itself. */
  daemon: join(instance.runDir, 'daemon.json'),
})
