/** Drives Debian's docker-compose 1.29 (Python) and docker compose 2.x on one daemon. */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { collect, type Docker, type Ran, type RunOptions, startDocker } from './docker-kit.ts'
import { clientsIn } from './tools.ts'

interface Client {
  /** Whatever comes of it. */
  run(args: string[], options?: RunOptions): Promise<Ran>
  /** Must succeed; standard output without the last newline. */
  ok(args: string[], options?: RunOptions): Promise<string>
}
interface Compose {
  docker: Docker
  v1(project: string): Client
  v2(project: string): Client
  /** A directory with these files and a busybox. */
  project(name: string, files: Record<string, string>): string
  stop(): void
}

const client = (program: string, before: string[], env: NodeJS.ProcessEnv, cwd: string): Client => {
  const run: Client['run'] = (args, options = {}) =>
    collect(program, [...before, ...args], { timeoutMs: 90_000, cwd, ...options, env: { ...env, ...options.env } })
  return {
    run,
    async ok(args, options) {
      const ran = await run(args, options)
      assert.equal(ran.code, 0, `${program} ${[...before, ...args].join(' ')}\n${ran.stdout}${ran.stderr}`)
      return ran.stdout.replace(/\n$/, '')
    },
  }
}

export const startCompose = (): Compose => {
  const bin = clientsIn('docker-buildx', 'docker-compose-v2', 'docker-compose-v1')
  const docker = startDocker()
  const plugins = join(docker.dir, 'docker-config', 'cli-plugins')
  mkdirSync(plugins, { recursive: true })
  symlinkSync(join(bin, 'docker-buildx'), join(plugins, 'docker-buildx'))
  symlinkSync(join(bin, 'docker-compose-v2'), join(plugins, 'docker-compose'))
  const env = {
    ...docker.instance.env,
    DOCKER_CONFIG: dirname(plugins),
    BUILDKIT_PROGRESS: 'plain',
    NO_COLOR: '1',
    COMPOSE_ANSI: 'never',
  }
  return {
    docker,
    v1: (project) => client(join(bin, 'docker-compose-v1'), ['--ansi', 'never'], env, project),
    v2: (project) => client('docker', ['compose', '--progress', 'plain'], env, project),
    project(name, files) {
      const root = join(docker.dir, name)
      mkdirSync(root, { recursive: true })
      copyFileSync('/bin/busybox', join(root, 'busybox'))
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), text)
      }
      return root
    },
    stop: () => docker.stop(),
  }
}
