/**
 * A small protobuf codec (proto3 wire format): a message is a record of fields, and its TypeScript type follows from them.
 * What is absent decodes to its default; unknown fields are skipped. 64-bit integers are numbers up to 2^53, bigints where asked for.
 */
import { SlipwayError } from '../../../errors.ts'
import { decodeName, nameBytes } from '../../../lib/tar/index.ts'

const malformed = (): SlipwayError => new SlipwayError('bad-request', 'malformed protobuf message')

class Reader {
  readonly bytes: Buffer
  at: number
  readonly end: number

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  bigint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.at >= this.end) throw malformed()
      const byte = this.bytes[this.at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
    throw malformed()
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (const start = this.at; this.at < this.end && this.at - start < 7; scale *= 128) {
      const byte = this.bytes[this.at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      if (this.at - start === 7) {
        this.at = start
        return Number(this.bigint())
      }
    }
    throw malformed()
  }

  slice(): Buffer {
    const length = this.varint()
    const from = this.at
    this.at += length
    if (length < 0 || this.at > this.end) throw malformed()
    return this.bytes.subarray(from, this.at)
  }

  skip(wire: number): void {
    if (wire === 0) this.bigint()
    else if (wire === 1) this.at += 8
    else if (wire === 2) this.slice()
    else if (wire === 5) this.at += 4
    else throw malformed()
    if (this.at > this.end) throw malformed()
  }
}

class Writer {
  readonly #parts: Uint8Array[] = []

  varint(value: number | bigint): void {
    if (typeof value === 'bigint' || value < 0 || value > Number.MAX_SAFE_INTEGER) {
      let rest = BigInt.asUintN(64, BigInt(value))
      const bytes: number[] = []
      for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
      this.#parts.push(Uint8Array.of(...bytes, Number(rest)))
      return
    }
    const bytes: number[] = []
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
    this.#parts.push(Uint8Array.of(...bytes, rest))
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length)
    this.#parts.push(value)
  }

  done(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

/** How one field is read and written. `T` is its value in the decoded object. */
interface Field<T> {
  readonly number: number
  empty(): T
  /** One occurrence; `before` is the value so far. */
  read(reader: Reader, wire: number, before: T): T
  /** Leaves defaults out. */
  write(out: Writer, value: T): void
}

interface Scalar<T> {
  wire: 0 | 2
  zero: T
  get(reader: Reader): T
  put(out: Writer, value: T): void
  isZero(value: T): boolean
}

const isDefault = (value: unknown): boolean => value === 0 || value === '' || value === false || value === 0n
const scalars = {
  string: {
    wire: 2,
    zero: '',
    get: (r) => r.slice().toString('utf8'),
    put: (w, v) => w.bytes(Buffer.from(v)),
    isZero: isDefault,
  } as Scalar<string>,
  name: {
    wire: 2,
    zero: '',
    get: (r) => decodeName(r.slice()),
    put: (w, v) => w.bytes(nameBytes(v)),
    isZero: isDefault,
  } as Scalar<string>,
  bytes: {
    wire: 2,
    zero: Buffer.alloc(0) as Uint8Array,
    get: (r) => r.slice(),
    put: (w, v) => w.bytes(v),
    isZero: (v) => v.length === 0,
  } as Scalar<Uint8Array>,
  int: {
    wire: 0,
    zero: 0,
    get: (r) => r.varint(),
    put: (w, v) => w.varint(v),
    isZero: isDefault,
  } as Scalar<number>,
  bigint: {
    wire: 0,
    zero: 0n,
    get: (r) => r.bigint(),
    put: (w, v) => w.varint(v),
    isZero: isDefault,
  } as Scalar<bigint>,
  bool: {
    wire: 0,
    zero: false,
    get: (r) => r.varint() !== 0,
    put: (w, v) => w.varint(v ? 1 : 0),
    isZero: isDefault,
  } as Scalar<boolean>,
}

const single = <T>(number: number, scalar: Scalar<T>): Field<T> => ({
  number,
  empty: () => scalar.zero,
  read: (reader) => scalar.get(reader),
  write(out, value) {
    if (scalar.isZero(value)) return
    out.varint(number * 8 + scalar.wire)
    scalar.put(out, value)
  },
})
export const string = (number: number): Field<string> => single(number, scalars.string)
/** A string that is the name of a file, whose bytes need not be UTF-8 (lib/tar/names.ts). */
export const name = (number: number): Field<string> => single(number, scalars.name)
export const bytes = (number: number): Field<Uint8Array> => single(number, scalars.bytes)
export const int = (number: number): Field<number> => single(number, scalars.int)
export const bigint = (number: number): Field<bigint> => single(number, scalars.bigint)
export const bool = (number: number): Field<boolean> => single(number, scalars.bool)

const repeated = <T>(number: number, scalar: Scalar<T>): Field<T[]> => ({
  number,
  empty: () => [],
  read(reader, _wire, before) {
    before.push(scalar.get(reader))
    return before
  },
  write(out, values) {
    for (const value of values) {
      out.varint(number * 8 + scalar.wire)
      scalar.put(out, value)
    }
  },
})
export const strings = (number: number): Field<string[]> => repeated(number, scalars.string)
export const bytesList = (number: number): Field<Uint8Array[]> => repeated(number, scalars.bytes)

export interface Message<T> {
  encode(value: Partial<T>): Buffer
  decode(bytes: Uint8Array): T
}
export type Decoded<M> = M extends Message<infer T> ? T : never

/** Bounds what a hostile message makes of the stack. */
let depth = 0

export const message = <F extends Record<string, Field<unknown>>>(
  fields: F,
): Message<{ [K in keyof F]: F[K] extends Field<infer T> ? T : never }> => {
  type T = { [K in keyof F]: F[K] extends Field<infer V> ? V : never }
  const byNumber = new Map(Object.entries(fields).map(([name, field]) => [field.number, { name, field }]))
  const all = Object.entries(fields) as [string, Field<unknown>][]
  return {
    encode(value) {
      const out = new Writer()
      for (const [name, field] of all) {
        const given = (value as Record<string, unknown>)[name]
        if (given !== undefined) field.write(out, given)
      }
      return out.done()
    },
    decode(given) {
      if (++depth > 64) throw malformed()
      try {
        const reader = new Reader(Buffer.isBuffer(given) ? given : Buffer.from(given))
        const value: Record<string, unknown> = {}
        for (const [name, field] of all) value[name] = field.empty()
        while (reader.at < reader.end) {
          const tag = reader.varint()
          const known = byNumber.get(Math.floor(tag / 8))
          if (!known) reader.skip(tag & 7)
          else value[known.name] = (known.field as Field<unknown>).read(reader, tag & 7, value[known.name])
        }
        return value as T
      } finally {
        depth--
      }
    },
  }
}

/** A message inside another; undefined when absent. `of` is a function so that tables may refer to later ones. */
export const nested = <T>(number: number, of: () => Message<T>): Field<Partial<T> | undefined> => ({
  number,
  empty: () => undefined,
  read: (reader) => of().decode(reader.slice()) as Partial<T>,
  write(out, value) {
    if (value === undefined) return
    out.varint(number * 8 + 2)
    out.bytes(of().encode(value))
  },
})

export const list = <T>(number: number, of: () => Message<T>): Field<Partial<T>[]> => ({
  number,
  empty: () => [],
  read(reader, _wire, before) {
    before.push(of().decode(reader.slice()) as Partial<T>)
    return before
  },
  write(out, values) {
    for (const value of values) {
      out.varint(number * 8 + 2)
      out.bytes(of().encode(value))
    }
  },
})

/** Shared by all messages whose map is empty, which are most. */
const nothing: Record<string, never> = Object.freeze(Object.create(null))

const mapWith = <V>(number: number, valueField: Field<V>): Field<Record<string, V>> => {
  const entry = message({ key: string(1), value: valueField } as Record<string, Field<unknown>>) as unknown as Message<{
    key: string
    value: V
  }>
  return {
    number,
    empty: () => nothing as Record<string, V>,
    read(reader, _wire, before) {
      const { key, value } = entry.decode(reader.slice())
      const map = before === nothing ? (Object.create(null) as Record<string, V>) : before
      map[key] = value
      return map
    },
    write(out, map) {
      for (const [key, value] of Object.entries(map)) {
        out.varint(number * 8 + 2)
        out.bytes(entry.encode({ key, value } as never))
      }
    },
  }
}
export const stringMap = (number: number): Field<Record<string, string>> => mapWith(number, string(2))
export const bytesMap = (number: number): Field<Record<string, Uint8Array>> => mapWith(number, bytes(2))
export const messageMap = <T>(number: number, of: () => Message<T>): Field<Record<string, Partial<T> | undefined>> =>
  mapWith(number, nested(2, of))
