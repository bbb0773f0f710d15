/** The keys that leave a terminal without ending the program: "ctrl-p,ctrl-q". */
import { Transform } from 'node:stream'

const controls: Record<string, number> = { '@': 0, '[': 27, '\\': 28, ']': 29, '^': 30, _: 31 }

/** Throws what cannot be read. */
export const detachKeys = (text: string): Buffer => {
  const keys = text.split(',').map((key) => {
    if ([...key].length === 1) return Buffer.from(key)
    const letter = /^ctrl-(.)$/.exec(key)?.[1]
    const code = letter === undefined ? undefined : /[a-z]/.test(letter) ? letter.charCodeAt(0) - 96 : controls[letter]
    if (code === undefined) throw new Error(`Unknown character: '${key}'`)
    return Buffer.from([code])
  })
  return Buffer.concat(keys)
}

/** Passes everything on; once the keys have been typed one after the other, calls `leave` and passes nothing more. */
export const watchKeys = (keys: Buffer, leave: () => void): Transform => {
  let seen = 0
  let left = false
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const out: number[] = []
      for (const byte of left ? [] : chunk) {
        if (byte === keys[seen]) {
          if (++seen < keys.length) continue
          left = true
          leave()
          break
        }
        // Keys that led nowhere were meant for the program.
        out.push(...keys.subarray(0, seen))
        seen = byte === keys[0] ? 1 : 0
        if (seen === 0) out.push(byte)
      }
      done(null, Buffer.from(out))
    },
  })
}
