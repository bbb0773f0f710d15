/** `slipway image login` and logout: the registry is asked, the answer kept where docker keeps it. */
import { text as readAll } from 'node:stream/consumers'
import { SlipwayError } from '../../../errors.ts'
import { defaultRegistryKey, registryOfKey } from '../../../spec/docker/config.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { eraseCredentials, storeCredentials } from '../app/credentials.ts'
import { openEngine } from '../framework/engine.ts'
import { Exit } from '../framework/failure.ts'
import { text, toggle } from '../framework/flags.ts'
import type { Call, Subcommand } from '../framework/subcommands.ts'

const login = async ({ shell, args, flags }: Call): Promise<number> => {
  const registry = registryOfKey(args[0] ?? 'docker.io')
  const given = flags.password as string | undefined
  if (given !== undefined && flags['password-stdin'] === true)
    throw new Exit(1, 'conflicting options: cannot specify both --password and --password-stdin')
  if (flags['password-stdin'] === true && flags.username === undefined)
    throw new Exit(1, 'the --password-stdin option requires --username to be set')
  if (given !== undefined) err(shell, 'WARNING! Using --password via the CLI is insecure. Use --password-stdin.')
  const username = (flags.username as string | undefined) ?? (await ask(shell, 'Username: ', false))
  const password =
    flags['password-stdin'] === true
      ? (await readAll(shell.stdin)).replace(/\r?\n$/, '')
      : (given ?? (await ask(shell, 'Password: ', true)))
  if (username === '') throw new Exit(1, 'Error: Username Required')
  if (password === '') throw new Exit(1, 'Error: Password Required')
  const engine = await openEngine(shell)
  const { IdentityToken } = await engine.json<{ IdentityToken?: string }>('/auth', {
    method: 'POST',
    body: { username, password, serveraddress: registry },
    signal: shell.signal,
  })
  const identityToken = IdentityToken || undefined
  const kept = await storeCredentials(registry, { username, password, identityToken }, shell.env)
  if ('file' in kept) err(shell, unencrypted(kept.file))
  out(shell, 'Login Succeeded')
  return 0
}

const logout = async ({ shell, args }: Call): Promise<number> => {
  const registry = registryOfKey(args[0] ?? 'docker.io')
  await eraseCredentials(registry, shell.env)
  out(shell, `Removing login credentials for ${registry === 'docker.io' ? defaultRegistryKey : registry}`)
  return 0
}

const unencrypted = (file: string): string =>
  `\nWARNING! Your credentials are stored unencrypted in '${file}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n`

export const loginCommand: Subcommand = {
  usage: '[SERVER]',
  summary: 'Check and keep the credentials for a registry',
  args: [0, 1],
  flags: [
    text('-p, --password', 'string', 'Password or token; seen by everybody on this machine'),
    toggle('--password-stdin', 'Read the password from standard input'),
    text('-u, --username', 'string', 'User name'),
  ],
  run: login,
}
export const logoutCommand: Subcommand = {
  usage: '[SERVER]',
  summary: 'Forget the credentials for a registry',
  args: [0, 1],
  flags: [],
  run: logout,
}

/** A line typed at the terminal; a hidden one is not shown. */
const ask = async (shell: Shell, question: string, hidden: boolean): Promise<string> => {
  const { stdin } = shell
  if (!stdin.isTTY) throw new Exit(1, 'Error: Cannot perform an interactive login from a non TTY device')
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
