import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Env, eventually, run, start } from './program.ts'

export interface Dockerd {
  /** For DOCKER_HOST. */
  host: string
  version: string
  stop(): Promise<void>
}

/**
 * Debian's dockerd with everything of its own: data, sockets, cgroup, and a mount and a network namespace, so that its
 * bridge meets nobody. Rules of iptables are off where nothing needs them: they can only make it slower, so the comparison errs
 * in its favour.
 * Hybrid cgroups are hidden from it, as they are from our own runtime.
 */
export const startDockerd = async (
  env: Env,
  /**
   * `enter` leads into a network namespace to use instead of a new one; published ports need iptables; with `live` its
   * containers survive it, and it is started anew when it dies; with `online` it has no bridge but this machine's network.
   */
  {
    enter,
    iptables = false,
    live = false,
    online = false,
  }: { enter?: readonly string[]; iptables?: boolean; live?: boolean; online?: boolean } = {},
): Promise<Dockerd> => {
  const home = mkdtempSync(join(tmpdir(), 'slipway-dockerd-'))
  const host = `unix://${home}/docker.sock`
  const script = `
    umount /sys/fs/cgroup/unified 2>/dev/null
    ip link set lo up
    ${live ? `while [ ! -e ${home}/over ]; do` : 'exec'} dockerd --data-root ${home}/data --exec-root ${home}/exec -H ${host} --pidfile ${home}/pid \\
      ${iptables ? '' : '--iptables=false --ip6tables=false --ip-masq=false --userland-proxy=false'} \\
      --cgroup-parent /slipway-bench-${process.pid} ${live ? '--live-restore' : ''} ${online ? '--bridge=none' : ''} >>${home}/log 2>&1
    ${live ? 'done' : ''}`
  const inside = enter ?? (online ? [] : ['unshare', '--net'])
  // The shell becomes dockerd, so the child's pid is dockerd's.
  const child = start([...inside, 'unshare', '--mount', 'sh', '-c', script], env, 'ignore')
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let ended = false
  void gone.then(() => (ended = true))
  const docker = (...args: string[]) => run(['docker', '-H', host, ...args], env)
  const stop = async (): Promise<void> => {
    if (!ended) {
      const { stdout } = await docker('ps', '-aq')
      const ids = stdout.split('\n').filter(Boolean)
      for (let i = 0; i < ids.length; i += 50) await docker('rm', '-f', ...ids.slice(i, i + 50))
      writeFileSync(join(home, 'over'), '')
      process.kill(Number(readFileSync(join(home, 'pid'), 'utf8')), 'SIGTERM')
    }
    await gone
    await run([
      'sh',
      '-c',
      // With those that builds were run in.
      `find /sys/fs/cgroup -depth -type d -path '*/slipway-bench-${process.pid}*' -exec rmdir {} + 2>/dev/null`,
    ])
    rmSync(home, { recursive: true, force: true })
  }
  try {
    const version = await eventually('dockerd', async () => {
      if (ended) throw new Error(`dockerd did not start:\n${readFileSync(join(home, 'log'), 'utf8').slice(-2000)}`)
      const { code, stdout } = await docker('version', '--format', '{{.Server.Version}}')
      return code === 0 ? stdout.trim() : undefined
    })
    return { host, version, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
