import type { OciMount } from '../../spec/oci/index.ts'
import type { ConfigInput } from './config.ts'

const mount = (destination: string, type: string, source: string, ...options: string[]): OciMount => ({
  destination,
  type,
  source,
  options,
})

const withoutTrailingSlash = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') : path)

/** Shallow targets first, so that a mount never hides one below it. Order among equals stays. */
export const sortedMounts = (mounts: readonly OciMount[]): OciMount[] => {
  const depth = ({ destination }: OciMount): number => withoutTrailingSlash(destination).split('/').length
  return [...mounts].sort((a, b) => depth(a) - depth(b))
}

/**
 * What every container has below /proc, /sys and /dev, except where a mount of its own takes the place. /dev is always a
 * fresh tmpfs: a /dev that an image brings (perhaps as a link) is never used.
 */
export const baseMounts = (input: ConfigInput, cgroupVersion: 1 | 2): OciMount[] => {
  const { privileged } = input.process.security
  const access = privileged ? 'rw' : 'ro'
  const cgroupOptions = ['nosuid', 'noexec', 'nodev', 'relatime', access]
  const shm =
    typeof input.shm === 'string'
      ? mount('/dev/shm', 'tmpfs', 'shm', 'nosuid', 'noexec', 'nodev', 'mode=1777', `size=${input.shmSize ?? 64 << 20}`)
      : mount('/dev/shm', 'bind', input.shm.path, 'rbind', 'rprivate', 'nosuid', 'noexec', 'nodev')
  const base = [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
    mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', access),
    // With cgroup v2 and a cgroup namespace of its own the container sees its own part only.
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', ...cgroupOptions, ...(cgroupVersion === 2 ? ['rprivate'] : [])),
    mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
    ...(input.shm === 'none' ? [] : [shm]),
  ]
  const taken = new Set(input.mounts.map(({ destination }) => withoutTrailingSlash(destination)))
  return base.filter(({ destination }) => !taken.has(destination) || destination === '/dev')
}
