import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../errors.ts'
import { compressionOf } from '../../lib/tar/index.ts'
import type { Processes } from '../../sys/sys.ts'

/**
 * The stream itself, unless it is compressed with xz or bzip2, which Node cannot read: then what this machine's own
 * program makes of it. gzip and zstd are left to whoever reads on.
 */
export const readable = async (source: Readable, processes: Processes): Promise<Readable> => {
  const iterator = source[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>
  const head: Buffer[] = []
  let length = 0
  while (length < 6) {
    const next = await iterator.next()
    if (next.done) break
    head.push(Buffer.from(next.value))
    length += next.value.length
  }
  const first = Buffer.concat(head)
  const whole = Readable.from(
    (async function* (): AsyncGenerator<Buffer> {
      if (first.length > 0) yield first
      yield* iterator
    })(),
    { objectMode: false, highWaterMark: 1 << 20 },
  )
  const compression = compressionOf(first)
  if (compression !== 'xz' && compression !== 'bzip2') return whole
  return Readable.from(through([compression, '-dc'], whole, processes), { objectMode: false, highWaterMark: 1 << 20 })
}

async function* through(argv: string[], input: Readable, processes: Processes): AsyncGenerator<Buffer> {
  const child = processes.spawn(argv, { fds: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  child.stderr!.on('data', (text: Buffer) => {
    said = (said + text.toString('utf8')).slice(-500)
  })
  let failed: unknown
  // The program's own end, with what it has to say, is the better error; but the input's is the cause when it breaks.
  const fed = pipeline(input, child.stdin!).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') failed = error
  })
  let over = false
  try {
    yield* child.stdout! as AsyncIterable<Buffer>
    const { code } = await child.exited
    over = true
    await fed
    if (failed) throw failed
    if (code !== 0)
      throw new SlipwayError('invalid', `cannot decompress: ${said.trim() || `${argv[0]} ended with ${code}`}`)
  } finally {
    if (!over) child.kill('SIGKILL')
    if (!input.closed) {
      input.destroy()
      await once(input, 'close').catch(() => {})
    }
  }
}
