import { prepareImages } from '../app/images.ts'
import { pushImages } from '../app/push.ts'
import type { Command } from '../framework/command.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { progressFor } from '../framework/progress.ts'
import { openProject } from '../framework/project.ts'
import { openControl } from '../framework/target.ts'
import { wantedServices } from '../app/workloads.ts'

export const build: Command = {
  name: 'build',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Build or rebuild the images of services',
  details:
    "With a directory, an address or '-' instead of services, it builds that one image, with docker's flags: slipway image build --help.",
  group: 'app',
  flags: [
    toggle('--no-cache', 'Do not use the cache'),
    toggle('--pull', 'Always look for a newer version of the base images'),
    list('--build-arg', 'KEY=VALUE', 'Set build arguments'),
    toggle('--with-dependencies', 'Build what the services depend on, too'),
    toggle('--push', 'Push the images after building'),
    text('--image-prefix', 'REGISTRY/PATH', 'Where --push pushes images to whose name has no registry'),
    toggle('-q, --quiet', 'Print nothing'),
  ],
  async run(invocation) {
    const { shell, flags, args } = invocation
    const project = await openProject(invocation, { services: args })
    const services = wantedServices(project, args, flags['with-dependencies'] !== true).filter((s) => s.build)
    const control = await openControl(invocation)
    const progress = progressFor(invocation, 'build', flags.quiet === true)
    const pairs = ((flags['build-arg'] as string[] | undefined) ?? []).map((a): [string, string] => [
      a.split('=')[0]!,
      a.includes('=') ? a.slice(a.indexOf('=') + 1) : (shell.env[a] ?? ''),
    ])
    try {
      const images = await prepareImages(
        control,
        {
          project,
          services,
          build: true,
          noBuild: false,
          pull: undefined,
          noCache: flags['no-cache'] === true,
          pullBases: flags.pull === true,
          buildArgs: Object.fromEntries(pairs),
          forOthers: true,
          quietPull: false,
          env: shell.env,
          signal: shell.signal,
        },
        progress,
      )
      const prefix = flags['image-prefix'] as string | undefined
      if (flags.push === true)
        await pushImages(control, { project, services, images, prefix, env: shell.env, signal: shell.signal }, progress)
    } finally {
      progress.end()
    }
    return 0
  },
}

export const pull: Command = {
  name: 'pull',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Pull the images of services',
  group: 'app',
  flags: [
    toggle('--ignore-buildable', 'Accepted: services that can be built are never pulled'),
    toggle('--include-deps', 'Pull what the services depend on, too'),
    text('--policy', 'POLICY', 'missing or always', ['missing', 'always']),
    toggle('-q, --quiet', 'Print nothing'),
  ],
  async run(invocation) {
    const { shell, flags, args } = invocation
    const project = await openProject(invocation, { services: args })
    const services = wantedServices(project, args, flags['include-deps'] !== true).filter((s) => !s.build)
    const control = await openControl(invocation)
    const progress = progressFor(invocation, 'pull', flags.quiet === true)
    const policy = (flags.policy as 'missing' | 'always' | undefined) ?? 'always'
    try {
      await prepareImages(
        control,
        {
          project,
          services,
          build: false,
          noBuild: true,
          pull: policy,
          noCache: false,
          pullBases: false,
          buildArgs: {},
          forOthers: false,
          quietPull: false,
          env: shell.env,
          signal: shell.signal,
        },
        progress,
      )
    } finally {
      progress.end()
    }
    return 0
  },
}
