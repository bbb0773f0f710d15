import { cpus, totalmem } from 'node:os'
import { isLoopback, type ResolvConf, readResolvConf } from '../../lib/dns/index.ts'

/** What this machine resolves names with. Behind a local stub (systemd-resolved), which no pod can reach: what the stub asks. */
export const hostResolver = (
  path = '/etc/resolv.conf',
  behindStub = '/run/systemd/resolve/resolv.conf',
): ResolvConf => {
  const direct = readResolvConf(path)
  if (!direct.servers.every(isLoopback)) return direct
  const real = readResolvConf(behindStub)
  return real.servers.length > 0 ? real : direct
}

/** What the node can give: whole CPUs, bytes. */
export const hostCapacity = (): { cpus: number; memoryBytes: number } => ({
  cpus: cpus().length,
  memoryBytes: totalmem(),
})
