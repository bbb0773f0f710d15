/** Takes down all that one instance has on the machine, whether its daemon runs or not, and nothing else. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createControlClient } from './clients/control/index.ts'
import { type Instance, removeHostRules } from './engine/index.ts'
import { SlipwayError } from './errors.ts'
import { instanceOf, socketsOf } from './instance.ts'
import { silentLog } from './lib/log.ts'
import { createLinux } from './sys/linux/index.ts'
import { endSupervisor } from './sys/supervisor.ts'
import type { Sys } from './sys/sys.ts'

const patienceMs = 10_000

export const resetInstance = async (env: Record<string, string | undefined>): Promise<void> => {
  if (process.getuid?.() !== 0)
    throw new SlipwayError('forbidden', 'only root can reset an instance', { hint: 'Run the same command with sudo.' })
  const instance = instanceOf(env)
  const sys = createLinux(instance, silentLog)
  endSupervisor(instance.runDir)
  await endDaemon(socketsOf(instance))
  await removeTraces(sys, instance)
}

/** Everything of an instance that would not outlive a power cut: processes, mounts, links, rules, groups, the run directory. */
export const removeTraces = async (sys: Sys, instance: Instance): Promise<void> => {
  await killAll(sys, instance.cgroupParent)
  unmountAll(sys, [instance.runDir, instance.stateDir])
  await removeLinks(sys, instance)
  for (const table of tablesOf(instance.nftTable))
    await sys.firewall.apply(`add table ${table}\ndelete table ${table}\n`)
  await removeHostRules(sys.processes, instance)
  sys.cgroups.remove(instance.cgroupParent)
  rmSync(instance.runDir, { recursive: true, force: true })
}

/** Every nft table an instance may have made: the engine's, and load balancing. */
const tablesOf = (name: string): string[] => [`inet ${name}`, `inet ${name}_svc`]

const endDaemon = async (sockets: ReturnType<typeof socketsOf>): Promise<void> => {
  if (!existsSync(sockets.daemon)) return
  const { pid } = JSON.parse(readFileSync(sockets.daemon, 'utf8')) as { pid: number }
  await createControlClient(sockets.control)
    .stop({ containers: true })
    .catch(() => {}) // it may be dead already: what it left is removed below
  for (const deadline = Date.now() + 60_000; Date.now() < deadline && alive(pid); )
    await new Promise((go) => setTimeout(go, 20))
}

const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('daemon')

const killAll = async (sys: Sys, cgroup: string): Promise<void> => {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
    const pids = sys.cgroups.pids(cgroup)
    if (pids.length === 0) return
    sys.cgroups.thaw(cgroup)
    for (const pid of pids) sys.processes.kill(pid, 'SIGKILL')
    await new Promise((go) => setTimeout(go, 20))
  }
  throw new SlipwayError('timeout', `processes of ${cgroup} do not end: ${sys.cgroups.pids(cgroup).join(', ')}`)
}

const unmountAll = (sys: Sys, prefixes: string[]): void => {
  for (const prefix of prefixes)
    for (const mount of sys.mounts.below(prefix).toReversed()) sys.mounts.unmount(mount.target, { detach: true })
}

/** By their names; those that were given another are known by their mark. */
const removeLinks = async (sys: Sys, instance: Instance): Promise<void> => {
  const links = (await sys.links.query(['link', 'show'])) as { ifname: string; ifalias?: string }[]
  const ours = links
    .filter(({ ifname, ifalias }) => ifname.startsWith(instance.linkPrefix) || ifalias === `slipway-${instance.id}`)
    .map(({ ifname }) => `link del dev ${ifname}`)
  if (ours.length > 0) await sys.links.batch(ours, { force: true })
}
