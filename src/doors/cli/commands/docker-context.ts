/** `slipway docker-context`: this instance by a name, for `docker --context NAME` and everything that reads docker's contexts. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SlipwayError } from '../../../errors.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import { writeConfig } from '../app/credentials.ts'
import { type Command, err, out, type Shell } from '../framework/command.ts'
import { ensureDaemon } from '../framework/daemon.ts'
import { toggle } from '../framework/flags.ts'

const configDir = (shell: Shell): string => shell.env.DOCKER_CONFIG || join(shell.env.HOME || homedir(), '.docker')
/** github.com/docker/cli/cli/context/store: one directory each, by the digest of its name. */
const metaDir = (shell: Shell, name: string): string =>
  join(configDir(shell), 'contexts', 'meta', createHash('sha256').update(name).digest('hex'))

const replaceFile = (path: string, text: string, mode: number): void => {
  const fresh = `${path}.${process.pid}`
  writeFileSync(fresh, text, { mode })
  renameSync(fresh, path)
}

const configOf = (shell: Shell): Record<string, unknown> => {
  const path = join(configDir(shell), 'config.json')
  if (!existsSync(path)) return {}
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  } catch (cause) {
    throw new SlipwayError('invalid', `cannot read ${path}: not JSON`, { cause, hint: 'Mend it by hand first.' })
  }
}

/** Everything else in docker's configuration stays as it is. */
const setCurrent = (shell: Shell, name: string | undefined): void => {
  const { currentContext: _, ...rest } = configOf(shell)
  const config = name === undefined ? rest : { ...rest, currentContext: name }
  writeConfig(join(configDir(shell), 'config.json'), config)
}

export const dockerContext: Command = {
  name: 'docker-context',
  usage: '[OPTIONS] [NAME]',
  summary: 'Register this instance as a context of the docker client',
  details: 'NAME is slipway by default. Afterwards: docker --context slipway ps, or docker context use slipway.',
  group: 'system',
  flags: [toggle('--use', 'Make it the one docker uses by default'), toggle('--rm', 'Take the context away')],
  async run({ shell, args, flags }) {
    const name = args[0] ?? 'slipway'
    if (args.length > 1) throw new SlipwayError('bad-request', 'slipway docker-context takes one name')
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/.test(name) || name === 'default')
      throw new SlipwayError('bad-request', `"${name}" cannot be the name of a context`, {
        hint: 'Letters, digits and _ . + - after the first; not "default".',
      })
    const dir = metaDir(shell, name)
    if (flags.rm === true) {
      if (!existsSync(dir)) throw new SlipwayError('not-found', `context "${name}" does not exist`)
      if (configOf(shell).currentContext === name) setCurrent(shell, undefined)
      rmSync(dir, { recursive: true, force: true })
      out(shell, name)
      return 0
    }
    await ensureDaemon(shell)
    const Host = `unix://${socketsOf(placeOf(shell.env)).docker}`
    mkdirSync(dir, { recursive: true, mode: 0o755 })
    const meta = {
      Name: name,
      Metadata: { Description: 'slipway' },
      Endpoints: { docker: { Host, SkipTLSVerify: false } },
    }
    replaceFile(join(dir, 'meta.json'), JSON.stringify(meta), 0o644)
    if (flags.use === true) setCurrent(shell, name)
    out(shell, name)
    if (shell.env.DOCKER_HOST && flags.use === true)
      err(shell, `DOCKER_HOST is set to ${shell.env.DOCKER_HOST} and overrides the context: unset DOCKER_HOST`)
    return 0
  },
}
