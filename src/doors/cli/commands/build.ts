import { prepareImages } from '../app/images.ts'
import { wantedServices, progressFor } from './up.ts'
import type { Command } from '../framework/command.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { openProject } from '../framework/project.ts'
import { openControl } from '../framework/target.ts'

export const build: Command = {
  name: 'build',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Build or rebuild the images of services',
  group: 'app',
  flags: [
    toggle('--no-cache', 'Do not use the cache'),
    toggle('--pull', 'Always look for a newer version of the base images'),
    list('--build-arg', 'KEY=VALUE', 'Set build arguments'),
    toggle('-q, --quiet', 'Print nothing'),
  ],
  async run(invocation) {
    const { shell, flags, args } = invocation
    const project = await openProject(invocation, { services: args })
    const services = wantedServices(project, args, true).filter((s) => s.build)
    const control = await openControl(invocation)
    const progress = progressFor(
      flags.quiet === true ? { ...invocation, globals: { ...invocation.globals, progress: 'quiet' } } : invocation,
      'build',
    )
    const pairs = ((flags['build-arg'] as string[] | undefined) ?? []).map((a): [string, string] => [
      a.split('=')[0]!,
      a.includes('=') ? a.slice(a.indexOf('=') + 1) : (shell.env[a] ?? ''),
    ])
    try {
      await prepareImages(
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

export const pull: Command = {
  name: 'pull',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Pull the images of services',
  group: 'app',
  flags: [
    toggle('--ignore-buildable', 'Leave out services that can be built (always so)'),
    text('--policy', 'POLICY', 'missing or always', ['missing', 'always']),
    toggle('-q, --quiet', 'Print nothing'),
  ],
  async run(invocation) {
    const { shell, flags, args } = invocation
    const project = await openProject(invocation, { services: args })
    const services = wantedServices(project, args, true).filter((s) => !s.build)
    const control = await openControl(invocation)
    const progress = progressFor(
      flags.quiet === true ? { ...invocation, globals: { ...invocation.globals, progress: 'quiet' } } : invocation,
      'pull',
    )
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
