/** The real operating system behind the ports of sys.ts. */
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../sys.ts'
import { createCgroups } from './cgroups.ts'
import { files } from './files.ts'
import { createFirewall } from './firewall.ts'
import { fastDeflate } from './isal.ts'
import { createLinks, createRunIn } from './links.ts'
import { createMounts } from './mounts.ts'
import { createNamespaces } from './namespaces.ts'
import { packets } from './packets.ts'
import { processes } from './processes.ts'
import { createOciRuntime, refusedByCrun } from './runtime.ts'
import { createSharedRun } from './shared-run.ts'

export { bindSocket } from './bound-socket.ts'
export { spawnDaemon } from './daemon-process.ts'
export { takeLock } from './lock.ts'
export { returnFreeMemory } from './memory.ts'
export { takeNotifier } from './notify.ts'
export { reserveRoom } from './reserve.ts'

/** `instance.runDir` is where the runtime's own mount namespace is pinned, when it needs one. */
export const createLinux = (instance: { runDir: string }, log: Log): Sys => {
  const shared = createSharedRun(instance.runDir, refusedByCrun)
  const namespaces = createNamespaces(log, shared.ensure)
  const runIn = createRunIn(namespaces)
  return {
    processes: { ...processes, ociRuntime: createOciRuntime(instance.runDir, log, shared.ensure) },
    mounts: createMounts(shared.ensure),
    namespaces,
    links: createLinks(namespaces, runIn),
    firewall: createFirewall(runIn),
    files,
    cgroups: createCgroups(),
    packets,
    fastDeflate,
  }
}
