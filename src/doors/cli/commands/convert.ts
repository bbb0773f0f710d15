import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createControlClient } from '../../../clients/control/index.ts'
import type { LowerOptions } from '../../../compose/index.ts'
import { lower, renderLossesJson, renderManifests } from '../../../compose/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { Project } from '../../../spec/compose/project.ts'
import { imageName, pinnedName } from '../app/images.ts'
import { remoteName } from '../app/push.ts'
import { reportLosses } from '../app/up.ts'
import { type Command, err, type Invocation } from '../framework/command.ts'
import { answers } from '../framework/daemon.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { openProject } from '../framework/project.ts'

export const convert: Command = {
  name: 'convert',
  usage: '[OPTIONS]',
  summary: 'Write the Kubernetes manifests that up applies',
  details: 'The files are numbered in the order they are to be applied: kubectl apply -f DIR',
  group: 'rollout',
  flags: [
    text('-o, --output', 'DIR', 'Write numbered files into DIR; default: all to standard output'),
    text('--image-prefix', 'REGISTRY/PATH', 'Registry where the images that the file builds are to be found'),
    text(
      '--image-tag',
      'TAG',
      'Tag of those images (default: that of their content where they are built here, else latest)',
    ),
    text('--for', 'DESTINATION', 'cluster (default): any Kubernetes; local: exactly what up applies here', [
      'cluster',
      'local',
    ]),
    list('--allow-loss', 'PATH', 'Go ahead without this key, which a cluster cannot do (services.web.cpuset, or all)'),
    toggle('--strict', 'Fail on every loss, also on warnings'),
    text('--report', 'FILE', 'Write the losses as JSON'),
  ],
  run: runConvert,
}

async function runConvert(invocation: Invocation): Promise<number> {
  const { flags, shell } = invocation
  const project = await openProject(invocation)
  const destination = (flags.for as 'local' | 'cluster' | undefined) ?? 'cluster'
  const images = await imagesFor(invocation, project, destination)
  const { objects, losses } = await lower(project, { destination, images })
  if (flags.report) writeFileSync(resolve(shell.cwd, flags.report as string), renderLossesJson(losses))
  const allowed = (flags['allow-loss'] as string[] | undefined) ?? []
  reportLosses(losses, { allowed, strict: flags.strict === true }, (line) => err(shell, line))
  const files = await renderManifests(objects)
  if (flags.output === undefined) {
    shell.stdout.write(files.map((f) => `# ${f.name}\n${f.content}`).join('---\n'))
    return 0
  }
  const dir = resolve(shell.cwd, flags.output as string)
  mkdirSync(dir, { recursive: true })
  for (const file of files) {
    writeFileSync(join(dir, file.name), file.content)
    err(shell, `INFO Kubernetes file "${join(flags.output as string, file.name)}" created`)
  }
  return 0
}

/** Names only: nothing is built. Where the daemon runs and has the image, its configuration (USER, EXPOSE …) is used. */
const imagesFor = async (
  invocation: Invocation,
  project: Project,
  destination: 'local' | 'cluster',
): Promise<LowerOptions['images']> => {
  const { flags, shell } = invocation
  const prefix = flags['image-prefix'] as string | undefined
  const { control } = socketsOf(placeOf(shell.env))
  const client = (await answers(control)) ? createControlClient(control) : undefined
  const images: LowerOptions['images'] = {}
  for (const service of Object.values(project.services)) {
    const name = imageName(project, service)
    const known = await client
      ?.ensureImage({ reference: name, policy: 'never', platform: undefined, auth: undefined }, () => {}, shell.signal)
      .catch(() => undefined)
    const asked = flags['image-tag'] as string | undefined
    const pinned = known && service.build ? pinnedName(name, known.id) : undefined
    const reference = !service.build
      ? name
      : destination === 'local'
        ? (pinned ?? name)
        : remoteName(project, service, asked ?? pinned?.split(':').at(-1) ?? 'latest', prefix)
    images[service.name] = { reference, ...(known ? { config: known.config } : {}) }
  }
  return images
}
