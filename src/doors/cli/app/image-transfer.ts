/** What goes to and comes from registries and archives, for `slipway image`. */
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { EngineClient, EngineLine } from '../../../clients/engine/index.ts'
import { SlipwayError } from '../../../errors.ts'
import { familiarName, parseReference } from '../../../spec/oci/index.ts'
import { out, type Shell } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import type { Call } from '../framework/subcommands.ts'
import { createTransferDisplay } from '../progress/transfer.ts'
import { registryAuth } from './registry-auth.ts'

const authHeader = async (reference: string, env: Shell['env']): Promise<Record<string, string>> => {
  const auth = await registryAuth(parseReference(reference).domain, env)
  if (!auth) return {}
  const { username, password, identityToken: identitytoken } = auth
  const header = Buffer.from(JSON.stringify({ username, password, identitytoken })).toString('base64url')
  return { 'X-Registry-Auth': header }
}

const follow = async (
  shell: Shell,
  quiet: boolean,
  work: (engine: EngineClient, each: (line: EngineLine) => void) => Promise<void>,
): Promise<void> => {
  const display = createTransferDisplay(shell.stdout)
  await work(await openEngine(shell), (line) => line.aux === undefined && !quiet && display.show(line))
}

export const pull = async ({ shell, args, flags }: Call): Promise<number> => {
  const [given = ''] = args
  const reference = parseReference(given)
  const all = flags['all-tags'] === true
  if (all && (reference.tag ?? reference.digest) !== undefined)
    throw new SlipwayError('bad-request', "tag can't be used with --all-tags/-a")
  const tag = all ? '' : (reference.digest ?? reference.tag ?? 'latest')
  const name = familiarName({ domain: reference.domain, path: reference.path })
  if (!all && reference.tag === undefined && reference.digest === undefined && flags.quiet !== true)
    out(shell, 'Using default tag: latest')
  const headers = await authHeader(given, shell.env)
  await follow(shell, flags.quiet === true, (engine, each) =>
    engine.lines(
      '/images/create',
      {
        method: 'POST',
        query: { fromImage: name, tag, platform: flags.platform as string | undefined },
        headers,
        signal: shell.signal,
      },
      each,
    ),
  )
  out(shell, all ? name : familiarName({ ...reference, ...(reference.digest === undefined && { tag }) }))
  return 0
}

export const bootstrap = async ({ shell, args, flags }: Call): Promise<number> => {
  const query = { fromImage: args[0]!, bootstrap: true }
  await follow(shell, flags.quiet === true, (engine, each) =>
    engine.lines('/images/create', { method: 'POST', query, signal: shell.signal }, each),
  )
  out(shell, familiarName(args[0]!))
  return 0
}

export const push = async ({ shell, args, flags }: Call): Promise<number> => {
  const reference = parseReference(args[0]!)
  const all = flags['all-tags'] === true
  if (all && reference.tag !== undefined) throw new SlipwayError('bad-request', "tag can't be used with --all-tags/-a")
  const name = familiarName({ domain: reference.domain, path: reference.path })
  const headers = await authHeader(args[0]!, shell.env)
  await follow(shell, flags.quiet === true, (engine, each) =>
    engine.lines(
      `/images/${name}/push`,
      { method: 'POST', query: { tag: all ? '' : (reference.tag ?? 'latest') }, headers, signal: shell.signal },
      each,
    ),
  )
  if (flags.quiet === true) out(shell, familiarName(args[0]!))
  return 0
}

export const save = async ({ shell, args, flags }: Call): Promise<number> => {
  const file = flags.output === undefined ? undefined : resolve(shell.cwd, flags.output as string)
  if (file === undefined && shell.stdout.isTTY)
    throw new SlipwayError('bad-request', 'cowardly refusing to save to a terminal', {
      hint: 'Use the -o flag or redirect.',
    })
  const engine = await openEngine(shell)
  const archive = await engine.stream('/images/get', { query: { names: args }, signal: shell.signal })
  if (file === undefined) {
    await pipeline(archive, shell.stdout, { end: false })
    return 0
  }
  // A half-written archive is none; a file that was there before stays until the new one is whole.
  const part = `${file}.part`
  try {
    await pipeline(archive, createWriteStream(part, { mode: 0o600 }))
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    if (shell.signal.aborted) throw new SlipwayError('cancelled', 'canceled', { cause: error })
    throw error
  }
  return 0
}

const inputOf = (shell: Shell, file: string | undefined): Readable => {
  if (file === undefined || file === '-') {
    if (shell.stdin.isTTY)
      throw new SlipwayError('bad-request', 'requested load from stdin, but stdin is empty', {
        hint: 'Name a file, or redirect one to the command.',
      })
    return shell.stdin
  }
  const path = resolve(shell.cwd, file)
  if (!existsSync(path)) throw new SlipwayError('not-found', `open ${file}: no such file or directory`)
  return createReadStream(path, { highWaterMark: 1 << 20 })
}

export const load = async ({ shell, flags }: Call): Promise<number> => {
  const quiet = flags.quiet === true || shell.stdout.isTTY !== true
  const platform = flags.platform as string | undefined
  const [os, architecture, variant] = (platform ?? '').split('/')
  await follow(shell, false, (engine, each) =>
    engine.lines(
      '/images/load',
      {
        method: 'POST',
        query: { quiet, platform: platform && JSON.stringify({ os, architecture, variant }) },
        body: inputOf(shell, flags.input as string | undefined),
        signal: shell.signal,
      },
      each,
    ),
  )
  return 0
}

export const importRoot = async ({ shell, args, flags }: Call): Promise<number> => {
  const [source = '-', name = ''] = args
  const reference = name === '' ? undefined : parseReference(name)
  const remote = /^https?:\/\//.test(source)
  await follow(shell, false, (engine, each) =>
    engine.lines(
      '/images/create',
      {
        method: 'POST',
        query: {
          fromSrc: remote ? source : '-',
          repo: reference && familiarName({ domain: reference.domain, path: reference.path }),
          tag: reference?.tag,
          message: flags.message as string | undefined,
          changes: flags.change as string[] | undefined,
          platform: flags.platform as string | undefined,
        },
        body: remote ? undefined : inputOf(shell, source),
        signal: shell.signal,
      },
      each,
    ),
  )
  return 0
}
