/** Takes away all of an instance that a machine loses when its power is cut. */
import { rmSync } from 'node:fs'
import { instanceOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'

export const tearDown = async (home: string): Promise<void> => {
  const instance = instanceOf({ SLIPWAY_HOME: home })
  const sys = createLinux(instance, silentLog)
  for (
    let pids = sys.cgroups.pids(instance.cgroupParent);
    pids.length > 0;
    pids = sys.cgroups.pids(instance.cgroupParent)
  ) {
    for (const pid of pids) sys.processes.kill(pid, 'SIGKILL')
    await new Promise((go) => setTimeout(go, 20))
  }
  for (const dir of [instance.runDir, instance.stateDir])
    for (const mount of sys.mounts.below(dir).toReversed()) sys.mounts.unmount(mount.target, { detach: true })
  const links = (await sys.links.query(['link', 'show'])) as { ifname: string }[]
  const ours = links.filter((l) => l.ifname.startsWith(instance.linkPrefix)).map((l) => `link del dev ${l.ifname}`)
  if (ours.length > 0) await sys.links.batch(ours, { force: true })
  for (const table of [instance.nftTable, `${instance.nftTable}_svc`])
    await sys.firewall.apply(`add table inet ${table}\ndelete table inet ${table}\n`)
  rmSync(instance.runDir, { recursive: true, force: true })
}
