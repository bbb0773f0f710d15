/** The body of a request that asks for an upgrade: HTTP's parser has let go of the connection before it. */

/** RFC 9112, 7.1, as far as it has come: whole chunks, and what follows them. */
export const takeChunks = (data: Buffer): { body: Buffer; rest: Buffer; ended: boolean } => {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const line = data.indexOf('\r\n', at)
    const size = line < 0 ? Number.NaN : Number.parseInt(data.toString('latin1', at, line), 16)
    const end = line + 2 + size + 2
    if (Number.isNaN(size) || end > data.length)
      return { body: Buffer.concat(chunks), rest: data.subarray(at), ended: false }
    if (size === 0) return { body: Buffer.concat(chunks), rest: data.subarray(end), ended: true }
    chunks.push(data.subarray(line + 2, line + 2 + size))
    at = end
  }
}

/** Is it one JSON value already? A client may leave a body of chunks open until it is answered. */
export const isJson = (text: string): boolean => {
  if (!/\}\s*$/.test(text.slice(-8))) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
