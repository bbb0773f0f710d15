import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Env, must, run } from './program.ts'

/** Debian's packages of the peers; libraries that a plain Debian does not have come along. */
const packages = [
  'docker.io',
  'containerd',
  'runc',
  'tini',
  'iptables',
  'wrk',
  'libluajit-5.1-2',
  'libluajit-5.1-common',
  'podman',
  'buildah',
  'libsubid4',
  'libgpgme11',
  'libassuan0',
  'golang-github-containers-common',
  'golang-github-containers-image',
  'docker-registry',
]
const programs = ['dockerd', 'containerd', 'wrk', 'podman', 'buildah', 'docker-registry']

/**
 * An environment in which dockerd and wrk are on PATH. What the machine has is used; what it lacks is downloaded and
 * unpacked into a cache directory, not installed: installing docker.io would start a system service.
 */
export const withPeers = async (say: (line: string) => void): Promise<Env> => {
  const root = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'slipway-bench')
  const env: Env = {
    ...process.env,
    PATH: `${process.env.PATH}:/usr/sbin:/sbin:${root}/usr/bin:${root}/usr/sbin`,
    LD_LIBRARY_PATH: `${root}/usr/lib/x86_64-linux-gnu:${root}/usr/lib/aarch64-linux-gnu`,
  }
  const missing = await lacking(env)
  if (missing.length === 0) return env
  say(`not installed: ${missing.join(', ')}; unpacking Debian's packages into ${root}`)
  const [fresh, debs] = [`${root}.new`, `${root}.debs`]
  for (const directory of [fresh, debs]) {
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
  }
  chmodSync(debs, 0o777) // apt downloads as a user of its own
  const got = await run(['sh', '-c', 'cd "$1" && shift && apt-get -qq download "$@"', 'sh', debs, ...packages], env)
  if (got.code !== 0)
    throw new Error(`the benchmarks need Debian's ${packages.slice(0, 2).join(', ')} and wrk:\n${got.stderr}`)
  for (const deb of readdirSync(debs)) await must(['dpkg-deb', '-x', join(debs, deb), fresh], env)
  rmSync(debs, { recursive: true })
  if (existsSync(root)) rmSync(root, { recursive: true })
  renameSync(fresh, root)
  const still = await lacking(env)
  if (still.length > 0) throw new Error(`not in Debian's packages: ${still.join(', ')}`)
  return env
}

const lacking = async (env: Env): Promise<string[]> => {
  const found = await Promise.all(programs.map((name) => run(['sh', '-c', `command -v ${name}`], env)))
  return programs.filter((_, i) => found[i]!.code !== 0)
}
