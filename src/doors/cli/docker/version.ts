/** `docker version`. */
import type { GoMap } from '../../../lib/go-template/index.ts'
import { slipwayVersion } from '../commands/version.ts'
import { out } from '../framework/command.ts'
import { text } from '../framework/flags.ts'
import type { Subcommand } from '../framework/subcommands.ts'
import { withEngine } from './calls.ts'
import { fillLine, readable } from './format.ts'

interface Version {
  Platform?: { Name: string }
  Version: string
  ApiVersion: string
  MinAPIVersion: string
  GoVersion: string
  GitCommit: string
  Os: string
  Arch: string
  BuildTime?: string
  Experimental?: boolean
}

const lines = (rows: readonly [string, string][], indent: string): string[] =>
  rows.map(([title, value]) => `${indent}${`${title}:`.padEnd(18 - indent.length + 1)} ${value}`)

const run = withEngine(async ({ engine, shell, flags }) => {
  const format = (flags.format as string | undefined) ?? ''
  if (format !== '' && format !== 'json') readable(format)
  const server = await engine.json<Version>('/version')
  const client = {
    Version: slipwayVersion,
    ApiVersion: '1.50',
    DefaultAPIVersion: '1.50',
    Os: server.Os,
    Arch: server.Arch,
    Context: 'default',
  }
  const both = { Client: client, Server: server }
  if (format === 'json') out(shell, JSON.stringify(both))
  else if (format !== '') out(shell, fillLine(format, both as unknown as GoMap))
  else {
    const platform = (about: { Os: string; Arch: string }): [string, string] => ['OS/Arch', `${about.Os}/${about.Arch}`]
    out(shell, 'Client:')
    const ours: [string, string][] = [
      ['Version', client.Version],
      ['API version', client.ApiVersion],
      platform(client),
      ['Context', 'default'],
    ]
    for (const line of lines(ours, ' ')) out(shell, line)
    out(shell, `\nServer: ${server.Platform?.Name ?? 'slipway'}\n Engine:`)
    const theirs: [string, string][] = [
      ['Version', server.Version],
      ['API version', `${server.ApiVersion} (minimum version ${server.MinAPIVersion})`],
      platform(server),
    ]
    for (const line of lines(theirs, '  ')) out(shell, line)
  }
  return 0
})

export const versionCommand: Subcommand = {
  usage: '',
  summary: 'Versions of this program and of the engine',
  args: [0, 0],
  flags: [text('-f, --format', 'string', 'json, or a Go template')],
  run,
}
