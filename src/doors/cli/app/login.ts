/** `slipway image login` and logout: the registry is asked, the answer kept where docker keeps it. */
import { text as readAll } from 'node:stream/consumers'
import { SlipwayError } from '../../../errors.ts'
import { registryOfKey } from '../../../spec/docker/config.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import type { Call } from '../framework/subcommands.ts'
import { eraseCredentials, storeCredentials } from './credentials.ts'

export const login = async ({ shell, args, flags }: Call): Promise<number> => {
  const registry = registryOfKey(args[0] ?? 'docker.io')
  const given = flags.password as string | undefined
  if (given !== undefined && flags['password-stdin'] === true)
    throw new SlipwayError('bad-request', '--password and --password-stdin are mutually exclusive')
  if (flags['password-stdin'] === true && flags.username === undefined)
    throw new SlipwayError('bad-request', 'Must provide --username with --password-stdin')
  if (given !== undefined) err(shell, 'WARNING! Using --password via the CLI is insecure. Use --password-stdin.')
  const username = (flags.username as string | undefined) ?? (await ask(shell, 'Username: ', false))
  const password =
    flags['password-stdin'] === true
      ? (await readAll(shell.stdin)).replace(/\r?\n$/, '')
      : (given ?? (await ask(shell, 'Password: ', true)))
  if (username === '' || password === '') throw new SlipwayError('bad-request', 'username and password are needed')
  const engine = await openEngine(shell)
  const { IdentityToken } = await engine.json<{ IdentityToken?: string }>('/auth', {
    method: 'POST',
    body: { username, password, serveraddress: registry },
    signal: shell.signal,
  })
  const identityToken = IdentityToken || undefined
  const kept = await storeCredentials(registry, { username, password, identityToken }, shell.env)
  if ('file' in kept) err(shell, `WARNING! Your credentials are stored unencrypted in '${kept.file}'.`)
  out(shell, 'Login Succeeded')
  return 0
}

export const logout = async ({ shell, args }: Call): Promise<number> => {
  const registry = registryOfKey(args[0] ?? 'docker.io')
  const known = await eraseCredentials(registry, shell.env)
  out(shell, known ? `Removing login credentials for ${registry}` : `Not logged in to ${registry}`)
  return 0
}

/** A line typed at the terminal; a hidden one is not shown. */
const ask = async (shell: Shell, question: string, hidden: boolean): Promise<string> => {
  const { stdin } = shell
  if (!stdin.isTTY)
    throw new SlipwayError('bad-request', 'cannot ask for a name and a password without a terminal', {
      hint: 'Use --username and --password-stdin.',
    })
  shell.stderr.write(question)
  if (hidden) stdin.setRawMode?.(true)
  try {
    let line = ''
    for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
      for (const letter of chunk.toString()) {
        if (letter === '\r' || letter === '\n') return line
        if (letter === '\x03' || letter === '\x04') throw new SlipwayError('cancelled', 'canceled')
        line = letter === '\x7f' ? line.slice(0, -1) : line + letter
      }
    return line
  } finally {
    if (hidden) {
      stdin.setRawMode?.(false)
      shell.stderr.write('\n')
    }
  }
}
