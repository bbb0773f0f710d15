import { randomUUID } from 'node:crypto'
import { access, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import type { Processes } from '../../sys/sys.ts'
import type { PullOptions } from '../types.ts'
import { type DebianImage, mirrorsIn, slimRules, sourcesOf } from './debian.ts'
import type { CacheCopy } from './rootfs-cache.ts'

type Options = Pick<PullOptions, 'signal' | 'progress'>
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

interface Debootstrap {
  debian: DebianImage
  /** No file is younger than this. */
  day: Date
  /** Scratch space; a directory is made in it and removed. */
  work: string
  /** Given each chunk too. */
  copy: CacheCopy | undefined
  /** The id progress is reported under. */
  id: string | undefined
}

/** The root filesystem as mmdebstrap writes it: a tar. Fails when mmdebstrap does; destroyed early, it is ended. */
export const runMmdebstrap = (processes: Processes, wanted: Debootstrap, options: Options): Readable =>
  Readable.from(output(processes, wanted, options), { objectMode: false, highWaterMark: 1 << 20 })

async function* output(processes: Processes, wanted: Debootstrap, options: Options): AsyncGenerator<Buffer> {
  const { debian, work, copy } = wanted
  const directory = `${work}/${randomUUID()}`
  try {
    const argv = await commandFor(debian)
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for await (const chunk of runIn(directory, processes, argv, wanted, options)) {
      await copy?.write(chunk)
      yield chunk
    }
    await copy?.keep()
  } finally {
    await copy?.drop()
    await rm(directory, { recursive: true, force: true })
  }
}

async function* runIn(
  directory: string,
  processes: Processes,
  argv: string[],
  { debian, day, id }: Debootstrap,
  options: Options,
): AsyncGenerator<Buffer> {
  const child = processes.spawn(argv, {
    fds: ['ignore', 'pipe', 'pipe'],
    detached: true, // on a signal mmdebstrap hangs up its whole process group, which must not be ours
    env: { ...environment(), TMPDIR: directory, SOURCE_DATE_EPOCH: String(day.getTime() / 1000) },
  })
  let over = false
  void child.exited.catch(() => {}).then(() => (over = true))
  const stop = (): void => {
    // Its parts run in one group, and only the group as a whole ends at once.
    if (!over && child.pid > 0) processes.kill(-child.pid, 'SIGTERM')
  }
  options.signal?.addEventListener('abort', stop, { once: true })
  const said = listen(child.stderr!, id, options)
  try {
    yield* child.stdout! as AsyncIterable<Buffer>
    const { code } = await child.exited
    options.signal?.throwIfAborted()
    if (code !== 0) throw failure(debian, said())
  } finally {
    options.signal?.removeEventListener('abort', stop)
    stop() // over already, unless the reader has gone
    await child.exited.catch(() => {})
  }
}

const commandFor = async (debian: DebianImage): Promise<string[]> => {
  await access(keyring).catch((cause: unknown) => {
    throw new SlipwayError('unavailable', `${keyring} is missing`, {
      hint: "Install the package debian-archive-keyring: Debian's signatures cannot be checked without it.",
      cause,
    })
  })
  const own = mirrorsIn(await aptSources())
  // A machine that is not Debian's knows no mirror: mmdebstrap then takes Debian's own, with security and updates.
  const sources = own.archive && own.security ? sourcesOf(debian.suite, own.archive, own.security) : []
  const options = ['force-unsafe-io', ...(debian.slim ? slimRules : [])].map((rule) => `--dpkgopt=${rule}`)
  return [
    'mmdebstrap',
    '--variant=minbase',
    '--mode=root',
    '--format=tar',
    '--skip=output/dev',
    `--keyring=${keyring}`,
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Retries "2"',
    '--aptopt=Acquire::http::Timeout "20"',
    ...options,
    ...(await mergedUsr(debian)),
    debian.suite,
    '-',
    ...sources,
  ]
}

/** A merged /usr from the start: otherwise bookworm installs a package that merges it, and all of perl with that. */
const mergedUsr = async (debian: DebianImage): Promise<string[]> => {
  const hooks = '/usr/share/mmdebstrap/hooks/maybe-merged-usr'
  const there = await access(hooks).then(
    () => true,
    () => false,
  )
  return there ? [`--hook-dir=${hooks}`, ...(debian.suite === 'bookworm' ? ['--include=usr-is-merged'] : [])] : []
}

/** Tells the user each step mmdebstrap names; returns the last lines on demand. */
const listen = (stderr: Readable, id: string | undefined, options: Options): (() => string[]) => {
  let lines: string[] = []
  let rest = ''
  stderr.setEncoding('utf8')
  stderr.on('data', (text: string) => {
    const whole = (rest + text).split('\n')
    rest = whole.pop()!
    for (const line of whole) {
      const step = line.startsWith('I: running --setup-hook')
        ? 'reading package lists'
        : /^I: ((?:running|downloading|extracting|installing|cleaning|creating)[^/]*?)(?:\.\.\.)?$/.exec(line)?.[1]
      if (step) options.progress?.({ id, status: step[0]!.toUpperCase() + step.slice(1) })
    }
    lines = [...lines, ...whole.filter((line) => /^(E|W|Err|error)/i.test(line))].slice(-10)
  })
  return () => lines
}

const failure = (debian: DebianImage, lines: string[]): SlipwayError =>
  new SlipwayError('unavailable', `cannot build debian:${debian.suite} from the package archive: ${lines.join('; ')}`, {
    hint: "Check that Debian's archive can be reached: apt-get update.",
  })

const environment = (): Record<string, string> => {
  const env: Record<string, string> = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' }
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'])
    if (process.env[name] !== undefined) env[name] = process.env[name]
  return env
}

const aptSources = async (): Promise<string[]> => {
  const read = (file: string): Promise<string> =>
    readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
  const release = await read('/etc/os-release')
  if (!/^ID=debian$/m.test(release)) return []
  const directory = '/etc/apt/sources.list.d'
  const names = await readdir(directory).catch(() => [])
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => `${directory}/${name}`)
  return Promise.all(['/etc/apt/sources.list', ...files.sort()].map(read))
}
