/** Who builds: our command line, and docker's client and buildah, each with a cache of its own. */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Bench } from './bench.ts'
import { launcher } from './instance.ts'
import { must } from './program.ts'

export interface ImageBuilder {
  name: string
  /** Wall time in ms of building each directory of `projects` to an image of that name; at once where it can do that. */
  build(projects: Readonly<Record<string, string>>, network?: 'host' | 'none'): Promise<number>
  /** An archive of docker's becomes an image under the name it has there. */
  load(archive: string): Promise<unknown>
  /** What earlier builds have left is gone, but for images with one of these names. */
  forget(keep: readonly string[]): Promise<void>
}

export interface ImageBuilders {
  slipway: ImageBuilder
  /** docker's client at our daemon and at dockerd: through BuildKit's API, and the classic endpoint. */
  ours: { buildkit: ImageBuilder; classic: ImageBuilder }
  theirs: { buildkit: ImageBuilder; classic: ImageBuilder }
  buildah: ImageBuilder
}

/** `dir` takes what they keep. */
export const imageBuilders = async (
  bench: Bench,
  dir: string,
  theirs: Awaited<ReturnType<Bench['theirs']>>,
): Promise<ImageBuilders> => {
  const ours = await bench.ours()
  // Debian's client of dockerd's own version speaks BuildKit's protocol without a plugin.
  const { stdout } = await must(['sh', '-c', 'command -v dockerd'], bench.env)
  const client = join(dirname(stdout.trim()), '../bin/docker')
  const docker = (host: string, name: string, kit: boolean): ImageBuilder => {
    const env = {
      ...bench.env,
      DOCKER_BUILDKIT: kit ? '1' : '0',
      DOCKER_HOST: host,
      DOCKER_CONFIG: join(dir, 'config'),
    }
    const call = (...args: string[]) => must([client, ...args], env, { limitMs: 600_000 })
    return {
      name,
      async build(projects, network) {
        const from = performance.now()
        const flags = network ? ['--network', network] : []
        await Promise.all(Object.entries(projects).map(([tag, path]) => call('build', ...flags, '-t', tag, path)))
        return performance.now() - from
      },
      load: (archive) => call('load', '-q', '-i', archive),
      async forget(keep) {
        const names = (await call('images', '--format', '{{.Repository}}:{{.Tag}}')).stdout.split('\n').filter(Boolean)
        const gone = names.filter((each) => !each.startsWith('<none>') && !keep.includes(each))
        if (gone.length > 0) await call('rmi', '-f', ...gone)
        await call('image', 'prune', '-f')
        await call('builder', 'prune', '-af')
      },
    }
  }
  const buildkit = docker(ours.host, 'slipway by docker build', true)
  return {
    slipway: slipway(ours.instance.env, dir, buildkit),
    ours: { buildkit, classic: docker(ours.host, 'slipway by docker build, classic', false) },
    theirs: {
      buildkit: docker(theirs.host, `dockerd ${theirs.version}, BuildKit`, true),
      classic: docker(theirs.host, `dockerd ${theirs.version}, classic`, false),
    },
    buildah: await buildah(bench, dir),
  }
}

/** `slipway build DIRECTORY`, and with a compose file where there are several. */
const slipway = (env: Bench['env'], dir: string, docker: ImageBuilder): ImageBuilder => ({
  name: 'slipway build',
  async build(projects, network) {
    const [[tag, path] = ['', ''], ...more] = Object.entries(projects)
    if (more.length === 0 && !network)
      return (await must([launcher, 'build', '-t', tag, path], env, { limitMs: 600_000 })).ms
    const services = Object.entries(projects).map(([image, context], i) => [
      `s${i}`,
      { image, build: { context, network } },
    ])
    const file = join(dir, 'compose.yaml')
    writeFileSync(file, JSON.stringify({ name: 'bench', services: Object.fromEntries(services) }))
    return (await must([launcher, '--progress', 'plain', '-f', file, 'build'], env, { limitMs: 600_000 })).ms
  },
  load: (archive) => docker.load(archive),
  forget: (keep) => docker.forget(keep),
})

/**
 * In a mount namespace of its own: no mount is left behind, and a hybrid cgroup layout is hidden, which its runtime would
 * refuse.
 */
const buildah = async (bench: Bench, dir: string): Promise<ImageBuilder> => {
  const home = ['--root', join(dir, 'buildah'), '--runroot', join(dir, 'buildah-run'), '--storage-driver', 'overlay']
  const policy = join(dir, 'policy.json')
  const registries = join(dir, 'registries.conf')
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  writeFileSync(registries, 'unqualified-search-registries = []\n')
  const env = { ...bench.env, CONTAINERS_REGISTRIES_CONF: registries }
  const inside = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec buildah "$@"'
  const call = (...args: string[]) =>
    must(['unshare', '--mount', 'sh', '-c', inside, 'sh', ...home, ...args], env, { limitMs: 600_000 })
  return {
    name: 'buildah',
    /** One after the other: two at once do not share what both need. */
    async build(projects, network = 'none') {
      const from = performance.now()
      for (const [tag, path] of Object.entries(projects))
        await call('build', '--layers', '--network', network, '--signature-policy', policy, '-t', tag, path)
      return performance.now() - from
    },
    load: (file) => call('pull', '-q', '--signature-policy', policy, `docker-archive:${file}`),
    async forget(keep) {
      const { stdout } = await call('images', '-a', '--json')
      const listed = JSON.parse(stdout) as { id: string; names?: string[] | null }[]
      const kept = (name: string): boolean => keep.some((each) => name === each || name.endsWith(`/${each}`))
      const gone = new Set(listed.filter(({ names }) => !names?.some(kept)).map(({ id }) => id))
      if (gone.size > 0) await call('rmi', '-f', ...gone)
    },
  }
}
