/**
 * Lines of a byte stream as text, without their ends (\n or \r\n); the last one too where it has no end. node:readline does
 * more, and is slower to load than a short command takes.
 */
export async function* linesOf(stream: AsyncIterable<unknown>): AsyncGenerator<string> {
  let parts: Buffer[] = []
  const finished = (end: Buffer): string => {
    const line = parts.length === 0 ? end : Buffer.concat([...parts, end])
    parts = []
    return line.toString('utf8', 0, line.at(-1) === 0x0d ? line.length - 1 : line.length)
  }
  for await (const each of stream) {
    let chunk = each as Buffer
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10)) {
      yield finished(chunk.subarray(0, at))
      chunk = chunk.subarray(at + 1)
    }
    if (chunk.length > 0) parts.push(chunk)
  }
  if (parts.length > 0) yield finished(Buffer.alloc(0))
}
