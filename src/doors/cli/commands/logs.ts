import { SlipwayError } from '../../../errors.ts'
import { streamLogs } from '../app/log-stream.ts'
import { listWorkloads, pickServices } from '../app/workloads.ts'
import type { Command, Invocation } from '../framework/command.ts'
import { durationMs, text, toggle, wholeNumber } from '../framework/flags.ts'
import { wantsColor } from '../framework/progress.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'

export const logs: Command = {
  name: 'logs',
  usage: '[OPTIONS] [SERVICE...]',
  summary: 'View output from containers',
  group: 'app',
  flags: [
    toggle('-f, --follow', 'Follow log output'),
    text('-n, --tail', 'NUM', 'Number of lines from the end of each container\'s log; "all" is the default'),
    toggle('-t, --timestamps', 'Show timestamps'),
    text('--since', 'TIME', 'Only since a time (2026-01-02T13:23:37Z) or a while ago (42m)'),
    text('--until', 'TIME', 'Only until a time or a while ago'),
    text('--index', 'NUM', 'Only that instance of a service'),
    toggle('--no-color', 'Monochrome output'),
    toggle('--no-log-prefix', 'Do not print the prefix'),
  ],
  run: runLogs,
}

/** "42m" ago, or a date, as ms since the epoch. */
const instant = (value: string, flag: string): number => {
  const date = Date.parse(value)
  if (/^\d{4}-/.test(value)) {
    if (Number.isNaN(date))
      throw new SlipwayError('bad-request', `invalid value for "${flag}": ${value}`, {
        hint: 'Write a time like 2026-01-02T13:23:37Z or a duration like 42m.',
      })
    return date
  }
  return Date.now() - durationMs(value, flag)
}

async function runLogs(invocation: Invocation): Promise<number> {
  const { shell, flags, args } = invocation
  const { name: project, services } = await projectNames(invocation)
  const { client } = await openTarget(invocation)
  const all = await listWorkloads(client, project)
  // As docker compose: a service of the file that does not run has no logs, which is no error.
  for (const service of args) if (!services.includes(service)) pickServices(all, [service], services)
  const tail = flags.tail as string | undefined
  await streamLogs(
    client,
    project,
    {
      services: args,
      follow: flags.follow === true,
      tail: tail === undefined || tail === 'all' || tail === '-1' ? undefined : wholeNumber(tail, 'tail'),
      timestamps: flags.timestamps === true,
      sinceTime:
        flags.since === undefined ? undefined : new Date(instant(flags.since as string, 'since')).toISOString(),
      until: flags.until === undefined ? undefined : instant(flags.until as string, 'until'),
      index: flags.index === undefined ? undefined : wholeNumber(flags.index as string, 'index'),
      prefix: flags['no-log-prefix'] !== true,
      color: wantsColor(invocation),
      signal: shell.signal,
    },
    shell.stdout,
  )
  return shell.signal.aborted ? 130 : 0
}
