/** The keys that leave an attached terminal, as `--detach-keys` writes them: "ctrl-p,ctrl-q", "ctrl-@", "a". */
import { Transform } from 'node:stream'
import { bad } from './container-fields.ts'

const controls: Record<string, number> = { '@': 0, '[': 27, '\\': 28, ']': 29, '^': 30, _: 31 }
const control = (key: string): number | undefined =>
  /^[a-z]$/.test(key) ? key.charCodeAt(0) - 96 : Object.hasOwn(controls, key) ? controls[key] : undefined

/** Their bytes; ctrl-p, ctrl-q where none are named. */
export const detachKeys = (text: string | null | undefined): Buffer => {
  if (!text) return Buffer.from([16, 17])
  const bytes = text.split(',').map((key) => {
    const byte = key.startsWith('ctrl-') ? control(key.slice(5)) : key.length === 1 ? key.charCodeAt(0) : undefined
    if (byte === undefined || byte > 127) throw bad(`Invalid detach keys (${text}) provided`)
    return byte
  })
  return Buffer.from(bytes)
}

/**
 * Passes typed bytes on until `keys` come in a row; then `leave` runs and what follows is dropped. A beginning of them is
 * kept back until the next byte tells what it was.
 */
export const untilDetached = (keys: Buffer, leave: () => void): Transform => {
  let matched = 0
  let left = false
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const out: number[] = []
      for (const byte of chunk) {
        if (left) break
        if (byte !== keys[matched]) {
          out.push(...keys.subarray(0, matched))
          matched = 0
        }
        if (byte === keys[matched]) matched++
        else out.push(byte)
        if (matched < keys.length) continue
        left = true
        leave()
      }
      done(null, Buffer.from(out))
    },
    flush(done) {
      done(null, left ? null : Buffer.from(keys.subarray(0, matched)))
    },
  })
}
