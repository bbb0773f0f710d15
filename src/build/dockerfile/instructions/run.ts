import type { RunMount } from '../../ops.ts'
import type { CommandLine } from '../command-line.ts'
import { argvOf, commandLine } from '../command-line.ts'
import { type DeviceWish, deviceOf } from '../devices.ts'
import { readFlags } from '../flags.ts'
import type { Heredoc } from '../heredoc.ts'
import { contentOf, heredocOf } from '../heredoc.ts'
import type { StageState } from '../instruction.ts'
import { instruction } from '../instruction.ts'
import { autoMountOf, checkMountFrom, mountOf } from '../mounts.ts'
import { SyntaxFault } from '../source.ts'

interface Run {
  line: CommandLine
  documents: Heredoc[]
  mounts: string[]
  /** Of --mount from=…, read before anything is expanded. */
  uses: string[]
  network: 'default' | 'none' | 'host' | undefined
  insecure: boolean
  devices: DeviceWish[]
}

export const run = instruction<Run>('RUN', {
  step: true,
  uses: (node) => node.uses,
  parse(statement) {
    const flags = readFlags(statement.flags, { mount: 'list', network: 'string', security: 'string', device: 'list' })
    const mounts = flags.list('mount')
    return {
      line: commandLine(statement.rest),
      documents: statement.heredocs,
      mounts,
      devices: flags.list('device').map(deviceOf),
      uses: mounts.flatMap(checkMountFrom),
      network: oneOf(
        'network',
        flags.string('network'),
        ['default', 'none', 'host'],
        (value) => `invalid network mode ${value}`,
      ),
      insecure:
        oneOf(
          'security',
          flags.string('security'),
          ['sandbox', 'insecure'],
          (value) => `security ${value} is not valid`,
        ) === 'insecure',
    }
  },
  lower(node, stage) {
    const { args, document } = program(node, stage)
    if (args.length === 0 || args[0] === '') throw new SyntaxFault('RUN requires a command')
    const mounts: RunMount[] = []
    const agents = (): number => mounts.filter(({ type }) => type === 'ssh').length
    for (const text of stage.automounts) mounts.push(autoMountOf(text, stage, agents()))
    for (const text of node.mounts) mounts.push(mountOf(text, stage, agents()))
    return {
      op: {
        kind: 'run',
        args,
        env: [...stage.env].map(([key, value]) => `${key}=${value}`),
        cwd: stage.config.WorkingDir || '/',
        user: stage.config.User ?? '',
        mounts,
        network: node.network,
        insecure: node.insecure,
        devices: node.devices.length > 0 ? stage.devices(node.devices) : [],
        document,
      },
      history: `RUN ${[...argsPrefix(stage), ...args].join(' ')}`,
    }
  },
})

const oneOf = <T extends string>(
  flag: string,
  value: string | undefined,
  known: readonly T[],
  refuse: (value: string) => string,
): T | undefined => {
  if (value === undefined || known.includes(value as T)) return value as T | undefined
  throw new SyntaxFault(refuse(JSON.stringify(value)), {
    near: `--${flag}`,
    hint: `One of ${known.join(', ')}.`,
  })
}

/** `|2 A=1 B=2`: the build arguments in force, as docker history shows them. */
const argsPrefix = (stage: StageState): string[] => {
  const list = [...stage.args].map(([key, value]) => `${key}=${stage.env.get(key) ?? value ?? ''}`)
  return list.length === 0 ? [] : [`|${list.length}`, ...list]
}

const program = (
  { line, documents }: Run,
  stage: StageState,
): { args: string[]; document?: { name: string; data: string } } => {
  if (documents.length === 0) return { args: argvOf(line, stage) }
  const text = line.args[0] ?? ''
  if (heredocOf(text)) {
    const data = contentOf(documents[0]!)
    const { name } = documents[0]!
    if (data.startsWith('#!')) return { args: [`/dev/pipes/${name}`], document: { name, data } }
    return { args: argvOf({ shell: true, args: [data] }, stage) }
  }
  // Anything more than one bare here-document is the shell's to read.
  const whole = [text, ...documents.map(({ content, name }) => `${content}${name}`)].join('\n')
  return { args: argvOf({ shell: true, args: [whole] }, stage) }
}
