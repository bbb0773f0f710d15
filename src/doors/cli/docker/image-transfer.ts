/** What goes to and comes from registries and archives: `image pull`, push, save, load, import. */
import { createReadStream, existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import type { EngineLine } from '../../../clients/engine/index.ts'
import { familiarName, formatReference, parseReference, type Reference, repositoryOf } from '../../../spec/oci/index.ts'
import { registryAuth } from '../app/registry-auth.ts'
import { out, type Shell } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { Exit } from '../framework/failure.ts'
import { createTransferDisplay } from '../progress/transfer.ts'
import { type EngineCallContext, withEngine } from './calls.ts'
import { platformJson, referenceOf } from './reference.ts'
import { saveTo } from './save-to.ts'

const authHeader = async (reference: string, env: Shell['env']): Promise<Record<string, string>> => {
  const auth = await registryAuth(parseReference(reference).domain, env)
  if (!auth) return {}
  const { username, password, identityToken: identitytoken } = auth
  const header = Buffer.from(JSON.stringify({ username, password, identitytoken })).toString('base64url')
  return { 'X-Registry-Auth': header }
}

const follow = async (
  shell: Pick<Shell, 'stdout'>,
  quiet: boolean,
  work: (each: (line: EngineLine) => void) => Promise<void>,
): Promise<void> => {
  const display = createTransferDisplay(shell.stdout)
  await work((line) => line.aux === undefined && !quiet && display.show(line))
}

interface PullOptions {
  platform: string | undefined
  quiet: boolean
  all?: boolean
  /** Say which tag is meant where none is given. */
  hint: boolean
}

/** Its progress goes to the shell's standard output. */
export const pullTo = async (shell: Shell, given: string, options: PullOptions): Promise<void> => {
  const reference = referenceOf(given)
  const { tag, digest } = reference
  const all = options.all === true
  if (!all && tag === undefined && digest === undefined && !options.quiet && options.hint)
    out(shell, 'Using default tag: latest')
  const query = {
    fromImage: repositoryOf(reference),
    tag: all ? '' : (digest ?? tag ?? 'latest'),
    platform: options.platform,
  }
  const headers = await authHeader(given, shell.env)
  const engine = await openEngine(shell)
  await follow(shell, options.quiet, (each) =>
    engine.lines('/images/create', { method: 'POST', query, headers, signal: shell.signal }, each),
  )
}

const whole = (reference: Reference): string =>
  formatReference(
    reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference,
  )

const refuseTag = ({ tag, digest }: Reference): void => {
  if ((tag ?? digest) !== undefined) throw new Exit(1, "tag can't be used with --all-tags/-a")
}

export const pull = withEngine(async ({ shell, args, flags }) => {
  const reference = referenceOf(args[0]!)
  const all = flags['all-tags'] === true
  if (all) refuseTag(reference)
  const platform = flags.platform as string | undefined
  await pullTo(shell, args[0]!, { platform, quiet: flags.quiet === true, all, hint: true })
  out(shell, all ? formatReference(reference) : whole(reference))
  return 0
})

export const bootstrap = withEngine(async ({ engine, shell, args, flags }) => {
  const query = { fromImage: args[0]!, bootstrap: true }
  await follow(shell, flags.quiet === true, (each) =>
    engine.lines('/images/create', { method: 'POST', query, signal: shell.signal }, each),
  )
  out(shell, familiarName(args[0]!))
  return 0
})

export const push = withEngine(async ({ engine, shell, args, flags }) => {
  const reference = referenceOf(args[0]!)
  const all = flags['all-tags'] === true
  if (all) refuseTag(reference)
  const quiet = flags.quiet === true
  if (!all && reference.tag === undefined && !quiet) out(shell, 'Using default tag: latest')
  const headers = await authHeader(args[0]!, shell.env)
  const query = { tag: all ? '' : (reference.tag ?? 'latest'), platform: platformJson(flags.platform) }
  const call = { method: 'POST', query, headers, signal: shell.signal } as const
  await follow(shell, quiet, (each) => engine.lines(`/images/${repositoryOf(reference)}/push`, call, each))
  if (quiet) out(shell, all ? formatReference(reference) : whole(reference))
  return 0
})

export const save = withEngine((context) => {
  const { engine, shell, args, flags } = context
  const query = { names: args, platform: platformJson(flags.platform) }
  return saveTo(context, 'save image', () => engine.stream('/images/get', { query, signal: shell.signal }))
})

const inputOf = (shell: Shell, file: string | undefined): Readable => {
  if (file === undefined || file === '' || file === '-') {
    if (shell.stdin.isTTY) throw new Exit(1, 'requested load from stdin, but stdin is empty')
    return shell.stdin
  }
  const path = resolve(shell.cwd, file)
  if (!existsSync(path)) throw new Exit(1, `open ${file}: no such file or directory`)
  return createReadStream(path, { highWaterMark: 1 << 20 })
}

export const load = withEngine(async ({ engine, shell, flags }) => {
  const body = inputOf(shell, flags.input as string | undefined)
  const quiet = flags.quiet === true || shell.stdout.isTTY !== true
  const query = { quiet, platform: platformJson(flags.platform) }
  await follow(shell, false, (each) =>
    engine.lines('/images/load', { method: 'POST', query, body, signal: shell.signal }, each),
  )
  return 0
})

const imported = (context: EngineCallContext, source: string, name: string, remote: boolean) => {
  if (name !== '') referenceOf(name)
  return {
    fromSrc: remote ? source : '-',
    repo: name,
    message: context.flags.message as string | undefined,
    changes: context.flags.change as string[] | undefined,
    platform: context.flags.platform as string | undefined,
  }
}

export const importRoot = withEngine(async (context) => {
  const { engine, shell, args } = context
  const [source = '-', name = ''] = args
  const remote = source !== '-' && /^(?:https?|ftp):\/\//.test(source)
  const query = imported(context, source, name, remote)
  const body = remote ? undefined : inputOf(shell, source)
  await follow(shell, false, (each) =>
    engine.lines('/images/create', { method: 'POST', query, body, signal: shell.signal }, each),
  )
  return 0
})
