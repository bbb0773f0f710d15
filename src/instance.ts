import { join, resolve } from 'node:path'
import { realpathSync } from './lib/fs.ts'
import type { Instance } from './engine/types.ts'
import { sha256Hex } from './lib/sha256.ts'

/** Where an instance keeps everything. */
export type Place = Pick<Instance, 'stateDir' | 'runDir' | 'logDir'> & { home: string | undefined }

/** From SLIPWAY_HOME, else the machine-wide default. */
export const placeOf = (env: Record<string, string | undefined>): Place => {
  const home = env.SLIPWAY_HOME ? real(resolve(env.SLIPWAY_HOME)) : undefined
  return {
    home,
    stateDir: home ? join(home, 'lib') : '/var/lib/slipway',
    runDir: home ? join(home, 'run') : '/run/slipway',
    logDir: home ? join(home, 'log') : '/var/log/slipway',
  }
}

/** Where it keeps everything, and the names it may use on the machine. */
export const instanceOf = (env: Record<string, string | undefined>): Instance & Place => {
  const place = placeOf(env)
  const id = sha256Hex(place.stateDir).slice(0, 4)
  return {
    ...place,
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
