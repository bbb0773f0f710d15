/** `docker inspect`: whatever has the name. */
import type { EngineClient } from '../../../clients/engine/index.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import { Exit } from '../framework/failure.ts'
import { text, toggle } from '../framework/flags.ts'
import { many, type Subcommand } from '../framework/subcommands.ts'
import { containerPath, imagePath, withEngine } from './calls.ts'
import { inspect } from './inspect.ts'
import { inspectFormat } from './option.ts'

type Read = (engine: EngineClient, name: string, size: boolean) => Promise<unknown>
const encoded = encodeURIComponent

/** In the order they are looked at. */
const kinds: Record<string, Read> = {
  container: (engine, name, size) => engine.json(containerPath(name, '/json'), { query: { size } }),
  image: (engine, name) => engine.json(imagePath(name, '/json')),
  network: (engine, name) => engine.json(`/networks/${encoded(name)}`),
  volume: (engine, name) => engine.json(`/volumes/${encoded(name)}`),
}

const readAny: Read = async (engine, name, size) => {
  for (const read of Object.values(kinds))
    try {
      return await read(engine, name, size)
    } catch (error) {
      // A name that one kind cannot have may be another's.
      if (!isError(error, 'not-found', 'bad-request')) throw error
    }
  throw new SlipwayError('not-found', `Error: No such object: ${name}`)
}

export const inspectCommand: Subcommand = {
  usage: 'NAME|ID [NAME|ID...]',
  summary: 'All that is known of containers, images, networks and volumes',
  args: [1, many],
  flags: [
    inspectFormat,
    toggle('-s, --size', 'With sizes of containers'),
    text('--type', 'string', 'container, image, network or volume'),
  ],
  run: withEngine(({ engine, flags, ...call }) => {
    const type = (flags.type as string | undefined) ?? ''
    const read = type === '' ? readAny : kinds[type]
    if (!read)
      throw new Exit(
        1,
        `unknown type: ${JSON.stringify(type)}: must be one of ${Object.keys(kinds)
          .map((kind) => JSON.stringify(kind))
          .join(', ')}`,
      )
    return inspect({ ...call, flags }, (name) => read(engine, name, flags.size === true))
  }),
}
