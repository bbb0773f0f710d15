import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { list, text, toggle } from '../framework/flags.ts'
import { runCli } from '../index.ts'
import { complete, type Place } from './complete.ts'

const leaf = (usage: string, more: Partial<Place> = {}): Place => ({
  usage,
  flags: [toggle('-i, --input', 'Input'), text('-n, --network', 'NET', 'Network'), list('-f, --file', 'FILE', 'File')],
  interspersed: true,
  inside: {},
  ...more,
})
const inside = (places: Record<string, Place>): Place['inside'] =>
  Object.fromEntries(
    Object.entries(places).map(([name, place]) => [name, { summary: `about ${name}`, load: async () => place }]),
  )
const root = leaf('', {
  interspersed: false,
  flags: [text('--progress', 'TYPE', 'Progress', ['tty', 'plain'])],
  inside: inside({
    run: leaf('IMAGE [COMMAND] [ARG...]', { interspersed: false }),
    rm: leaf('CONTAINER [CONTAINER...]'),
    stop: leaf('CONTAINER [CONTAINER...]'),
    start: leaf('CONTAINER [CONTAINER...]'),
    connect: leaf('NETWORK CONTAINER'),
    cp: leaf('CONTAINER:SRC_PATH DEST_PATH|-\nSRC_PATH|- CONTAINER:DEST_PATH'),
    scale: leaf('[OPTIONS] [SERVICE=REPLICAS...]'),
    rollout: leaf('status|undo [SERVICE...]'),
    inspect: leaf('NAME|ID [NAME|ID...]'),
    family: leaf('COMMAND', { flags: [], inside: inside({ ls: leaf('') }) }),
  }),
})

/** 'words; kinds; files' for a line of which the last word is being typed. */
const asked = async (line: string): Promise<string> => {
  const { words, kinds, files, before, behind } = await complete(line.split(' '), root)
  const all = [...words.map(({ word }) => before + word), ...kinds.map((kind) => `${before}<${kind}>${behind}`)]
  return [...all, ...(files ? ['files'] : [])].join(' ')
}

test('commands, flags and their values, arguments by what help calls them', async () => {
  for (const [line, expected] of [
    ['', 'run rm stop start connect cp scale rollout inspect family'],
    ['--', '--progress'],
    ['--progress ', 'tty plain'],
    ['--progress=', '--progress=tty --progress=plain'],
    ['--progress tty ', 'run rm stop start connect cp scale rollout inspect family'],
    ['run ', '<image>'],
    ['run -', '--file --input --network -f -i -n'],
    ['run --', '--file --input --network'],
    ['run --network ', '<network>'],
    ['run -in ', '<network>'],
    ['run -nx ', '<image>'],
    ['run --network=b', '--network=<network>'],
    ['run --network=b ', '<image>'],
    ['run --file ', 'files'],
    ['run -i busybox -', ''],
    ['run -- -', '<image>'],
    ['rm a b ', '<container>'],
    ['stop ', '<running>'],
    ['start a ', '<stopped>'],
    ['connect ', '<network>'],
    ['connect n ', '<container>'],
    ['connect n c ', ''],
    ['cp ', '<container>: files'],
    ['cp c:', ''],
    ['scale web=2 ', '<service>='],
    ['rollout ', 'status undo'],
    ['rollout undo ', '<service>'],
    ['inspect x ', '<container> <image> <network> <volume>'],
    ['family ', 'ls'],
    ['family ls ', ''],
    ['family nope ', ''],
    ['nope ', ''],
  ] as const)
    assert.equal(await asked(line), expected, line)
})

const said = async (...argv: string[]): Promise<string[]> => {
  const stdout = new PassThrough()
  const never = new AbortController().signal
  const home = '/nonexistent'
  await runCli(argv, {
    stdin: Readable.from([]),
    stdout,
    stderr: new PassThrough(),
    env: { SLIPWAY_HOME: home, HOME: home },
    cwd: import.meta.dirname,
    signal: never,
    again: never,
    startDaemon: () => Promise.reject(new Error('completion starts nothing')),
    reset: () => Promise.reject(new Error('not in a test')),
  })
  stdout.end()
  return (await stdout.toArray()).join('').split('\n').filter(Boolean)
}
const wordsOf = async (...words: string[]): Promise<string[]> =>
  (await said('completion', 'words', ...words)).map((line) => line.split('\t')[0]!)

test('every command that help lists is offered, and all its flags', async () => {
  const listed = (lines: readonly string[]): string[] =>
    lines.flatMap((line) => /^ {2}([a-z][a-z-]*) {3,}\S/.exec(line)?.[1] ?? [])
  const flagsIn = (lines: readonly string[]): string[] =>
    lines.flatMap((line) => /^ +(?:-\w, )?(--[\w-]+)/.exec(line)?.[1] ?? [])
  const walk = async (...path: string[]): Promise<number> => {
    const help = await said(...path, '--help')
    const flags = await wordsOf(...path, '--')
    for (const flag of flagsIn(help)) assert.ok(flags.includes(flag), `${path.join(' ')} ${flag}`)
    const family = path.length === 0 || /COMMAND$/.test(help[0]!)
    if (!family) return 1
    const offered = await wordsOf(...path, '')
    let count = 1
    for (const name of listed(help)) {
      assert.ok(offered.includes(name), `${path.join(' ')} ${name}`)
      count += await walk(...path, name)
    }
    return count
  }
  assert.ok((await walk()) > 100)
})

test('a line of a directory or of services: both kinds of slipway build', async () => {
  const flags = await wordsOf('build', '--')
  assert.ok(flags.includes('--tag') && flags.includes('--with-dependencies'), flags.join(' '))
  assert.deepEqual(await wordsOf('build', ''), [':files'])
})

test('scripts for three shells; others are refused', async () => {
  for (const shell of ['bash', 'zsh', 'fish'])
    assert.match((await said('completion', shell)).join('\n'), /completion words/)
  assert.deepEqual(await said('completion', 'csh'), [])
  assert.deepEqual(await wordsOf('completion', ''), ['bash', 'zsh', 'fish'])
})
