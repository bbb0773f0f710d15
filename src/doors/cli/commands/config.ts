import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { listVariables, renderConfig, serviceHash } from '../../../compose/index.ts'
import { imageName } from '../app/images.ts'
import { pickServices } from '../app/workloads.ts'
import { type Command, out, table } from '../framework/command.ts'
import { text, toggle } from '../framework/flags.ts'
import { loadOptions, openProject } from '../framework/project.ts'

export const config: Command = {
  name: 'config',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'Parse, resolve and show the compose file in canonical form',
  group: 'app',
  flags: [
    text('--format', 'FORMAT', 'yaml or json', ['yaml', 'json']),
    toggle('-q, --quiet', 'Only validate'),
    toggle('--services', 'Print the service names, one a line'),
    toggle('--volumes', 'Print the volume names, one a line'),
    toggle('--networks', 'Print the network names, one a line'),
    toggle('--profiles', 'Print the profile names, one a line'),
    toggle('--images', 'Print the image names, one a line'),
    toggle('--variables', 'Print the variables that the files mention'),
    toggle('--environment', 'Print the environment used for interpolation'),
    text('--hash', 'SERVICE', 'Print the hash of a service\'s configuration; "*" is all'),
    text('-o, --output', 'FILE', 'Write to a file'),
    toggle('--no-interpolate', 'Do not interpolate variables'),
    toggle('--no-normalize', 'Do not normalize the model'),
    toggle('--no-path-resolution', 'Do not resolve paths'),
  ],
  async run(invocation) {
    const { flags, args, shell } = invocation
    if (flags.variables === true) {
      const rows = (await listVariables(loadOptions(invocation))).map((v) => [
        v.name,
        String(v.required),
        v.default,
        v.alternate,
      ])
      out(shell, table(['NAME', 'REQUIRED', 'DEFAULT VALUE', 'ALTERNATE VALUE'], rows))
      return 0
    }
    const project = await openProject(invocation, {
      services: args,
      interpolate: flags['no-interpolate'] !== true,
      normalize: flags['no-normalize'] !== true,
      resolvePaths: flags['no-path-resolution'] !== true,
    })
    const named = Object.keys(project.services).map((service) => ({ service }))
    pickServices(named, args)
    const services = Object.values(project.services).filter((s) => args.length === 0 || args.includes(s.name))
    const lines = (items: string[]): number => {
      for (const item of items) out(shell, item)
      return 0
    }
    if (flags.quiet === true) return 0
    if (flags.services === true) return lines(services.map((s) => s.name).sort())
    if (flags.volumes === true) return lines(Object.keys(project.volumes).sort())
    if (flags.networks === true) return lines(Object.keys(project.networks).sort())
    if (flags.images === true) return lines(services.map((s) => imageName(project, s)))
    if (flags.profiles === true) {
      const all = [...Object.values(project.services), ...Object.values(project.disabledServices)].flatMap(
        (s) => s.profiles ?? [],
      )
      return lines([...new Set(all)].sort())
    }
    if (flags.environment === true) return lines(Object.entries(project.environment).map(([k, v]) => `${k}=${v}`))
    if (flags.hash !== undefined) {
      const wanted =
        flags.hash === '*'
          ? services
          : services.filter((s) => pickServices(named, String(flags.hash).split(',')).some((n) => n.service === s.name))
      return lines(await Promise.all(wanted.map(async (s) => `${s.name} ${await serviceHash(s)}`)))
    }
    const text = await renderConfig(project, {
      format: (flags.format as 'yaml' | 'json' | undefined) ?? 'yaml',
      interpolated: flags['no-interpolate'] !== true,
      ...(args.length > 0 ? { services: args } : {}),
    })
    if (flags.output) writeFileSync(resolve(shell.cwd, flags.output as string), text)
    else shell.stdout.write(text)
    return 0
  },
}
