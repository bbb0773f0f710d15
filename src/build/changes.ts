/** `--change` of docker commit and docker import: Dockerfile instructions that only change an image's configuration. */
import { isError, SlipwayError } from '../errors.ts'
import type { ImageProcessConfig } from '../spec/oci/index.ts'
import { Allowance } from './dockerfile/expand.ts'
import { parseDockerfile } from './dockerfile/parser.ts'
import { SyntaxFault } from './dockerfile/source.ts'
import { emptyStage, lowerStage } from './solver/stage.ts'

/** Those that dockerd takes (moby: builder/dockerfile, validCommitCommands). */
const allowed = new Set('CMD ENTRYPOINT HEALTHCHECK ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR'.split(' '))

/** What `changes` make of a configuration. Another instruction: 'bad-request'; a malformed one: 'invalid', in the builder's words. */
export const changedConfig = (config: ImageProcessConfig, changes: readonly string[]): ImageProcessConfig => {
  // Before anything is parsed, unknown words included.
  const words = changes.flatMap((change) => /^\s*([a-z]\w*)/i.exec(change)?.[1] ?? [])
  const other = words.find((word) => !allowed.has(word.toUpperCase()))
  if (other !== undefined) throw new SlipwayError('bad-request', `${other} is not a valid change command`)
  const { source, stages } = parsed(['FROM scratch', ...changes].join('\n'))
  const commands = stages.flatMap((stage) => stage.commands)
  const env = new Map((config.Env ?? []).map((entry) => [entry.split('=', 1)[0]!, entry.slice(entry.indexOf('=') + 1)]))
  const base = { ...emptyStage({ os: 'linux', architecture: 'amd64' }), config, env, workdirSet: true }
  return lowerStage(base, commands, {
    source,
    lint: { warn: () => {}, failIfAsked: () => {} },
    buildArgs: {},
    globals: new Map(),
    allowance: new Allowance(),
    automounts: [],
    devices: () => [],
    // The directory that WORKDIR makes is made when a container starts.
    node: (_command, _op, input) => input,
  }).config
}

/** There is no file whose lines could be told. */
const parsed = (text: string): ReturnType<typeof parseDockerfile> => {
  try {
    return parseDockerfile('--change', text)
  } catch (error) {
    if (!isError(error) || !(error.cause instanceof SyntaxFault)) throw error
    throw new SlipwayError(error.code, error.cause.message, { cause: error, hint: error.hint })
  }
}
