/** `manifest inspect`: what a registry has under a name. */
import { createControlClient } from '../../../clients/control/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import { isIndexType } from '../../../spec/oci/index.ts'
import { registryAuth } from '../app/registry-auth.ts'
import { out } from '../framework/command.ts'
import { ensureDaemon } from '../framework/daemon.ts'
import { toggle } from '../framework/flags.ts'
import type { Call, Subcommand } from '../framework/subcommands.ts'
import { referenceOf } from './reference.ts'

const inspect = async ({ shell, args }: Call): Promise<number> => {
  const reference = referenceOf(args[0]!)
  await ensureDaemon(shell)
  const control = createControlClient(socketsOf(placeOf(shell.env)).control)
  const auth = await registryAuth(reference.domain, shell.env)
  const { descriptor, body } = await control.manifest({ reference: args[0]!, auth }, shell.signal)
  // Lists and manifests are indented differently by docker, and lists have an order of their own.
  const document = JSON.parse(body) as { manifests?: Entry[] }
  if (isIndexType(descriptor.mediaType))
    out(shell, JSON.stringify({ ...document, manifests: (document.manifests ?? []).map(ordered) }, undefined, 3))
  else out(shell, JSON.stringify(document, undefined, '\t'))
  return 0
}

interface Entry {
  mediaType: string
  size: number
  digest: string
  platform?: { architecture: string; os: string }
}

const ordered = ({ mediaType, size, digest, platform, ...rest }: Entry): object => {
  const { architecture, os, ...more } = platform ?? { architecture: '', os: '' }
  return { mediaType, size, digest, ...rest, ...(platform && { platform: { architecture, os, ...more } }) }
}

export const manifestInspect: Subcommand = {
  usage: 'MANIFEST',
  summary: 'Show the manifest or the list of manifests that a registry has under a name',
  args: [1, 1],
  flags: [toggle('--insecure', 'Accepted: hosts.toml and certs.d say how registries are reached')],
  run: inspect,
}
